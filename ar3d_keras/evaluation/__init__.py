"""Metrics that compare predictions with the true classes; nothing here draws."""
