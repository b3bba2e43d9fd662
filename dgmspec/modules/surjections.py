"""Twins of the steps that a flow undoes by forgetting."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.core.types import REAL, Type
from dgmspec.modules.stochastic import log_density_of, shaped_normal
from dgmspec.modules.twin import Parameters, StepContext, StepTwin, flat_rows
from dgmspec.ops.surjections import Argmax, Augment

Result = tuple[Tensor, Tensor]


# ---- augment --------------------------------------------------------------------------------------------------------


def _augment(op: Augment, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    e, log_det = shaped_normal(op.net, op.scalar, p, ctx.noise["e"], x, REAL, ctx)
    return torch.cat((x, e), 1), log_det


def _drop(op: Augment, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    x, e = y[:, : -op.count], y[:, -op.count :]
    if not ctx.counted:
        return x, y.new_zeros(())
    return x, log_density_of(op.net, op.scalar, p, e, x, REAL, ctx)


# ---- argmax ---------------------------------------------------------------------------------------------------------


def _continuous(op: Argmax, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    v, event = ctx.noise["u"], ctx.event
    own = _code(op, x, event).to(v.dtype)  # (batch, n, *shape): one-hot, or a sign for each digit
    u, log_det = shaped_normal(op.net, op.scalar, p, v, _laid(own, event), REAL, ctx)
    u = _apart(u, op.numbers(event), event)
    if op.code == "binary":
        gap, slopes = _gap(u), F.logsigmoid(u)
        return _laid(own * gap, event), log_det + slopes.flatten(1).sum(1)
    top = (own * u).sum(1, keepdim=True)
    slopes = (1 - own) * F.logsigmoid(top - u)
    y = torch.where(own > 0, u, top - _gap(top - u, top.abs()))
    return _laid(y, event), log_det + slopes.flatten(1).sum(1)


def _labels(op: Argmax, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    event, labels = ctx.event, int(ctx.event.support.high) + 1
    numbers = _apart(y, op.numbers(event), event)
    if op.code == "onehot":
        x = numbers.argmax(1)
        return x.to(y.dtype), _log_density(op, p, numbers, x, ctx) if ctx.counted else y.new_zeros(())
    weights = 2 ** torch.arange(numbers.shape[1], device=y.device)
    found = ((numbers > 0) * weights.reshape(-1, *(1,) * (numbers.dim() - 2))).sum(1)
    x = found % labels
    if not ctx.counted:
        return x.to(y.dtype), y.new_zeros(())
    drawn = flat_rows(found < labels).all(1)
    return x.to(y.dtype), torch.where(drawn, _log_density(op, p, numbers, x, ctx), -math.inf)


def _log_density(op: Argmax, p: Parameters, numbers: Tensor, x: Tensor, ctx: StepContext) -> Tensor:
    """log q(y | x) of numbers (batch, n, *shape) of which x are the labels."""
    event = ctx.event
    own = _code(op, x, event).to(numbers.dtype)
    if op.code == "binary":
        u = _before_gap(numbers.abs())
        slopes = -F.logsigmoid(u)
    else:
        top = (own * numbers).sum(1, keepdim=True)
        apart = _before_gap(torch.where(own > 0, 1.0, top - numbers))
        u = torch.where(own > 0, numbers, top - apart)
        slopes = -(1 - own) * F.logsigmoid(apart)
    log_q = log_density_of(op.net, op.scalar, p, _laid(u, event), _laid(own, event), REAL, ctx)
    return log_q + slopes.flatten(1).sum(1)


def _before_gap(gap: Tensor) -> Tensor:
    """The inverse of softplus."""
    gap = gap.clamp(min=torch.finfo(gap.dtype).tiny)
    return gap + torch.log(-torch.expm1(-gap))


def _gap(t: Tensor, beside: Tensor | float = 1.0) -> Tensor:
    """softplus(t), held above a rounding error of the number that it is a distance from."""
    least = 4 * torch.finfo(t.dtype).eps * (1 + beside)
    return torch.maximum(F.softplus(t), torch.as_tensor(least, dtype=t.dtype, device=t.device))


def _code(op: Argmax, x: Tensor, event: Type) -> Tensor:
    """Labels (batch, *shape) as what stands for them, (batch, n, *shape)."""
    count = op.numbers(event)
    places = torch.arange(count, device=x.device).reshape(1, count, *(1,) * len(event.shape))
    labels = x.long().unsqueeze(1)
    if op.code == "binary":
        return 2 * ((labels >> places) & 1) - 1
    return labels == places


def _laid(values: Tensor, event: Type) -> Tensor:
    """(batch, n, *shape) as the event behind the step is laid out."""
    if len(event.shape) == 1:
        return values.mT
    return values.transpose(1, 2).flatten(1, 2) if len(event.shape) == 3 else values


def _apart(y: Tensor, count: int, event: Type) -> Tensor:
    """The inverse of `_laid`."""
    if len(event.shape) == 1:
        return y.mT
    return (
        y.reshape(y.shape[0], event.shape[0], count, *event.shape[1:]).transpose(1, 2) if len(event.shape) == 3 else y
    )


TWINS: Final[dict[type[Any], StepTwin]] = {Augment: StepTwin(_augment, _drop), Argmax: StepTwin(_continuous, _labels)}
