"""Trains a network and writes what a run folder contains."""
