"""Twins of the distributions."""
