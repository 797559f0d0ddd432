"""Whole experiments: each verb of the command line is one function here."""
