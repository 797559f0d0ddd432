"""From a trained network to a folder that TF Serving loads."""
