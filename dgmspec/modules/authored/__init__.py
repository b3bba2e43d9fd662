"""Torch twins of the author's bijectors."""
