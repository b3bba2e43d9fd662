"""Twins of the distributions on a part of the line: -inf outside, and draws that keep off its ends."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.special import xlog1py

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
from dgmspec.ops.distributions import Beta, Exponential, Gamma, Uniform


def _within(inside: Tensor, x: Tensor, anchor: float) -> Tensor:
    """x where it is inside, elsewhere a harmless value, so that gradients of the branch not taken stay finite."""
    return torch.where(inside, x, anchor)


def _uniform_log_prob(op: Uniform, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    low, high = op.bounds
    inside = (x >= low) & (x <= high)
    return total(torch.where(inside, 0.0 * x, -math.inf), -math.log(high - low), ctx.event)


def _uniform_draw(op: Uniform, p: Values, ctx: StepContext, batch: int) -> Tensor:
    low, high = op.bounds
    u = ctx.noise["noise"]
    gap = torch.finfo(u.dtype).eps * max(abs(low), abs(high))
    return (low + (high - low) * open_unit(u)).clamp(low + gap, high - gap)


def _exponential_log_prob(op: Exponential, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    rate = value_of(op, p, "rate", x)
    return total(torch.where(x >= 0, -rate * x, -math.inf), log(rate), ctx.event)


def _exponential_draw(op: Exponential, p: Values, ctx: StepContext, batch: int) -> Tensor:
    noise = ctx.noise["noise"]
    x: Tensor = noise.clamp(min=torch.finfo(noise.dtype).tiny) / value_of(op, p, "rate", noise)
    return x


def _gamma_log_prob(op: Gamma, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    k, rate = value_of(op, p, "concentration", x), value_of(op, p, "rate", x)
    inside = x >= 0
    x = _within(inside, x, 1.0)
    term = torch.where(inside, torch.xlogy(k - 1, x) - rate * x, -math.inf)
    return total(term, k * log(rate) - lgamma(k), ctx.event)


def _gamma_draw(op: Gamma, p: Values, ctx: StepContext, batch: int) -> Tensor:
    noise = gamma_noise("noise", ctx.noise, p.get("concentration", 1.0))
    x: Tensor = noise / value_of(op, p, "rate", noise)
    return x


def _beta_log_prob(op: Beta, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    a, b = value_of(op, p, "concentration1", x), value_of(op, p, "concentration0", x)
    inside = (x >= 0) & (x <= 1)
    x = _within(inside, x, 0.5)
    term = torch.where(inside, torch.xlogy(a - 1, x) + xlog1py(b - 1, -x), -math.inf)
    return total(term, lgamma(a + b) - lgamma(a) - lgamma(b), ctx.event)


def _beta_draw(op: Beta, p: Values, ctx: StepContext, batch: int) -> Tensor:
    one = gamma_noise("one", ctx.noise, p.get("concentration1", 1.0))
    zero = gamma_noise("zero", ctx.noise, p.get("concentration0", 1.0))
    info = torch.finfo(one.dtype)
    return (one / (one + zero)).clamp(info.tiny, 1 - info.eps / 2)


def _exponential_divergence(
    q: Exponential, ours: Values, p: Exponential, theirs: Values, ctx: StepContext, like: Tensor
) -> Tensor:
    """r_p / r_q - 1 - log(r_p / r_q)."""
    (rate,), (other,) = values_of(q, ours, like), values_of(p, theirs, like)
    ratio = other / rate
    return summed(ratio - 1 - ratio.log(), ctx.event, like)


def _gamma_divergence(q: Gamma, ours: Values, p: Gamma, theirs: Values, ctx: StepContext, like: Tensor) -> Tensor:
    """(k_q - k_p) ψ(k_q) - log Γ(k_q) + log Γ(k_p) + k_p log(r_q / r_p) + k_q (r_p / r_q - 1)."""
    (k, rate), (k_p, other) = values_of(q, ours, like), values_of(p, theirs, like)
    shapes = (k - k_p) * torch.digamma(k) - torch.lgamma(k) + torch.lgamma(k_p)
    return summed(shapes + k_p * (rate / other).log() + k * (other / rate - 1), ctx.event, like)


def _beta_divergence(q: Beta, ours: Values, p: Beta, theirs: Values, ctx: StepContext, like: Tensor) -> Tensor:
    """log B(p) - log B(q) + (a_q - a_p) ψ(a_q) + (b_q - b_p) ψ(b_q) + (a_p - a_q + b_p - b_q) ψ(a_q + b_q)."""
    (a, b), (c, d) = values_of(q, ours, like), values_of(p, theirs, like)
    constants = torch.lgamma(c) + torch.lgamma(d) - torch.lgamma(c + d)
    constants = constants - torch.lgamma(a) - torch.lgamma(b) + torch.lgamma(a + b)
    slopes = (a - c) * torch.digamma(a) + (b - d) * torch.digamma(b) + (c - a + d - b) * torch.digamma(a + b)
    return summed(constants + slopes, ctx.event, like)


def _exponential_mean(op: Exponential, p: Values, ctx: StepContext, like: Tensor) -> Value:
    mean: Value = 1 / value_of(op, p, "rate", like)
    return mean


def _gamma_mean(op: Gamma, p: Values, ctx: StepContext, like: Tensor) -> Value:
    mean: Value = value_of(op, p, "concentration", like) / value_of(op, p, "rate", like)
    return mean


def _beta_mean(op: Beta, p: Values, ctx: StepContext, like: Tensor) -> Value:
    a, b = value_of(op, p, "concentration1", like), value_of(op, p, "concentration0", like)
    mean: Value = a / (a + b)
    return mean


TWINS: Final = {
    Uniform: DistributionTwin(_uniform_log_prob, _uniform_draw, lambda op, p, ctx, like: sum(op.bounds) / 2),
    Exponential: DistributionTwin(_exponential_log_prob, _exponential_draw, _exponential_mean, _exponential_divergence),
    Gamma: DistributionTwin(_gamma_log_prob, _gamma_draw, _gamma_mean, _gamma_divergence),
    Beta: DistributionTwin(_beta_log_prob, _beta_draw, _beta_mean, _beta_divergence),
}
