"""Sampling along a reverse-time sde beside torchsde and a plain loop."""
