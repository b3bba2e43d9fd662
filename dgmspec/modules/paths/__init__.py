"""Torch twins of the noising arrows."""
