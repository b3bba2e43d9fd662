"""Twins of the distributions on a part of the line: -inf outside, and draws that keep off its ends."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.special import xlog1py

from dgmspec.modules.distributions.values import Values, gamma_noise, lgamma, log, open_unit, total, value_of
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
    noise = gamma_noise("noise", ctx.noise)
    x: Tensor = noise / value_of(op, p, "rate", noise)
    return x


def _beta_log_prob(op: Beta, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    a, b = value_of(op, p, "concentration1", x), value_of(op, p, "concentration0", x)
    inside = (x >= 0) & (x <= 1)
    x = _within(inside, x, 0.5)
    term = torch.where(inside, torch.xlogy(a - 1, x) + xlog1py(b - 1, -x), -math.inf)
    return total(term, lgamma(a + b) - lgamma(a) - lgamma(b), ctx.event)


def _beta_draw(op: Beta, p: Values, ctx: StepContext, batch: int) -> Tensor:
    one, zero = gamma_noise("one", ctx.noise), gamma_noise("zero", ctx.noise)
    info = torch.finfo(one.dtype)
    return (one / (one + zero)).clamp(info.tiny, 1 - info.eps / 2)


TWINS: Final = {
    Uniform: DistributionTwin(_uniform_log_prob, _uniform_draw),
    Exponential: DistributionTwin(_exponential_log_prob, _exponential_draw),
    Gamma: DistributionTwin(_gamma_log_prob, _gamma_draw),
    Beta: DistributionTwin(_beta_log_prob, _beta_draw),
}
