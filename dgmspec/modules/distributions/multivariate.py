"""The twin of `multivariate_normal`: one triangular solve a density, one triangular product a draw."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from dgmspec.modules.distributions.values import Value, Values, value_of
from dgmspec.modules.twin import DistributionTwin, StepContext
from dgmspec.ops.distributions import AbstractParametric, MultivariateNormal, Normal

_HALF_LOG_TWO_PI: Final = 0.5 * math.log(2 * math.pi)


def _solved(factor: Tensor, x: Tensor) -> Tensor:
    """L⁻¹ x for vectors (batch, d) or matrices (batch, d, d)."""
    if x.dim() == 3:
        found: Tensor = torch.linalg.solve_triangular(factor, x, upper=False)
    elif factor.dim() == 2 or factor.shape[0] == 1:  # one matrix for all rows
        found = torch.linalg.solve_triangular(factor.reshape(factor.shape[-2:]), x.mT, upper=False).mT
    else:
        found = torch.linalg.solve_triangular(factor, x.unsqueeze(2), upper=False).squeeze(2)
    return found


def _log_scale(factor: Tensor) -> Tensor:
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def _log_prob(op: MultivariateNormal, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    factor = value_of(op, p, "scale_tril", x)
    z = _solved(factor, x - value_of(op, p, "loc", x))
    log_p: Tensor = -0.5 * z.square().sum(1) - _log_scale(factor) - _HALF_LOG_TWO_PI * ctx.event.size
    return log_p


def _draw(op: MultivariateNormal, p: Values, ctx: StepContext, batch: int) -> Tensor:
    z = ctx.noise["noise"]
    moved: Tensor = value_of(op, p, "loc", z) + (value_of(op, p, "scale_tril", z) @ z.unsqueeze(2)).squeeze(2)
    return moved


def _mean(op: MultivariateNormal, p: Values, ctx: StepContext, like: Tensor) -> Value:
    location: Value = value_of(op, p, "loc", like)
    return location


def _divergence(
    q: MultivariateNormal, ours: Values, p: AbstractParametric, theirs: Values, ctx: StepContext, like: Tensor
) -> Tensor:
    """½ (|L_p⁻¹ L_q|² + |L_p⁻¹ (μ_q - μ_p)|² - d) + log|L_p| - log|L_q|, L_p diagonal for a `normal`."""
    factor = value_of(q, ours, "scale_tril", like)
    apart = like + value_of(q, ours, "loc", like) - value_of(p, theirs, "loc", like)
    if isinstance(p, Normal):
        scale = like + value_of(p, theirs, "scale", like)
        shared, moved, other = factor / scale.unsqueeze(2), apart / scale, scale.log().sum(1)
    else:
        other_factor = value_of(p, theirs, "scale_tril", like)
        batch = (like.shape[0], *like.shape[1:], like.shape[1])
        shared = _solved(other_factor.expand(batch), factor.expand(batch))
        moved, other = _solved(other_factor, apart), _log_scale(other_factor)
    squares = shared.square().sum((-2, -1)) + moved.square().sum(1) - like.shape[1]
    found: Tensor = 0.5 * squares + other - _log_scale(factor)
    return found


TWINS: Final = {MultivariateNormal: DistributionTwin(_log_prob, _draw, _mean, _divergence)}
