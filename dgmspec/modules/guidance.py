"""Guidance without a classifier: what a net says given a context, led away from what it says without it.

(1 + w) s(x, c) - w s(x), linear in whatever is predicted: scores, noises, clean data, velocities and their traces. Ho
and Salimans 2022, "Classifier-free diffusion guidance", equation 6.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["beyond", "doubled", "rows_beyond"]


def beyond(given: Tensor, free: Tensor, guidance: float) -> Tensor:
    """A prediction given the context and `guidance` times its distance from that without the context."""
    return given + guidance * (given - free)


def rows_beyond(both: Tensor, guidance: float) -> Tensor:
    """The same of the predictions for `doubled` rows, (2 rows, …) -> (rows, …)."""
    given, free = both.chunk(2)
    return beyond(given, free, guidance)


def doubled(given: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """A context, (rows, *event) or one for all, for twice the rows; and the rows (2 rows,) that do not see it, the
    second half."""
    c = given.expand(rows, *given.shape[1:])
    return torch.cat((c, c)), torch.arange(2 * rows, device=c.device) >= rows
