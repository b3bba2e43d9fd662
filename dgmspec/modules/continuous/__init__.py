"""Torch twins of continuous dynamics."""
