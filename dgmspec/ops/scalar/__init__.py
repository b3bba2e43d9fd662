"""Scalar bijectors: strictly monotone maps of one coordinate, for every conditioner alike."""

from dgmspec.ops.scalar.affine import Additive, Affine, ShiftScale
from dgmspec.ops.scalar.circle import Moebius
from dgmspec.ops.scalar.curves import Arcsinh, Elu, Power, SinhArcsinh, Softsign
from dgmspec.ops.scalar.fixed import Exp, LeakyRelu, Logit, Sigmoid, Softplus, Tanh
from dgmspec.ops.scalar.integral import Umnn
from dgmspec.ops.scalar.inverse import InverseScalar
from dgmspec.ops.scalar.mixture import LogisticMixtureCdf, SigmoidMixture
from dgmspec.ops.scalar.polynomial import Bernstein, Sos
from dgmspec.ops.scalar.polyspline import CubicSpline, LinearSpline, QuadraticSpline
from dgmspec.ops.scalar.spline import Rqs

__all__ = [
    "Additive",
    "Affine",
    "Arcsinh",
    "Bernstein",
    "CubicSpline",
    "Elu",
    "Exp",
    "InverseScalar",
    "LeakyRelu",
    "LinearSpline",
    "LogisticMixtureCdf",
    "Logit",
    "Moebius",
    "Power",
    "QuadraticSpline",
    "Rqs",
    "ShiftScale",
    "Sigmoid",
    "SigmoidMixture",
    "SinhArcsinh",
    "Softplus",
    "Softsign",
    "Sos",
    "Tanh",
    "Umnn",
]
