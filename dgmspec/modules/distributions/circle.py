"""The twin of `von_mises`. Its draws around 0 are an input of the program, so that no rejection loop is part of it."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from dgmspec.modules.distributions.values import Values, total, value_of
from dgmspec.modules.scalar.circle import wrap
from dgmspec.modules.twin import DistributionTwin, StepContext
from dgmspec.ops.distributions import VonMises


def log_scaled_bessel(kappa: float) -> float:
    """log(I₀(κ) exp(-κ)): the mean of exp(κ (cos t - 1)) over the circle, where trapezia converge geometrically."""
    count = 40 + int(12 * math.sqrt(kappa))
    return math.log(sum(math.exp(kappa * (math.cos(2 * math.pi * k / count) - 1)) for k in range(count)) / count)


def _log_prob(op: VonMises, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    kappa = op.kappa
    away = torch.sin((x - value_of(op, p, "loc", x)) / 2)  # cos a - 1 = -2 sin²(a / 2), without cancellation
    return total(-2 * kappa * away.square(), -math.log(2 * math.pi) - log_scaled_bessel(kappa), ctx.event)


def _draw(op: VonMises, p: Values, ctx: StepContext, batch: int) -> Tensor:
    around_zero = ctx.noise["noise"]
    return wrap(around_zero + value_of(op, p, "loc", around_zero))


def _direction(op: VonMises, p: Values, ctx: StepContext, like: Tensor) -> Tensor:
    """The mean direction."""
    return wrap(torch.as_tensor(value_of(op, p, "loc", like), dtype=like.dtype, device=like.device))


TWINS: Final = {VonMises: DistributionTwin(_log_prob, _draw, _direction)}
