"""Transitions of a law whose matrices read learned numbers and not the time: worked out anew, with gradients.

Over a time h, Van Loan's exponential of [[A, G Gᵀ, b], [0, -Aᵀ, 0], [0, 0, 0]] h holds Φ = e^{A h}, the offset
m = ∫ e^{A (h - s)} b ds, and with Φᵀ the covariance P = ∫ e^{A s} G Gᵀ e^{Aᵀ s} ds. It is taken of h / 2^8, in which
nothing grows much, and doubled: (Φ, m, P) -> (Φ Φ, Φ m + m, Φ P Φᵀ + P). Van Loan 1978, "Computing integrals involving
the matrix exponential".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.mixing import Coefficients
from dgmspec.core.types import Support
from dgmspec.modules.expressions import Prepared, as_tensor, prepare
from dgmspec.modules.initial import learned_value

__all__ = ["Linear", "linear_law"]

_DOUBLINGS: Final = 8

Entries = tuple[tuple[int, int, Prepared], ...]
"""The entries of a matrix that are not 0, by row and column."""


@dataclass(frozen=True)
class Linear:
    """dx = (A x + b) dt + G dW of `size` coordinates, entries as functions of the `numbers`."""

    size: int
    numbers: tuple[tuple[str, Support], ...]
    rate: Entries
    offset: Entries
    noise: Entries

    def between(self, p: Mapping[str, Tensor], spans: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Φ (n, d, d), m (n, d) and P (n, d, d) over times (n,), float64."""
        d, env = self.size, {name: learned_value(support, p[name]).double() for name, support in self.numbers}
        rate, offset, noise = (_filled(entries, env, (d, k), spans) for entries, k in self._entries())
        above = torch.cat((rate, noise @ noise.mT, offset), 1)
        middle = torch.cat((torch.zeros_like(rate), -rate.mT, torch.zeros_like(offset)), 1)
        whole = torch.cat((above, middle, above.new_zeros(1, 2 * d + 1)), 0)
        found = torch.linalg.matrix_exp(whole * (spans / 2**_DOUBLINGS).reshape(-1, 1, 1))
        signal, mean = found[:, :d, :d], found[:, :d, 2 * d :]
        added = found[:, :d, d : 2 * d] @ signal.mT
        for _ in range(_DOUBLINGS):
            added = signal @ added @ signal.mT + added
            mean = signal @ mean + mean
            signal = signal @ signal
        return signal, mean.squeeze(2), (added + added.mT) / 2

    def _entries(self) -> tuple[tuple[Entries, int], ...]:
        return (self.rate, self.size), (self.offset, 1), (self.noise, self.size)


def _filled(entries: Entries, env: Mapping[str, Tensor], shape: tuple[int, int], like: Tensor) -> Tensor:
    """The matrix of these entries."""
    nothing, (rows, columns) = like.new_zeros(1), shape
    found = {(i, j): as_tensor(run(env, like), like).reshape(1) for i, j, run in entries}
    return torch.cat([found.get((i, j), nothing) for i in range(rows) for j in range(columns)]).reshape(shape)


def linear_law(law: Coefficients, numbers: tuple[tuple[str, Support], ...]) -> Linear:
    """The formulas of a law made ready."""

    def entries(rows: list[dict[int, AbstractExpr]]) -> Entries:
        return tuple((i, j, prepare(formula)) for i, row in enumerate(rows) for j, formula in row.items())

    offset = [{0: formula} for formula in law.offset]
    return Linear(len(law.offset), numbers, entries(law.rate), entries(offset), entries(law.noise))
