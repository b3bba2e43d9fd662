"""Gaussian paths: p(x_t | x_0) of linear noising processes, derived from their coefficients."""
