"""Pictures, HTML pages and overlays; their numbers come from evaluation."""
