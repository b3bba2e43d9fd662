"""The twin of `batchnorm`. Its running averages are parameters that only `update` and `initialise` change."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from dgmspec.modules.structure import per_channel
from dgmspec.modules.twin import Parameters, StepContext, StepTwin
from dgmspec.ops.normalisation import BatchNorm


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Variance (over the count) and mean of each coordinate or channel."""
    return torch.var_mean(x, [axis for axis in range(x.dim()) if axis != 1], correction=0)


def _log_slope(op: BatchNorm, p: Parameters, variance: Tensor) -> Tensor:
    return p["log_scale"] - 0.5 * torch.log(variance + op.eps)


def _forward(op: BatchNorm, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    variance, mean = _statistics(x) if ctx.training else (p["log_variance"].exp(), p["mean"])
    slope = _log_slope(op, p, variance)
    y = (x - per_channel(mean, ctx.event)) * per_channel(slope.exp(), ctx.event) + per_channel(p["shift"], ctx.event)
    return y, slope.sum() * math.prod(ctx.event.shape[1:])


def _inverse(op: BatchNorm, p: Parameters, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    slope = _log_slope(op, p, p["log_variance"].exp())
    x = (y - per_channel(p["shift"], ctx.event)) * per_channel(torch.exp(-slope), ctx.event)
    return x + per_channel(p["mean"], ctx.event), -slope.sum() * math.prod(ctx.event.shape[1:])


def _update(op: BatchNorm, p: Parameters, x: Tensor, ctx: StepContext) -> dict[str, Tensor]:
    variance, mean = _statistics(x)
    moved = torch.lerp(p["log_variance"].exp(), variance.clamp(min=op.eps), op.momentum)
    return {"mean": torch.lerp(p["mean"], mean, op.momentum), "log_variance": moved.log()}


def _initialise(op: BatchNorm, p: Parameters, x: Tensor, ctx: StepContext, inverse: bool) -> dict[str, Tensor]:
    """The averages at the first batch; where it arrives at the step's end, the learned part as that of `actnorm`."""
    variance, mean = _statistics(x)
    log_variance = variance.clamp(min=op.eps).log()
    return {"log_scale": 0.5 * log_variance, "shift": mean} if inverse else {"mean": mean, "log_variance": log_variance}


TWINS: Final = {BatchNorm: StepTwin(_forward, _inverse, initialise=_initialise, update=_update)}
