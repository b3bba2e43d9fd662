"""Values on an interval as numbers of ℝ: what chains move where a variable does not live on all of the line."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.registry import scalar_twin
from dgmspec.modules.twin import flat_rows
from dgmspec.ops.scalar.fixed import Exp, Logit

__all__ = ["Map", "onto_support"]

Map = Callable[[Tensor], tuple[Tensor, Tensor]]
"""u (batch, *event) on ℝ -> x and log|det dx/du|, (batch,)."""


def onto_support(type_: Type) -> Map | None:
    """The map from ℝ onto the support of a continuous variable: `exp` from its one end, the inverse of `logit` between
    two; None where the support is ℝ."""
    support = type_.support
    low, high = math.isfinite(support.low), math.isfinite(support.high)
    raw = torch.empty(0)
    if low and high:
        logit = Logit()
        return _summed(lambda u: scalar_twin(logit).inverse(logit, raw, u, support))
    if not (low or high):
        return None
    exp, sign, end = Exp(), 1.0 if low else -1.0, support.low if low else support.high

    def shifted(u: Tensor) -> tuple[Tensor, Tensor]:
        x, slope = scalar_twin(exp).forward(exp, raw, u, support)
        return end + sign * x, slope

    return _summed(shifted)


def _summed(map_: Map) -> Map:
    """With the log-slopes summed over the event."""

    def run(u: Tensor) -> tuple[Tensor, Tensor]:
        x, slopes = map_(u)
        return x, flat_rows(slopes).sum(1)

    return run
