"""Bijections of the circle. Angles lie in [-π, π)."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor

from dgmspec.core.types import Support
from dgmspec.modules.twin import ScalarTwin
from dgmspec.ops.scalar.circle import Moebius

LARGEST: Final = 0.99
"""Bound of |ω|, approached smoothly: the slope stays between 1/199 and 199."""


def wrap(x: Tensor) -> Tensor:
    """The angle in [-π, π) that differs from x by full turns; angles there already keep every digit."""
    turns = torch.floor((x.detach() + math.pi) / (2 * math.pi))
    return (x - turns * (2 * math.pi)).clamp(-math.pi, math.pi)


def moebius_forward(op: Moebius, raw: Tensor, x: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    return _moebius(raw, x, 1.0)


def moebius_inverse(op: Moebius, raw: Tensor, y: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    return _moebius(raw, y, -1.0)


def _moebius(raw: Tensor, x: Tensor, sign: float) -> tuple[Tensor, Tensor]:
    """The angle of h(z) and the log-slope there, with ω for the sign 1 and -ω for -1."""
    square = raw.square().sum(0)
    factor = sign * LARGEST * torch.rsqrt(1 + square)
    room = 1 - LARGEST**2 * square / (1 + square)
    u, v = torch.cos(x) - factor * raw[0], torch.sin(x) - factor * raw[1]
    scale = room / (u.square() + v.square())
    y = torch.atan2(scale * v - factor * raw[1], scale * u - factor * raw[0])
    return wrap(y), scale.log()


TWINS: Final[dict[type[Any], ScalarTwin]] = {Moebius: ScalarTwin(moebius_forward, moebius_inverse)}
