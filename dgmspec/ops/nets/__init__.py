"""Nets: what an operation learns as a function of other values. One file a family; `AbstractNet` says how they read."""

from dgmspec.ops.nets.convolutional import Conv, ResNet
from dgmspec.ops.nets.fourier import Fourier
from dgmspec.ops.nets.layered import AbstractLayered, Made, Mlp, ResMlp, context_shape, features
from dgmspec.ops.nets.masked import AbstractMasked, unit_levels
from dgmspec.ops.nets.transformer import Transformer
from dgmspec.ops.nets.unet import Unet

__all__ = [
    "AbstractLayered",
    "AbstractMasked",
    "Conv",
    "Fourier",
    "Made",
    "Mlp",
    "ResMlp",
    "ResNet",
    "Transformer",
    "Unet",
    "context_shape",
    "features",
    "unit_levels",
]
