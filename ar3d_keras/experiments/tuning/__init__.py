"""Hyper-parameter search: trains many trials and ranks them by val accuracy."""
