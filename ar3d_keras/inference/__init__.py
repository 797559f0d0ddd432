"""Predicts labeled and unlabeled videos with a trained network."""
