"""Draws from the derived law of a later state given an earlier one, and the way back from a normal law to that at the
start: by the coordinate, or by matrices where coordinates mix.

The way back is x_0 = m_0 + S_0 S_t⁻¹ (x_t - m_t) with the triangular roots of both covariances. Of a law of numbers
both stand in tables; where it reads learned ones the tables hold times, and the integrals between them are taken anew.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.algebra.paths.joint import JointPath
from dgmspec.core.types import Type
from dgmspec.modules.paths.anew import AbstractAnew, anew_of
from dgmspec.modules.paths.joint_coefficients import Layout
from dgmspec.modules.twin import EXACT, Parameters
from dgmspec.ops.paths.schemes import Exact
from dgmspec.ops.paths.simulation import Simulation

__all__ = ["drawn", "grid_of", "moves_of", "transition_tables", "undone"]

_START: Final = f"start{EXACT}"


def grid_of(op: Simulation, steps: int) -> list[float]:
    """The times from the start to the end, in steps of the whole time divided by `steps`, the last one shorter."""
    h = (op.high - op.low) / steps
    inner = [op.low + i * h for i in range(steps)]
    return [*(t for t in inner if t < op.end), op.end] if op.end > op.low else [op.low]


def moves_of(op: Simulation, p: Parameters, anew: AbstractAnew | None) -> Tensor:
    """The transitions of all steps."""
    table = p[_at(op, "moves")]
    return table if anew is None else anew.moves(p, table)


def drawn(move: Tensor, layout: Layout | None, x: Tensor, noise: Tensor) -> Tensor:
    """The state behind a step, given that before it, by the step's transition."""
    move = move.to(x.dtype)
    if layout is None:
        alpha, mean, sigma = (_shaped(row, x) for row in move)
        return alpha * x + mean + sigma * noise
    size = len(layout.order)
    signal, mean, factor = torch.split(move, [size, move.shape[1] - 2 * size, size], 1)
    return layout.flat(signal @ layout.groups(x) + mean + factor @ layout.groups(noise))


def undone(
    op: Simulation, p: Parameters, anew: AbstractAnew | None, layout: Layout | None, y: Tensor
) -> tuple[Tensor, Tensor]:
    """The state at the start, and the log-determinant of the way there."""
    ends = p[_at(op, "ends")]
    if anew is not None:
        ends = anew.ends(p, ends, p[_START])
    if layout is None:
        first, last, scale = (_shaped(row, y) for row in ends)
        x, each = (y.double() - last) * scale + first, ends[2].log()
        return x.to(y.dtype), (each.sum() * (y.shape[1:].numel() // len(each))).to(y.dtype)
    size = len(layout.order)
    root, first, last = torch.split(ends, [size, 1, 1], 2)
    gap = layout.groups(y.double()) - last[:, :, 0].mT
    x = layout.flat(torch.einsum("cij,bjc->bic", root, gap) + first[:, :, 0].mT)
    return x.to(y.dtype), root.diagonal(dim1=1, dim2=2).log().sum().to(y.dtype)


def transition_tables(op: Simulation, event: Type, given: Type | None) -> dict[str, Tensor]:
    """The transitions of the exact scheme: (steps, 3, 1 or d), or (steps, K, K + 1 + K) with Φ, m and L beside one
    another; and the ends of a normal law: (m_0, m_T, s_0/s_T), or for each group S_0 S_T⁻¹, m_0 and m_T."""
    path = op.gaussian(event.shape)
    found: dict[str, Tensor] = {}
    if (anew := anew_of(op, event.shape)) is not None:
        return _spans(op, event, anew)
    if path is not None and isinstance(scheme := op.scheme(event.shape), Exact):
        steps = list(pairwise(grid_of(op, scheme.steps)))
        found[_at(op, "moves")] = _matrices(path, steps) if isinstance(path, JointPath) else _numbers(path, steps)
    if path is not None and op.start is not None:
        found[_at(op, "ends")] = _roots(op, path) if isinstance(path, JointPath) else _scales(op, event)
    return found


def _spans(op: Simulation, event: Type, anew: AbstractAnew) -> dict[str, Tensor]:
    """The times of the steps and of the whole way, and the law at the start."""
    found: dict[str, Tensor] = {}
    if isinstance(scheme := op.scheme(event.shape), Exact):
        steps = pairwise(t - op.low for t in grid_of(op, scheme.steps))
        found[_at(op, "moves")] = anew.spans(list(steps))
    if op.start is not None:
        found[_at(op, "ends")] = anew.spans([(0.0, op.end - op.low)])
        rows = [torch.tensor(row, dtype=torch.float64) for row in op.start]
        found[_START] = torch.stack(torch.broadcast_tensors(*rows))  # type: ignore[no-untyped-call]
    return found


def _numbers(path: GaussianPath, steps: list[tuple[float, float]]) -> Tensor:
    """α, m and σ of each step."""
    rows = [[curve.between(s, t) for curve in path.curves] for s, t in steps]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, len(path.curves), 3).transpose(1, 2)


def _matrices(path: JointPath, steps: list[tuple[float, float]]) -> Tensor:
    """Φ, m and L of each step."""
    rows = [torch.cat([torch.tensor(m, dtype=torch.float64) for m in path.between(s, t)], 1) for s, t in steps]
    size = path.mixing.size
    return torch.stack(rows) if rows else torch.zeros(0, size, 2 * size + 1, dtype=torch.float64)


def _scales(op: Simulation, event: Type) -> Tensor:
    """Both means, and the ratio of the deviations."""
    last = op.marginal(event.shape)
    assert op.start is not None and last is not None
    means = [torch.tensor(row, dtype=torch.float64) for row in (op.start[0], last[0])]
    before, after = (torch.tensor(row, dtype=torch.float64) for row in (op.start[1], last[1]))
    rows = (*means, before / after)
    count = max(map(len, rows))
    return torch.stack([row.expand(count) for row in rows])


def _roots(op: Simulation, path: JointPath) -> Tensor:
    """S_0 S_T⁻¹ and both means of each group."""
    assert op.start is not None
    means, deviations = (torch.tensor(path.grouped(row), dtype=torch.float64) for row in op.start)
    ends = path.marginals(*op.start, op.end)
    last, factor = (torch.tensor(part, dtype=torch.float64) for part in zip(*ends, strict=True))
    one = torch.eye(path.mixing.size, dtype=torch.float64).expand_as(factor)
    root = deviations.unsqueeze(2) * torch.linalg.solve_triangular(factor, one, upper=False)
    return torch.cat((root, means.unsqueeze(2), last.unsqueeze(2)), 2)


def _at(op: Simulation, name: str) -> str:
    """The name of a table, which depends on the time of the end."""
    return f"{name}@{op.end:.17g}{EXACT}".replace(".", ",")


def _shaped(row: Tensor, x: Tensor) -> Tensor:
    """One number for all coordinates, or one for each of a vector, against rows of events."""
    return row.reshape(1) if len(row) == 1 else row.unsqueeze(0)
