"""Twins of the distributions on the whole line, in forms whose tails neither overflow nor cancel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from dgmspec.modules.distributions.values import (
    Value,
    Values,
    gamma_noise,
    lgamma,
    log,
    open_unit,
    summed,
    total,
    value_of,
    values_of,
)
from dgmspec.modules.twin import DistributionTwin, StepContext
from dgmspec.ops.distributions import AbstractParametric, Cauchy, Laplace, Logistic, Normal, StudentT
from dgmspec.ops.distributions.product import AbstractProduct

_HALF_LOG_TWO_PI: Final = 0.5 * math.log(2 * math.pi)


def _standard(op: AbstractParametric, p: Values, x: Tensor) -> tuple[Tensor, Value]:
    """((x - loc) / scale, log scale)."""
    scale = value_of(op, p, "scale", x)
    return (x - value_of(op, p, "loc", x)) / scale, log(scale)


def _location_scale(
    noise: Callable[[Any, Values, StepContext], Tensor],
) -> Callable[[Any, Values, StepContext, int], Tensor]:
    """A draw ``loc + scale · noise``."""

    def draw(op: AbstractParametric, p: Values, ctx: StepContext, batch: int) -> Tensor:
        z = noise(op, p, ctx)
        moved: Tensor = value_of(op, p, "loc", z) + value_of(op, p, "scale", z) * z
        return moved

    return draw


def _normal_log_prob(op: Normal, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    z, log_scale = _standard(op, p, x)
    return total(-0.5 * z.square(), -log_scale - _HALF_LOG_TWO_PI, ctx.event)


def _logistic_log_prob(op: Logistic, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    z, log_scale = _standard(op, p, x)
    return total(logsigmoid(z) + logsigmoid(-z), -log_scale, ctx.event)


def _logistic_noise(op: Logistic, p: Values, ctx: StepContext) -> Tensor:
    return torch.logit(open_unit(ctx.noise["noise"]))


def _laplace_log_prob(op: Laplace, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    z, log_scale = _standard(op, p, x)
    return total(-z.abs(), -log_scale - math.log(2), ctx.event)


def _laplace_noise(op: Laplace, p: Values, ctx: StepContext) -> Tensor:
    return ctx.noise["above"] - ctx.noise["below"]


def _cauchy_log_prob(op: Cauchy, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    z, log_scale = _standard(op, p, x)
    return total(-torch.log1p(z.square()), -log_scale - math.log(math.pi), ctx.event)


def _cauchy_noise(op: Cauchy, p: Values, ctx: StepContext) -> Tensor:
    return torch.tan(math.pi * (open_unit(ctx.noise["noise"]) - 0.5))


def _student_log_prob(op: StudentT, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    z, log_scale = _standard(op, p, x)
    df = value_of(op, p, "df", x)
    constant = lgamma((df + 1) / 2) - lgamma(df / 2) - 0.5 * log(df * math.pi) - log_scale
    return total(-(df + 1) / 2 * torch.log1p(z.square() / df), constant, ctx.event)


def _student_noise(op: StudentT, p: Values, ctx: StepContext) -> Tensor:
    eps = ctx.noise["noise"]
    df = value_of(op, p, "df", eps)
    return eps * torch.rsqrt(2 * gamma_noise("gamma", ctx.noise, 0.5 * df) / df)


def normal_divergence(
    q: AbstractProduct, ours: Values, p: AbstractProduct, theirs: Values, ctx: StepContext, like: Tensor
) -> Tensor:
    """log σ_p - log σ_q + (σ_q² + (μ_q - μ_p)²) / (2 σ_p²) - ½, of `loc` and `scale`."""
    (mean, scale), (other, wide) = values_of(q, ours, like), values_of(p, theirs, like)
    ratio = scale / wide
    return summed(0.5 * (ratio.square() + ((mean - other) / wide).square() - 1) - ratio.log(), ctx.event, like)


def _laplace_divergence(q: Laplace, ours: Values, p: Laplace, theirs: Values, ctx: StepContext, like: Tensor) -> Tensor:
    """log b_p - log b_q + (b_q exp(-d / b_q) + d) / b_p - 1, d = |μ_q - μ_p|."""
    (mean, scale), (other, wide) = values_of(q, ours, like), values_of(p, theirs, like)
    apart = (mean - other).abs()
    term = (wide / scale).log() + (scale * torch.exp(-apart / scale) + apart) / wide - 1
    return summed(term, ctx.event, like)


def _location(op: AbstractParametric, p: Values, ctx: StepContext, like: Tensor) -> Value:
    """The mean, and of Cauchy's law and Student's t the centre, of a symmetric law."""
    location: Value = value_of(op, p, "loc", like)
    return location


TWINS: Final = {
    Normal: DistributionTwin(
        _normal_log_prob, _location_scale(lambda op, p, ctx: ctx.noise["noise"]), _location, normal_divergence
    ),
    Logistic: DistributionTwin(_logistic_log_prob, _location_scale(_logistic_noise), _location),
    Laplace: DistributionTwin(_laplace_log_prob, _location_scale(_laplace_noise), _location, _laplace_divergence),
    Cauchy: DistributionTwin(_cauchy_log_prob, _location_scale(_cauchy_noise), _location),
    StudentT: DistributionTwin(_student_log_prob, _location_scale(_student_noise), _location),
}
