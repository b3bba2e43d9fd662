"""Nets: what an operation learns as a function of other values. One file a family; `AbstractNet` says how they read."""

from dgmspec.ops.nets.convolutional import Conv, ResNet
from dgmspec.ops.nets.external import External
from dgmspec.ops.nets.fourier import Fourier
from dgmspec.ops.nets.layered import AbstractLayered, Made, Mlp, ResMlp
from dgmspec.ops.nets.masked import AbstractMasked, AbstractOrdered, masked_net, masked_use, unit_levels
from dgmspec.ops.nets.masked_conv import MaskedConv
from dgmspec.ops.nets.reading import context_shape, features
from dgmspec.ops.nets.transformer import Transformer
from dgmspec.ops.nets.unet import Unet

__all__ = [
    "AbstractLayered",
    "AbstractMasked",
    "AbstractOrdered",
    "Conv",
    "External",
    "Fourier",
    "Made",
    "MaskedConv",
    "Mlp",
    "ResMlp",
    "ResNet",
    "Transformer",
    "Unet",
    "context_shape",
    "features",
    "masked_net",
    "masked_use",
    "unit_levels",
]
