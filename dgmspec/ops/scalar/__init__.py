"""Scalar bijectors: strictly monotone maps of one coordinate, for every conditioner alike."""

from dgmspec.ops.scalar.affine import Additive, Affine, ShiftScale
from dgmspec.ops.scalar.fixed import Exp, LeakyRelu, Logit, Sigmoid, Softplus, Tanh
from dgmspec.ops.scalar.inverse import InverseScalar
from dgmspec.ops.scalar.spline import Rqs

__all__ = [
    "Additive",
    "Affine",
    "Exp",
    "InverseScalar",
    "LeakyRelu",
    "Logit",
    "Rqs",
    "ShiftScale",
    "Sigmoid",
    "Softplus",
    "Tanh",
]
