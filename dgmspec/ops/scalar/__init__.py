"""Scalar bijectors: strictly monotone maps of one coordinate, for every conditioner alike."""

from dgmspec.ops.scalar.affine import Additive, Affine, ShiftScale
from dgmspec.ops.scalar.curves import Arcsinh, Elu, Power, SinhArcsinh, Softsign
from dgmspec.ops.scalar.fixed import Exp, LeakyRelu, Logit, Sigmoid, Softplus, Tanh
from dgmspec.ops.scalar.inverse import InverseScalar
from dgmspec.ops.scalar.polyspline import CubicSpline, LinearSpline, QuadraticSpline
from dgmspec.ops.scalar.spline import Rqs

__all__ = [
    "Additive",
    "Affine",
    "Arcsinh",
    "CubicSpline",
    "Elu",
    "Exp",
    "InverseScalar",
    "LeakyRelu",
    "LinearSpline",
    "Logit",
    "Power",
    "QuadraticSpline",
    "Rqs",
    "ShiftScale",
    "Sigmoid",
    "SinhArcsinh",
    "Softplus",
    "Softsign",
    "Tanh",
]
