"""The twin of `empirical`."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from dgmspec.modules.distributions.values import Values
from dgmspec.modules.twin import DistributionTwin, StepContext, by_row
from dgmspec.ops.distributions import Empirical


def _log_prob(op: Empirical, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    raise AssertionError("no program asks for the density of rows, which have none")


def _draw(op: Empirical, p: Values, ctx: StepContext, batch: int) -> Tensor:
    last = (p["count"] - 1).clamp(min=0)
    at = torch.minimum(torch.floor(ctx.noise["row"] * p["count"]), last)
    drawn: Tensor = p["rows"].index_select(0, at.long())
    return drawn


def _mean(op: Empirical, p: Values, ctx: StepContext, like: Tensor) -> Tensor:
    """The mean of the rows that are there, the room left beside them apart."""
    rows: Tensor = p["rows"]
    there = by_row(torch.arange(len(rows), device=rows.device) < p["count"], rows)
    mean: Tensor = torch.where(there, rows, 0.0).sum(0) / p["count"]
    return mean


TWINS: Final = {Empirical: DistributionTwin(_log_prob, _draw, _mean)}
