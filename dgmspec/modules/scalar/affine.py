"""Maps of constant slope; their log-derivative keeps the shape of the parameters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dgmspec.core.types import Support
from dgmspec.modules.scalar.circle import wrap
from dgmspec.modules.twin import ScalarTwin
from dgmspec.ops.scalar.affine import Additive, Affine, ShiftScale


def _log_scale(op: Affine, raw: Tensor) -> Tensor:
    """r within the soft clamp (-c, c)."""
    return raw if math.isinf(op.clamp) else torch.tanh(raw / op.clamp) * op.clamp


def affine_forward(op: Affine, raw: Tensor, x: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    s = _log_scale(op, raw[0])
    return torch.addcmul(raw[1], x, s.exp()), s


def affine_inverse(op: Affine, raw: Tensor, y: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    s = -_log_scale(op, raw[0])
    return (y - raw[1]) * s.exp(), s


def additive_forward(op: Additive, raw: Tensor, x: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    y = x + raw[0]
    return wrap(y) if support.circular else y, torch.zeros_like(raw[0])


def additive_inverse(op: Additive, raw: Tensor, y: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    x = y - raw[0]
    return wrap(x) if support.circular else x, torch.zeros_like(raw[0])


def shift_scale_forward(op: ShiftScale, raw: Tensor, x: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    if isinstance(op.shift, float) and isinstance(op.scale, float):
        return x * op.scale + op.shift, _everywhere(x, math.log(abs(op.scale)))
    return torch.addcmul(raw[0], x, raw[1]), raw[1].abs().log()


def shift_scale_inverse(op: ShiftScale, raw: Tensor, y: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    if isinstance(op.shift, float) and isinstance(op.scale, float):
        return (y - op.shift) / op.scale, _everywhere(y, -math.log(abs(op.scale)))
    return (y - raw[0]) / raw[1], -raw[1].abs().log()


def _everywhere(x: Tensor, value: float) -> Tensor:
    """A number for every coordinate of one event, (1, *event)."""
    return x.new_full((1,) * x.dim(), value).expand(1, *x.shape[1:])


TWINS = {
    Affine: ScalarTwin(affine_forward, affine_inverse),
    Additive: ScalarTwin(additive_forward, additive_inverse),
    ShiftScale: ScalarTwin(shift_scale_forward, shift_scale_inverse),
}
