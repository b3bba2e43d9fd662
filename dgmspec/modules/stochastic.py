"""The twin of `dequantize`, and the draws that a net shapes."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from dgmspec.core.nets import AbstractNet
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.types import UNIT, Support, Type
from dgmspec.modules.nets import below, context_of, evaluate, planes_of
from dgmspec.modules.registry import scalar_twin
from dgmspec.modules.twin import Parameters, StepContext, StepTwin, flat_rows
from dgmspec.ops.stochastic import Dequantize, Variational

HALF_LOG_2_PI: Final = 0.5 * math.log(2 * math.pi)


def shaped(
    net: AbstractNet,
    scalar: AbstractScalar,
    p: Parameters,
    v: Tensor,
    read: Tensor,
    support: Support,
    ctx: StepContext,
    inverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """``T(v; net(read, c))`` or its inverse, and the log-slopes, both in the shape of v; `p` holds the net's
    parameters."""
    c, shape = context_of(ctx, v), tuple(v.shape[1:])
    raw = planes_of(net, evaluate(net, p, (read,), c, ctx.training), len(scalar.raw(support)), shape)
    twin = scalar_twin(scalar)
    y, slopes = (twin.inverse if inverse else twin.forward)(scalar, raw, v, support)
    return y, slopes.expand_as(v)


def shaped_normal(
    net: AbstractNet | None,
    scalar: AbstractScalar,
    p: Parameters,
    v: Tensor,
    read: Tensor,
    support: Support,
    ctx: StepContext,
) -> tuple[Tensor, Tensor]:
    """A normal draw v as it is or shaped by a net, with minus the log-density of the result, (batch,)."""
    surprise = -_log_normal(v)
    if net is None:
        return v, surprise
    y, slopes = shaped(net, scalar, below(p, "net"), v, read, support, ctx)
    return y, surprise + flat_rows(slopes).sum(1)


def log_density_of(
    net: AbstractNet | None,
    scalar: AbstractScalar,
    p: Parameters,
    y: Tensor,
    read: Tensor,
    support: Support,
    ctx: StepContext,
) -> Tensor:
    """The log-density of y as a result of `shaped_normal`, (batch,)."""
    if net is None:
        return _log_normal(y)
    v, slopes = shaped(net, scalar, below(p, "net"), y, read, support, ctx, inverse=True)
    return _log_normal(v) + flat_rows(slopes).sum(1)


def _log_normal(v: Tensor) -> Tensor:
    return flat_rows(-0.5 * v * v - HALF_LOG_2_PI).sum(1)


def _forward(op: Dequantize, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    u, log_det = ctx.noise["u"], x.new_zeros(())
    if isinstance(op.law, Variational):
        u, slopes = shaped(op.law.net, op.law.scalar, below(p, "law/net"), u, _centred(x, ctx.event), UNIT, ctx)
        log_det = flat_rows(slopes).sum(1)
    edge = min(torch.finfo(u.dtype).eps * max(_ends(ctx.event)), 0.25)
    return x + u.clamp(edge, 1 - edge), log_det


def _inverse(op: Dequantize, p: Parameters, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """⌊y⌋, held inside the range only where rounding left it: what lies outside stays there, to be seen and redrawn.
    What is added is log q(u | x): where data are spread cells of whole numbers, their density is P(x) q(u | x)."""
    low, high = ctx.event.support.low, ctx.event.support.high
    slack = torch.finfo(y.dtype).eps * max(_ends(ctx.event))
    inside = (y >= low - slack) & (y <= high + 1 + slack)
    x = torch.where(inside, y.floor().clamp(low, high), y.floor())
    if not isinstance(op.law, Variational) or not ctx.counted:
        return x, y.new_zeros(())
    u = (y - x).clamp(slack, 1 - slack)
    read = _centred(x, ctx.event)
    _, slopes = shaped(op.law.net, op.law.scalar, below(p, "law/net"), u, read, UNIT, ctx, inverse=True)
    return x, flat_rows(slopes).sum(1)


def _centred(x: Tensor, event: Type) -> Tensor:
    """Whole numbers low..high brought to -1..1."""
    low, high = event.support.low, event.support.high
    return (2 * x - (low + high)) / max(high - low, 1)


def _ends(event: Type) -> tuple[float, float]:
    """The sizes of the two ends of the interval: what a rounding error is measured by."""
    return abs(event.support.low), abs(event.support.high + 1)


TWINS: Final = {Dequantize: StepTwin(_forward, _inverse)}
