"""Twins of the distributions of labels and whole numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.distributions.values import Values, open_unit, summed, value_of
from dgmspec.modules.twin import DistributionTwin, StepContext, sum_event
from dgmspec.ops.distributions import (
    Bernoulli,
    BetaBinomial,
    Categorical,
    DiscretizedLogistic,
    NegativeBinomial,
    Poisson,
)

ByLogits = Bernoulli | Categorical | NegativeBinomial


def given(op: ByLogits, p: Values, name: str, like: Tensor) -> Tensor | None:
    """A parameter as a tensor, None where the other one is given."""
    value = value_of(op, p, name, like) if name in p or getattr(op, name) is not None else None
    return None if value is None else torch.as_tensor(value, dtype=like.dtype, device=like.device)


# ---- bernoulli ------------------------------------------------------------------------------------------------------


def bernoulli_logits(op: Bernoulli | NegativeBinomial, p: Values, like: Tensor) -> Tensor:
    """log p - log(1 - p)."""
    logits = given(op, p, "logits", like)
    if logits is not None:
        return logits
    probs = given(op, p, "probs", like)
    return like.new_zeros(()) if probs is None else torch.logit(probs)


def _bernoulli_log_prob(op: Bernoulli, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    logits = bernoulli_logits(op, p, x)
    return sum_event(x * logits + F.logsigmoid(-logits), ctx.event)


def _bernoulli_draw(op: Bernoulli, p: Values, ctx: StepContext, batch: int) -> Tensor:
    u = ctx.noise["noise"]
    return (u < torch.sigmoid(bernoulli_logits(op, p, u))).to(u.dtype)


def _bernoulli_mean(op: Bernoulli, p: Values, ctx: StepContext, like: Tensor) -> Tensor:
    return torch.sigmoid(bernoulli_logits(op, p, like))


def _bernoulli_divergence(
    q: Bernoulli, ours: Values, p: Bernoulli, theirs: Values, ctx: StepContext, like: Tensor
) -> Tensor:
    """Σ_x q(x) (log q(x) - log p(x)) over 0 and 1."""
    a, b = bernoulli_logits(q, ours, like), bernoulli_logits(p, theirs, like)
    one = torch.sigmoid(a) * (F.logsigmoid(a) - F.logsigmoid(b))
    return summed(one + torch.sigmoid(-a) * (F.logsigmoid(-a) - F.logsigmoid(-b)), ctx.event, like)


# ---- tables of probabilities ----------------------------------------------------------------------------------------


def categorical_log_probs(op: Categorical, p: Values, like: Tensor, event: Type) -> Tensor:
    """The log-probability of every label, along the last dimension."""
    logits = given(op, p, "logits", like)
    if logits is None:
        probs = given(op, p, "probs", like)
        logits = like.new_zeros(()) if probs is None else probs.log()
    count = int(event.support.high) + 1
    return F.log_softmax(logits.expand(*logits.shape[:-1], count) if logits.dim() else logits.expand(count), -1)


def beta_binomial_log_probs(op: BetaBinomial, p: Values, like: Tensor, event: Type) -> Tensor:
    """The log-probability of every whole number of the range, along the last dimension."""
    count = int(event.support.high - event.support.low)
    successes = torch.arange(count + 1, dtype=like.dtype, device=like.device)
    return _beta_binomial(op, p, successes, count, like, -1)


def _beta_binomial(op: BetaBinomial, p: Values, k: Tensor, n: int, like: Tensor, at: int | None) -> Tensor:
    """log C(n, k) + log B(k + α, n - k + β) - log B(α, β); parameters get a last dimension of 1 where `at` is given."""
    a, b = (torch.as_tensor(value_of(op, p, name, like), dtype=like.dtype, device=like.device) for name in op.domains)
    if at is not None:
        a, b = a.unsqueeze(-1), b.unsqueeze(-1)
    choose = math.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
    beta = torch.lgamma(k + a) + torch.lgamma(n - k + b) - torch.lgamma(n + a + b)
    return choose + beta + torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)


def _pick(table: Tensor, labels: Tensor) -> Tensor:
    """The entry of a table (…, K) for each label, the table broadcast to the labels."""
    index = labels.long().unsqueeze(-1)
    return table.expand(*index.shape[:-1], table.shape[-1]).gather(-1, index).squeeze(-1)


def _by_cumulative(log_probs: Tensor, u: Tensor) -> Tensor:
    """The first label whose cumulative probability exceeds u."""
    cumulative = log_probs.exp().cumsum(-1)
    return (u.unsqueeze(-1) > cumulative[..., :-1]).sum(-1).to(u.dtype)


def _categorical_log_prob(op: Categorical, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    return sum_event(_pick(categorical_log_probs(op, p, x, ctx.event), x), ctx.event)


def _categorical_draw(op: Categorical, p: Values, ctx: StepContext, batch: int) -> Tensor:
    u = ctx.noise["noise"]
    return _by_cumulative(categorical_log_probs(op, p, u, ctx.event), u)


def _categorical_mode(op: Categorical, p: Values, ctx: StepContext, like: Tensor) -> Tensor:
    return categorical_log_probs(op, p, like, ctx.event).argmax(-1).to(like.dtype)


def _categorical_divergence(
    q: Categorical, ours: Values, p: Categorical, theirs: Values, ctx: StepContext, like: Tensor
) -> Tensor:
    """Σ_k q_k (log q_k - log p_k)."""
    a, b = (categorical_log_probs(op, own, like, ctx.event) for op, own in ((q, ours), (p, theirs)))
    return summed((a.exp() * (a - b)).sum(-1), ctx.event, like)


def _beta_binomial_log_prob(op: BetaBinomial, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    low, count = ctx.event.support.low, int(ctx.event.support.high - ctx.event.support.low)
    return sum_event(_beta_binomial(op, p, x - low, count, x, None), ctx.event)


def _beta_binomial_draw(op: BetaBinomial, p: Values, ctx: StepContext, batch: int) -> Tensor:
    u = ctx.noise["noise"]
    return ctx.event.support.low + _by_cumulative(beta_binomial_log_probs(op, p, u, ctx.event), u)


def _beta_binomial_mean(op: BetaBinomial, p: Values, ctx: StepContext, like: Tensor) -> Tensor:
    a, b = (value_of(op, p, name, like) for name in op.domains)
    low, high = ctx.event.support.low, ctx.event.support.high
    return low + (high - low) * torch.as_tensor(a / (a + b), dtype=like.dtype, device=like.device)


# ---- counts ---------------------------------------------------------------------------------------------------------

Masses = Callable[[Any, Values, Tensor, Tensor], Tensor]
"""(op, p, counts, like) -> the log-mass of each count along the last dimension, up to what is the same for all."""


def _poisson_masses(op: Poisson, p: Values, k: Tensor, like: Tensor) -> Tensor:
    rate = torch.as_tensor(value_of(op, p, "rate", like), dtype=like.dtype, device=like.device).unsqueeze(-1)
    return k * rate.log() - torch.lgamma(k + 1)


def _negative_binomial_masses(op: NegativeBinomial, p: Values, k: Tensor, like: Tensor) -> Tensor:
    failures = torch.as_tensor(value_of(op, p, "total_count", like), dtype=like.dtype, device=like.device)
    logits = bernoulli_logits(op, p, like).unsqueeze(-1)
    return k * F.logsigmoid(logits) + torch.lgamma(k + failures.unsqueeze(-1)) - torch.lgamma(k + 1)


def _of_counts(masses: Masses) -> DistributionTwin:
    """The twin of a law of counts 0..b, its masses divided by their sum."""

    def table(op: Any, p: Values, like: Tensor, event: Type) -> Tensor:
        k = torch.arange(int(event.support.high) + 1, dtype=like.dtype, device=like.device)
        return F.log_softmax(masses(op, p, k, like), -1)

    def log_prob(op: Any, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
        return sum_event(_pick(table(op, p, x, ctx.event), x), ctx.event)

    def draw(op: Any, p: Values, ctx: StepContext, batch: int) -> Tensor:
        u = ctx.noise["noise"]
        return _by_cumulative(table(op, p, u, ctx.event), u)

    def mean(op: Any, p: Values, ctx: StepContext, like: Tensor) -> Tensor:
        mass = table(op, p, like, ctx.event).exp()
        return (mass * torch.arange(mass.shape[-1], dtype=like.dtype, device=like.device)).sum(-1)

    return DistributionTwin(log_prob, draw, mean)


# ---- discretised logistic -------------------------------------------------------------------------------------------


def _parts(op: DiscretizedLogistic, p: Values, like: Tensor) -> tuple[Any, Any, Any]:
    loc, scale = value_of(op, p, "loc", like), value_of(op, p, "scale", like)
    return loc, scale, value_of(op, p, "logits", like) if op.components > 1 else 0.0


def _scaled(event: Type, x: Tensor) -> tuple[Tensor, float]:
    """Whole numbers on the range mapped to (-1, 1), and half a cell there: the cells fill the interval exactly."""
    low, count = event.support.low, event.support.high - event.support.low + 1
    return (2 * (x - low) + 1) / count - 1, 1 / count


def _cell(event: Type, x: Tensor, loc: Any, scale: Any) -> Tensor:
    """The log-mass of a logistic law in the cell of x.

    log(σ(b) - σ(a)) = log σ(b) + log σ(-a) + log(1 - exp(a - b)), which neither overflows nor cancels.
    """
    t, half = _scaled(event, x)
    upper, lower = (t + half - loc) / scale, (t - half - loc) / scale
    width = torch.as_tensor(2 * half / scale, dtype=x.dtype, device=x.device)
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
    first, last = x <= event.support.low, x >= event.support.high
    return torch.where(first, F.logsigmoid(upper), torch.where(last, F.logsigmoid(-lower), inside))


def _logistic_log_prob(op: DiscretizedLogistic, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    loc, scale, logits = _parts(op, p, x)
    if op.components == 1:
        return sum_event(_cell(ctx.event, x, loc, scale), ctx.event)
    cells = _cell(ctx.event, x.unsqueeze(-1), loc, scale)
    return sum_event(torch.logsumexp(cells + _log_weights(op, logits, x), -1), ctx.event)


def _log_weights(op: DiscretizedLogistic, logits: Any, like: Tensor) -> Tensor:
    """The log-weight of each component, along the last dimension."""
    logits = torch.as_tensor(logits, dtype=like.dtype, device=like.device)
    return F.log_softmax(logits if logits.dim() else logits.expand(op.components), -1)


def _logistic_draw(op: DiscretizedLogistic, p: Values, ctx: StepContext, batch: int) -> Tensor:
    u = ctx.noise["noise"]
    loc, scale, logits = _parts(op, p, u)
    if op.components > 1:
        chosen = _by_cumulative(_log_weights(op, logits, u), ctx.noise["component"])
        loc, scale = (_chosen(value, chosen, op.components) for value in (loc, scale))
    low, high = ctx.event.support.low, ctx.event.support.high
    t = loc + scale * torch.logit(open_unit(u))
    cell: Tensor = torch.floor((t + 1) / 2 * (high - low + 1))
    return (low + cell).clamp(low, high)


def _chosen(value: Any, component: Tensor, count: int) -> Tensor:
    """The entry of a parameter for the component that was drawn."""
    value = torch.as_tensor(value, dtype=component.dtype, device=component.device)
    return _pick(value if value.dim() else value.expand(count), component)


def _logistic_mean(op: DiscretizedLogistic, p: Values, ctx: StepContext, like: Tensor) -> Tensor:
    """Σ x p(x) over the range, one value at a time, so that images fit into memory."""
    loc, scale, logits = _parts(op, p, like)
    found = torch.zeros_like(like)
    for value in range(int(ctx.event.support.low), int(ctx.event.support.high) + 1):
        x = torch.full_like(like, float(value))
        if op.components == 1:
            mass = _cell(ctx.event, x, loc, scale).exp()
        else:
            cells = _cell(ctx.event, x.unsqueeze(-1), loc, scale)
            mass = torch.logsumexp(cells + _log_weights(op, logits, x), -1).exp()
        found = found + value * mass
    return found


TWINS: Final = {
    Bernoulli: DistributionTwin(_bernoulli_log_prob, _bernoulli_draw, _bernoulli_mean, _bernoulli_divergence),
    Categorical: DistributionTwin(_categorical_log_prob, _categorical_draw, _categorical_mode, _categorical_divergence),
    BetaBinomial: DistributionTwin(_beta_binomial_log_prob, _beta_binomial_draw, _beta_binomial_mean),
    Poisson: _of_counts(_poisson_masses),
    NegativeBinomial: _of_counts(_negative_binomial_masses),
    DiscretizedLogistic: DistributionTwin(_logistic_log_prob, _logistic_draw, _logistic_mean),
}
