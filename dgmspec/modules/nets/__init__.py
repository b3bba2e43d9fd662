"""Torch twins of the nets, and the one door through which operations run them."""

from dgmspec.modules.nets.reading import below, context_features, context_of, evaluate, features_of, planes_of

__all__ = ["below", "context_features", "context_of", "evaluate", "features_of", "planes_of"]
