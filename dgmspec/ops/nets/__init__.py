"""Nets: what an operation learns as a function of other values. One file a family; `AbstractNet` says how they read."""

from dgmspec.ops.nets.convolutional import Conv, ResNet
from dgmspec.ops.nets.layered import AbstractLayered, Made, Mlp, ResMlp, context_shape, degree_range

__all__ = ["AbstractLayered", "Conv", "Made", "Mlp", "ResMlp", "ResNet", "context_shape", "degree_range"]
