"""Twins of the distributions on the positive line: -inf outside, and draws that keep off 0."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from dgmspec.modules.distributions.line import normal_divergence
from dgmspec.modules.distributions.values import (
    Value,
    Values,
    log,
    open_unit,
    summed,
    total,
    value_of,
    values_of,
)
from dgmspec.modules.twin import DistributionTwin, StepContext
from dgmspec.ops.distributions import HalfCauchy, HalfNormal, LogNormal

_HALF_LOG_TWO_PI: Final = 0.5 * math.log(2 * math.pi)


def _held(x: Tensor) -> Tensor:
    """Draws within the positive numbers of their format."""
    info = torch.finfo(x.dtype)
    return x.clamp(info.tiny, info.max)


# ---- log_normal -----------------------------------------------------------------------------------------------------


def _log_normal_log_prob(op: LogNormal, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    inside = x > 0
    log_x = torch.where(inside, x, 1.0).log()
    scale = value_of(op, p, "scale", x)
    z = (log_x - value_of(op, p, "loc", x)) / scale
    term = torch.where(inside, -0.5 * z.square() - log_x, -math.inf)
    return total(term, -log(scale) - _HALF_LOG_TWO_PI, ctx.event)


def _log_normal_draw(op: LogNormal, p: Values, ctx: StepContext, batch: int) -> Tensor:
    noise = ctx.noise["noise"]
    return _held(torch.exp(value_of(op, p, "loc", noise) + value_of(op, p, "scale", noise) * noise))


def _log_normal_mean(op: LogNormal, p: Values, ctx: StepContext, like: Tensor) -> Value:
    loc, scale = values_of(op, p, like)
    return torch.exp(loc + 0.5 * scale.square())


# ---- magnitudes -----------------------------------------------------------------------------------------------------


def _half_normal_log_prob(op: HalfNormal, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    scale = value_of(op, p, "scale", x)
    term = torch.where(x >= 0, -0.5 * (x / scale).square(), -math.inf)
    return total(term, math.log(2) - log(scale) - _HALF_LOG_TWO_PI, ctx.event)


def _half_normal_draw(op: HalfNormal, p: Values, ctx: StepContext, batch: int) -> Tensor:
    noise = ctx.noise["noise"].abs()
    return _held(value_of(op, p, "scale", noise) * noise)


def _half_normal_mean(op: HalfNormal, p: Values, ctx: StepContext, like: Tensor) -> Value:
    mean: Value = math.sqrt(2 / math.pi) * value_of(op, p, "scale", like)
    return mean


def _half_normal_divergence(
    q: HalfNormal, ours: Values, p: HalfNormal, theirs: Values, ctx: StepContext, like: Tensor
) -> Tensor:
    """log σ_p - log σ_q + (σ_q² / σ_p² - 1) / 2."""
    (scale,), (wide,) = values_of(q, ours, like), values_of(p, theirs, like)
    ratio = scale / wide
    return summed(0.5 * (ratio.square() - 1) - ratio.log(), ctx.event, like)


def _half_cauchy_log_prob(op: HalfCauchy, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    scale = value_of(op, p, "scale", x)
    term = torch.where(x >= 0, -torch.log1p((x / scale).square()), -math.inf)
    return total(term, math.log(2 / math.pi) - log(scale), ctx.event)


def _half_cauchy_draw(op: HalfCauchy, p: Values, ctx: StepContext, batch: int) -> Tensor:
    z = torch.tan(math.pi / 2 * open_unit(ctx.noise["noise"])).abs()
    return _held(value_of(op, p, "scale", z) * z)


def _median(op: HalfCauchy, p: Values, ctx: StepContext, like: Tensor) -> Value:
    median: Value = value_of(op, p, "scale", like)
    return median


TWINS: Final = {
    # The divergence of two laws is that of the logarithms'.
    LogNormal: DistributionTwin(_log_normal_log_prob, _log_normal_draw, _log_normal_mean, normal_divergence),
    HalfNormal: DistributionTwin(_half_normal_log_prob, _half_normal_draw, _half_normal_mean, _half_normal_divergence),
    HalfCauchy: DistributionTwin(_half_cauchy_log_prob, _half_cauchy_draw, _median),
}
