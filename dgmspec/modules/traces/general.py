"""Jacobians, traces and norms of any velocity, by products with its Jacobian from the left.

`g` maps y, (batch, *event), to a velocity of that shape; a row's velocity depends on that row alone. The products are
torch.func's, so that the results are differentiable again and compile as a full graph. (Products from the right cost
as much, and forward mode takes longer in eager mode.)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vjp

__all__ = ["dense_jacobian", "estimate", "exact_trace"]

Velocity = Callable[[Tensor], Tensor]


def dense_jacobian(g: Velocity, y: Tensor) -> tuple[Tensor, Tensor]:
    """g(y) and ∂g/∂y, (batch, d, d), by d products."""
    value, rows = _rows(g, y, _basis(y))
    return value, torch.stack(rows, 1)


def exact_trace(g: Velocity, y: Tensor) -> tuple[Tensor, Tensor]:
    """g(y) and the trace of ∂g/∂y, (batch,), by d products."""
    value, rows = _rows(g, y, _basis(y))
    return value, torch.stack([row[:, i] for i, row in enumerate(rows)]).sum(0)


def estimate(g: Velocity, y: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """g(y), and with probes (batch, k, d) the means of eᵀJe and of |eᵀJ|², (batch,) each: unbiased estimates of the
    trace and of the squared Frobenius norm."""
    each = probes.unbind(1)
    value, rows = _rows(g, y, each)
    traces = [(row * e).sum(1) for row, e in zip(rows, each, strict=True)]
    return value, _mean(traces), _mean([row.square().sum(1) for row in rows])


def _rows(g: Velocity, y: Tensor, vectors: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
    """g(y) and eᵀJ, (batch, d), for vectors e, (batch, d) each."""
    value, pull = vjp(g, y)  # type: ignore[misc]
    return value, [pull(e.reshape(y.shape))[0].reshape(e.shape) for e in vectors]


def _basis(y: Tensor) -> tuple[Tensor, ...]:
    d = math.prod(y.shape[1:])
    return torch.eye(d, dtype=y.dtype, device=y.device).unsqueeze(1).expand(d, y.shape[0], d).unbind()


def _mean(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(values).mean(0)
