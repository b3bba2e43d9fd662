"""Torch twins of the scalar bijectors: elementwise pure functions of (op, raw planes, x, support of x)."""
