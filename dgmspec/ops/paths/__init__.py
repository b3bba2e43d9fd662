"""Noising arrows: the steps that `sde`, `markov` and `perturb` become, their settings, losses and samplers."""
