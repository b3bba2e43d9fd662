"""Φ, m and L of a path whose coordinates mix, at a tensor of times, in float64 until the very end.

A state (batch, D) is K coordinates of `copies` groups, (batch, K, copies): the matrices act on the K, in the order in
which those without noise of their own come first. Of L = [[L_s, 0], [L_ns, L_n]] in that order only the last block
stands in the scores of the others: L⁻ᵀ is upper triangular, so ∇_n log p = -L_n⁻ᵀ ε_n. And G Gᵀ s, the one way in which
a score enters the reverse process and the probability flow, reads these alone. So ε_n is all that a net predicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from dgmspec.algebra.nodes import AbstractExpr, Number
from dgmspec.algebra.paths.joint import JointPath
from dgmspec.modules.paths.coefficients import of_time, panels, series
from dgmspec.modules.twin import EXACT

__all__ = [
    "JointAt",
    "JointPlan",
    "JointRates",
    "Layout",
    "joint_at",
    "joint_plan",
    "joint_rates",
    "joint_tables",
    "layout_of",
]

Grid = Callable[[Tensor], Tensor]
"""Times (batch,) -> a matrix for each, (batch, rows, columns)."""

_EDGES = f"path/edges{EXACT}"
_TABLES = tuple(f"path/{name}{EXACT}" for name in ("signal", "mean", "factor"))


@dataclass(frozen=True)
class Layout:
    """How a flat state is groups of coordinates in the order of the matrices."""

    order: tuple[int, ...]
    data: tuple[int, ...]
    silent: int
    copies: int

    def groups(self, x: Tensor) -> Tensor:
        """(batch, D) -> (batch, K, copies), in order."""
        return x.reshape(x.shape[0], len(self.order), self.copies)[:, list(self.order)]

    def flat(self, groups: Tensor) -> Tensor:
        """The state again."""
        places = [self.order.index(i) for i in range(len(self.order))]
        return groups[:, places].flatten(1)

    def told(self, x: Tensor) -> Tensor:
        """(batch, n · copies): the coordinates with noise of their own, in order."""
        return self.groups(x)[:, self.silent :].flatten(1)

    def beside(self, told: Tensor) -> Tensor:
        """(batch, n, copies) again."""
        return told.reshape(told.shape[0], told.shape[1] // self.copies, self.copies)


@dataclass(frozen=True)
class JointAt:
    """The law of x_t at one time a row: Φ (batch, K, k) for the k coordinates that data give, m, L, and L_n⁻ᵀ."""

    layout: Layout
    signal: Tensor
    mean: Tensor
    factor: Tensor
    whitening: Tensor

    def row(self, i: int) -> JointAt:
        """Every matrix with a batch of 1."""
        found = (value[i : i + 1] for value in (self.signal, self.mean, self.factor, self.whitening))
        return JointAt(self.layout, *found)

    def noised(self, x: Tensor, noise: Tensor) -> Tensor:
        """x_t = Φ x_0 + m + L ε."""
        clean = self.layout.groups(x)[:, list(self.layout.data)]
        return self.layout.flat(self.signal @ clean + self.mean + self.factor @ self.layout.groups(noise))

    def told(self, noise: Tensor) -> Tensor:
        """ε_n."""
        return self.layout.told(noise)

    def score(self, noise: Tensor) -> Tensor:
        """-L_n⁻ᵀ ε_n; 0 stands where a coordinate has no noise of its own, and its score is not known."""
        own = -self.whitening @ self.layout.beside(noise)
        rest = own.new_zeros(own.shape[0], self.layout.silent, self.layout.copies)
        return self.layout.flat(torch.cat((rest, own), 1))

    def at_noise(self, x: Tensor, there: JointAt) -> Tensor:
        """m_s + L_s L_t⁻¹ (x - m_t)."""
        noise = torch.linalg.solve_triangular(self.factor, self.layout.groups(x) - self.mean, upper=False)
        return self.layout.flat(there.mean + there.factor @ noise)

    def expected(self, x: Tensor, deviation: float) -> Expected:
        """What is known of the noise if the data are independent normals of mean 0 and this deviation s.

        The state is then N(m, C) with C = s² Φ Φᵀ + L Lᵀ, ε_n given it has mean (Lᵀ C⁻¹ (x - m))_n and covariance
        (s² W (1 + s² Wᵀ W)⁻¹ Wᵀ)_n with W = L⁻¹ Φ, a form without a difference.
        """
        layout, count = self.layout, self.layout.silent
        root = torch.linalg.cholesky(deviation**2 * self.signal @ self.signal.mT + self.factor @ self.factor.mT)
        white = torch.linalg.solve_triangular(root, layout.groups(x) - self.mean, upper=False)
        mean = (self.factor.mT @ torch.linalg.solve_triangular(root.mT, white, upper=True))[:, count:]
        told = deviation * torch.linalg.solve_triangular(self.factor, self.signal, upper=False)
        square = told.mT @ told
        share = torch.linalg.solve(square + torch.eye(square.shape[1], dtype=x.dtype, device=x.device), told.mT)
        spread = (told * share.mT).sum(2)[:, count:, None].sqrt()
        log_snr = torch.logdet(square) / square.shape[1] - 2 * math.log(deviation)
        return Expected(layout.flat(white), mean, spread, log_snr)


class Expected(NamedTuple):
    """The state with unit variance (batch, D), mean (batch, n, copies) and deviation (batch, n, 1) of the noise given
    it, and the log of the ratio of signal to noise (batch,)."""

    white: Tensor
    mean: Tensor
    deviation: Tensor
    log_snr: Tensor


@dataclass(frozen=True)
class JointRates:
    """dx = (A x + b) dt + G dW at one time a row."""

    layout: Layout
    rate: Tensor
    offset: Tensor
    noise: Tensor

    def row(self, i: int) -> JointRates:
        """Every matrix with a batch of 1."""
        return JointRates(self.layout, *(value[i : i + 1] for value in (self.rate, self.offset, self.noise)))

    def drift(self, x: Tensor) -> Tensor:
        """A x + b."""
        return self.layout.flat(self.rate @ self.layout.groups(x) + self.offset)

    def pull(self, score: Tensor) -> Tensor:
        """G Gᵀ s."""
        return self.layout.flat(self.noise @ (self.noise.mT @ self.layout.groups(score)))

    def kick(self, noise: Tensor, span: float) -> Tensor:
        """√h (G Gᵀ)^½ z, the factor of G Gᵀ that needs no more noises than coordinates."""
        return self.layout.flat(span**0.5 * (self._square @ self.layout.groups(noise)))

    @cached_property
    def _square(self) -> Tensor:
        """G with as many columns as rows; of more noises than coordinates the symmetric root of G Gᵀ."""
        rows, columns = self.noise.shape[1:]
        if columns <= rows:
            return torch.nn.functional.pad(self.noise, (0, rows - columns))
        values, vectors = torch.linalg.eigh(self.noise @ self.noise.mT)
        found: Tensor = vectors * values.clamp(min=0).sqrt().unsqueeze(1)
        return found

    def halfway(self, other: JointRates) -> JointRates:
        """The mean of both G."""
        return replace(self, noise=(self.noise + other.noise) / 2)

    @property
    def trace(self) -> Tensor:
        """(batch,): that of the drift's derivative, over all groups."""
        return self.rate.diagonal(dim1=1, dim2=2).sum(1) * self.layout.copies


@dataclass(frozen=True)
class JointPlan:
    """A path made ready for tensors: its coefficients as functions of times."""

    path: JointPath
    layout: Layout
    rate: Grid
    offset: Grid
    noise: Grid
    range: tuple[float, float]
    """λ at the earliest time in use and at the last."""


def layout_of(path: JointPath) -> Layout:
    """How a state of the path is groups of its coordinates."""
    return Layout(path.mixing.order, path.data, path.mixing.silent, path.mixing.copies)


def joint_plan(path: JointPath, start: float) -> JointPlan:
    """The path's formulas prepared; `start` is the earliest time in use."""
    law, rows = path.mixing, path.mixing.order
    rate = [[law.rate[i][j] for j in rows] for i in rows]
    offset, noise = ([matrix[i] for i in rows] for matrix in (law.offset, law.noise))
    grids = [_grid(matrix, path.times.name) for matrix in (rate, offset, noise)]
    return JointPlan(
        path, layout_of(path), grids[0], grids[1], grids[2], (path.log_snr(start), path.log_snr(path.high))
    )


def joint_tables(path: JointPath) -> dict[str, Tensor]:
    """The series of all entries, (panels, entries, terms), float64."""
    table = path.table
    found = {_EDGES: torch.tensor(table.edges, dtype=torch.float64)}
    for name, panel in zip(_TABLES, (table.signal, table.mean, table.factor), strict=True):
        found[name] = torch.tensor(panel, dtype=torch.float64).flatten(1, 2)
    return found


def joint_at(here: JointPlan, p: Mapping[str, Tensor], t: Tensor, dtype: torch.dtype) -> JointAt:
    """The path at times (batch,)."""
    size = len(here.layout.order)
    edges = p[_EDGES]
    place, angle = panels(edges, (t.double() - here.path.low).clamp(min=edges[0]))
    found = (series(p[name][place], angle.unsqueeze(1)).reshape(t.shape[0], size, -1) for name in _TABLES)
    signal, mean, factor = found
    block = factor[:, here.layout.silent :, here.layout.silent :].mT
    one = torch.eye(block.shape[1], dtype=block.dtype, device=block.device)
    whitening = torch.linalg.solve_triangular(block, one.expand_as(block), upper=True)
    values = (signal[:, :, list(here.layout.data)], mean, factor, whitening)
    return JointAt(here.layout, *(value.to(dtype) for value in values))


def joint_rates(here: JointPlan, t: Tensor, dtype: torch.dtype) -> JointRates:
    """The process at times (batch,)."""
    wide = t.double()
    return JointRates(here.layout, *(grid(wide).to(dtype) for grid in (here.rate, here.offset, here.noise)))


def _grid(matrix: Sequence[Sequence[AbstractExpr]], name: str) -> Grid:
    """A matrix of formulas of the time as one function; what is a number is written once."""
    moving = {
        (i, j): of_time(item, name)
        for i, row in enumerate(matrix)
        for j, item in enumerate(row)
        if not isinstance(item, Number)
    }
    fixed = [[float(item.value) if isinstance(item, Number) else 0.0 for item in row] for row in matrix]

    def values(t: Tensor) -> Tensor:
        base = torch.tensor(fixed, dtype=t.dtype, device=t.device).expand(t.shape[0], -1, -1)
        if not moving:
            return base
        columns = list(base.flatten(1).unbind(1))
        for (i, j), run in moving.items():
            columns[i * len(matrix[0]) + j] = run(t)
        return torch.stack(columns, 1).reshape(base.shape)

    return values
