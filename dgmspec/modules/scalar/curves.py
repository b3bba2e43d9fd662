"""Elementary curves, each with its log-derivative in the form that neither overflows nor cancels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dgmspec.core.types import Support
from dgmspec.modules.scalar.fixed import off_one, off_zero
from dgmspec.modules.twin import ScalarTwin
from dgmspec.ops.scalar.curves import MAX_SKEW, Arcsinh, Elu, Power, SinhArcsinh, Softsign

Result = tuple[Tensor, Tensor]


def elu_forward(op: Elu, raw: Tensor, x: Tensor, support: Support) -> Result:
    below = x.clamp(max=0)
    return torch.where(x < 0, torch.expm1(below), x), below


def elu_inverse(op: Elu, raw: Tensor, y: Tensor, support: Support) -> Result:
    x = torch.log1p(-off_one(-y.clamp(max=0)))
    return torch.where(y < 0, x, y), -x


def softsign_forward(op: Softsign, raw: Tensor, x: Tensor, support: Support) -> Result:
    size = 1 + x.abs()
    return x / size, -2 * size.log()


def softsign_inverse(op: Softsign, raw: Tensor, y: Tensor, support: Support) -> Result:
    y = off_one(y.abs()).copysign(y)
    room = torch.where(y.abs() < 1, 1 - y.abs(), math.nan)
    return y / room, -2 * room.log()


def arcsinh_forward(op: Arcsinh, raw: Tensor, x: Tensor, support: Support) -> Result:
    y = torch.asinh(x)
    return y, -log_cosh(y)


def arcsinh_inverse(op: Arcsinh, raw: Tensor, y: Tensor, support: Support) -> Result:
    return torch.sinh(y), log_cosh(y)


def power_forward(op: Power, raw: Tensor, x: Tensor, support: Support) -> Result:
    return _power(x, op.p)


def power_inverse(op: Power, raw: Tensor, y: Tensor, support: Support) -> Result:
    return _power(y, 1 / op.p)


def _power(x: Tensor, p: float) -> Result:
    log = off_zero(x).log()
    return torch.exp(p * log), math.log(abs(p)) + (p - 1) * log


def _shape(op: SinhArcsinh, raw: Tensor) -> tuple[Tensor, Tensor]:
    """log a and b."""
    return op.clamp * torch.tanh(raw[0] / op.clamp), MAX_SKEW * torch.tanh(raw[1] / MAX_SKEW)


def sinh_arcsinh_forward(op: SinhArcsinh, raw: Tensor, x: Tensor, support: Support) -> Result:
    (log_a, b), u = _shape(op, raw), torch.asinh(x)
    v = log_a.exp() * u + b
    return torch.sinh(v), log_a + log_cosh(v) - log_cosh(u)


def sinh_arcsinh_inverse(op: SinhArcsinh, raw: Tensor, y: Tensor, support: Support) -> Result:
    (log_a, b), v = _shape(op, raw), torch.asinh(y)
    u = (v - b) * torch.exp(-log_a)
    return torch.sinh(u), log_cosh(u) - log_cosh(v) - log_a


def log_cosh(x: Tensor) -> Tensor:
    """log cosh x, whose exponentials do not overflow."""
    size = x.abs()
    return size + torch.log1p(torch.exp(-2 * size)) - math.log(2)


TWINS = {
    Elu: ScalarTwin(elu_forward, elu_inverse),
    Softsign: ScalarTwin(softsign_forward, softsign_inverse),
    Arcsinh: ScalarTwin(arcsinh_forward, arcsinh_inverse),
    Power: ScalarTwin(power_forward, power_inverse),
    SinhArcsinh: ScalarTwin(sinh_arcsinh_forward, sinh_arcsinh_inverse),
}
