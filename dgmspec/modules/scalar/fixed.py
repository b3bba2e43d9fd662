"""Scalar bijectors without parameters, each with its log-derivative in the form that neither overflows nor cancels.

A value rounded to an end of an open interval is taken for its nearest interior neighbour, so that what was sampled can
be scored; a value beyond the end stays outside the domain and gives NaN.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.core.types import Support
from dgmspec.modules.twin import ScalarTwin
from dgmspec.ops.scalar.fixed import Exp, LeakyRelu, Logit, Sigmoid, Softplus, Tanh

_LOG2 = math.log(2)


def exp_forward(op: Exp, raw: Tensor, x: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    return x.exp(), x


def exp_inverse(op: Exp, raw: Tensor, y: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    x = off_zero(y).log()
    return x, -x


def softplus_forward(op: Softplus, raw: Tensor, x: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    return softplus(x), -softplus(-x)


def softplus_inverse(op: Softplus, raw: Tensor, y: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    log_slope = torch.log(-torch.expm1(-off_zero(y)))
    return y + log_slope, -log_slope


def sigmoid_forward(op: Sigmoid, raw: Tensor, x: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    return x.sigmoid(), x - 2 * softplus(x)


def sigmoid_inverse(op: Sigmoid, raw: Tensor, y: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    low, high = off_zero(y).log(), torch.log1p(-off_one(y))
    return low - high, -low - high


def tanh_forward(op: Tanh, raw: Tensor, x: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    return x.tanh(), 2 * (_LOG2 - x - softplus(-2 * x))


def tanh_inverse(op: Tanh, raw: Tensor, y: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    low, high = torch.log1p(-off_one(-y)), torch.log1p(-off_one(y))
    return (low - high) / 2, -low - high


def leaky_relu_forward(op: LeakyRelu, raw: Tensor, x: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    return torch.where(x < 0, x * op.slope, x), (x < 0).to(x.dtype) * math.log(op.slope)


def leaky_relu_inverse(op: LeakyRelu, raw: Tensor, y: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    return torch.where(y < 0, y / op.slope, y), (y < 0).to(y.dtype) * -math.log(op.slope)


def logit_forward(op: Logit, raw: Tensor, x: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    factor = (1 - 2 * op.alpha) / (support.high - support.low)
    low = (_inside(x - support.low, support.low) * factor + op.alpha).log()
    high = (_inside(support.high - x, support.high) * factor + op.alpha).log()
    return low - high, math.log(factor) - low - high


def logit_inverse(op: Logit, raw: Tensor, y: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    factor = (1 - 2 * op.alpha) / (support.high - support.low)
    x = (y.sigmoid() - op.alpha) / factor + support.low
    return x, y - 2 * softplus(y) - math.log(factor)


def _inside(distance: Tensor, end: float) -> Tensor:
    """The distance to an end of an interval: at the end that of the next number inside, beyond it none."""
    info = torch.finfo(distance.dtype)
    distance = torch.where(distance == 0, max(info.tiny, info.eps / 2 * abs(end)), distance)
    return torch.where(distance < 0, math.nan, distance)


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), exact in double precision on both sides."""
    return F.softplus(x, threshold=40.0)


def off_zero(y: Tensor) -> Tensor:
    """0 replaced by the smallest normal number."""
    return torch.where(y == 0, torch.finfo(y.dtype).tiny, y)


def off_one(y: Tensor) -> Tensor:
    """1 replaced by the number before it."""
    return torch.where(y == 1, 1 - torch.finfo(y.dtype).eps / 2, y)


TWINS = {
    Exp: ScalarTwin(exp_forward, exp_inverse),
    Softplus: ScalarTwin(softplus_forward, softplus_inverse),
    Sigmoid: ScalarTwin(sigmoid_forward, sigmoid_inverse),
    Tanh: ScalarTwin(tanh_forward, tanh_inverse),
    LeakyRelu: ScalarTwin(leaky_relu_forward, leaky_relu_inverse),
    Logit: ScalarTwin(logit_forward, logit_inverse),
}
