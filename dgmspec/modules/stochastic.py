"""The twin of `dequantize`."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.twin import Parameters, StepContext, StepTwin
from dgmspec.ops.stochastic import Dequantize


def _forward(op: Dequantize, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    u = ctx.noise["u"]
    edge = min(torch.finfo(u.dtype).eps * max(_ends(ctx.event)), 0.25)
    return x + u.clamp(edge, 1 - edge), u.new_zeros(())


def _inverse(op: Dequantize, p: Parameters, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """⌊y⌋, held inside the range only where rounding left it: what lies outside stays there, to be seen and redrawn."""
    low, high = ctx.event.support.low, ctx.event.support.high
    slack = torch.finfo(y.dtype).eps * max(_ends(ctx.event))
    inside = (y >= low - slack) & (y <= high + 1 + slack)
    return torch.where(inside, y.floor().clamp(low, high), y.floor()), y.new_zeros(())


def _ends(event: Type) -> tuple[float, float]:
    """The sizes of the two ends of the interval: what a rounding error is measured by."""
    return abs(event.support.low), abs(event.support.high + 1)


TWINS: Final = {Dequantize: StepTwin(_forward, _inverse)}
