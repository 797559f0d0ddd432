"""Whole experiments: train, evaluate, cross-validate, compare, tune, export."""
