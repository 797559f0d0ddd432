"""Many trainings that look for good sizes and a good recipe, judged on val."""
