"""Twins of the steps that take several events to one."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.core.nets import AbstractNet
from dgmspec.modules.nets import below, context_of, evaluate, planes_of
from dgmspec.modules.twin import Parameters, StepContext, StepTwin, flat_rows
from dgmspec.ops.folds import Abs, MaxPool, Sort

Result = tuple[Tensor, Tensor]

WIDEST: Final = 5.0
"""The bound of the logarithms of the gaps' scales."""


def _read(net: AbstractNet, p: Parameters, y: Tensor, planes: int, ctx: StepContext) -> Tensor:
    """So many numbers for each of y from the step's net: (planes, batch, *event)."""
    out = evaluate(net, below(p, "net"), (y,), context_of(ctx, y), ctx.training)
    return planes_of(net, out, planes, tuple(y.shape[1:]))


# ---- abs ------------------------------------------------------------------------------------------------------------


def _magnitude(op: Abs, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    y = x.abs().clamp(min=torch.finfo(x.dtype).tiny)
    if op.net is None:
        return y, _fair(y, ctx)
    return y, _log_signs(_read(op.net, p, y, 1, ctx)[0], x < 0)


def _signed(op: Abs, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    u = ctx.noise["sign"]
    if op.net is None:
        return torch.where(u < 0.5, -y, y), -_fair(y, ctx)
    odds = _read(op.net, p, y, 1, ctx)[0]
    negative = u < torch.sigmoid(-odds)
    return torch.where(negative, -y, y), -_log_signs(odds, negative)


def _fair(y: Tensor, ctx: StepContext) -> Tensor:
    return y.new_full((), -math.log(2) * ctx.event.size)


def _log_signs(odds: Tensor, negative: Tensor) -> Tensor:
    """The log-probability of the signs whose log-odds of being positive are given, (batch,)."""
    return flat_rows(F.logsigmoid(torch.where(negative, -odds, odds))).sum(1)


# ---- sort -----------------------------------------------------------------------------------------------------------


def _sorted(op: Sort, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    ordered = x.sort(1).values
    rounding = torch.finfo(x.dtype).eps * (1 + ordered.abs())[:, 1:]
    gaps = torch.log(torch.maximum(ordered.diff(dim=1), rounding))
    return torch.cat((ordered[:, :1], gaps), 1), -gaps.sum(1) - math.lgamma(x.shape[1] + 1)


def _shuffled(op: Sort, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    gaps = y[:, 1:]
    ordered = torch.cat((y[:, :1], gaps.exp()), 1).cumsum(1)
    x = ordered.gather(1, ctx.noise["order"].argsort(1))
    return x, gaps.sum(1) + math.lgamma(y.shape[1] + 1)


# ---- max_pool -------------------------------------------------------------------------------------------------------


def _pooled(op: MaxPool, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    windows = _windows(op, x)
    y, place = windows.max(0)
    return y, _log_left(*_law(op, p, y, ctx), y - windows, place) if ctx.counted else y.new_zeros(())


def _unpooled(op: MaxPool, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    log_odds, scale = _law(op, p, y, ctx)
    reached = torch.softmax(log_odds, 0).cumsum(0)[:-1]
    place = (ctx.noise["place"] > reached).sum(0)
    gaps = ctx.noise["gap"].movedim(1, 0) * scale.exp()
    here = torch.arange(len(gaps), device=y.device).reshape(-1, *(1,) * y.dim()) == place
    gaps = torch.where(here, 0.0, gaps)
    log_det = -_log_left(log_odds, scale, gaps, place) if ctx.counted else y.new_zeros(())
    return _image(op, y - gaps), log_det


def _law(op: MaxPool, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    """The log-odds of the places in each window and the log-scales of the gaps there: (K, batch or 1, *event of y)."""
    if op.net is not None:
        raw = _read(op.net, p, y, 2 * op.window(ctx.event), ctx)
    else:
        raw = p["raw"].unsqueeze(1)
        raw = raw.reshape(*raw.shape, *(1,) * (y.dim() + 1 - raw.dim()))
    log_odds, scale = raw.chunk(2)
    return log_odds, WIDEST * torch.tanh(scale / WIDEST)


def _log_left(log_odds: Tensor, scale: Tensor, gaps: Tensor, place: Tensor) -> Tensor:
    """log P(place) and the log-densities of the gaps elsewhere, (batch,); gaps are (K, batch, *event of y)."""
    each = torch.log_softmax(log_odds, 0) + scale  # the largest has no gap: its scale is taken back
    chosen = each.expand_as(gaps).gather(0, place.unsqueeze(0))[0]
    apart = (gaps * torch.exp(-scale) + scale).sum(0)
    return (chosen - apart).flatten(1).sum(1)


def _windows(op: MaxPool, x: Tensor) -> Tensor:
    """(batch, *event) -> (K, batch, *event of y)."""
    k = op.size
    if x.dim() == 2:
        return x.reshape(x.shape[0], x.shape[1] // k, k).movedim(2, 0)
    batch, c, h, w = x.shape
    apart = x.reshape(batch, c, h // k, k, w // k, k).permute(3, 5, 0, 1, 2, 4)
    return apart.reshape(k * k, batch, c, h // k, w // k)


def _image(op: MaxPool, windows: Tensor) -> Tensor:
    """The inverse of `_windows`."""
    k = op.size
    if windows.dim() == 3:
        _, batch, d = windows.shape
        return windows.movedim(0, 2).reshape(batch, d * k)
    _, batch, c, h, w = windows.shape
    return windows.reshape(k, k, batch, c, h, w).permute(2, 3, 4, 0, 5, 1).reshape(batch, c, h * k, w * k)


TWINS: Final[dict[type[Any], StepTwin]] = {
    Abs: StepTwin(_magnitude, _signed),
    Sort: StepTwin(_sorted, _shuffled),
    MaxPool: StepTwin(_pooled, _unpooled),
}
