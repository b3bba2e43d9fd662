"""log det(I + J) of a contraction by its power series, cut at random so that the estimate is unbiased.

``log det(I + J) = Σ_k (-1)^(k+1) tr(J^k) / k``, with ``tr(J^k) = E[vᵀ J^k v]`` for a probe v of random signs. After the
terms that are always taken, each further one is reached with probability `rate` and divided by the chance to get there
(Russian roulette). The rows that go on are few: they are sorted once, so that every term is worked out for them alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["power_series"]

Ordered = Callable[[Tensor], Callable[[Tensor], Tensor]]
"""rows -> (w -> wᵀ J at the first of these rows of the batch, as many as w has)."""


@torch.no_grad()
def power_series(ordered: Ordered, probe: Tensor, stop: Tensor, terms: int, rate: float) -> tuple[Tensor, Tensor]:
    """The estimate (batch,), and ``u = Σ_k (-1)^k w_k J^kᵀ v`` (batch, d) with the same weights w_k.

    ``uᵀ ∂J v`` is an unbiased estimate of the log-determinant's derivative ``tr((I + J)⁻¹ ∂J)``. `stop` (batch,) holds
    exponential draws: a row goes on for ``floor(stop / -log rate)`` terms beyond `terms`. Their largest number is asked
    of the device.
    """
    further = torch.floor(stop / -math.log(rate))
    rows = further.argsort(descending=True)
    going = _going(further, rows)
    left, v = ordered(rows), probe.index_select(0, rows)
    w, u, value = v, v.clone(), v.new_zeros(len(v))
    for k in range(1, terms + len(going) + 1):
        count = len(v) if k <= terms else going[k - terms - 1]
        w = left(w[:count])
        weight = (-1) ** k * rate ** -max(0, k - terms)
        value[:count].sub_((w * v[:count]).sum(1), alpha=weight / k)
        u[:count].add_(w, alpha=weight)
    back = rows.argsort()
    return value.index_select(0, back), u.index_select(0, back)


def _going(further: Tensor, rows: Tensor) -> list[int]:
    """How many rows reach the first, the second, … further term; all are first in the order `rows`."""
    if not len(rows):
        return []
    last = int(further[rows[0]])
    steps = torch.arange(1, last + 1, device=further.device, dtype=further.dtype)
    ascending = further.index_select(0, rows.flip(0)).contiguous()
    found: list[int] = (len(rows) - torch.searchsorted(ascending, steps)).tolist()
    return found
