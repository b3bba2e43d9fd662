"""Transitions of a normal law that reads learned numbers, and its law at the end: worked out anew at each use, in
float64 and with gradients, in the form of the tables that laws of known numbers have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.core.types import Shape
from dgmspec.modules.paths.learned import Integrals, derived_curve
from dgmspec.modules.paths.linear import Linear, linear_law
from dgmspec.ops.paths.simulation import Simulation

__all__ = ["AbstractAnew", "ByCoordinate", "ByMatrix", "anew_of"]

Values = Mapping[str, Tensor]
Steps = Sequence[tuple[float, float]]
"""From one time to another, both since the start."""


class AbstractAnew(ABC):
    """`spans` tells of steps what does not depend on the numbers, `moves` and `ends` read it."""

    @abstractmethod
    def spans(self, steps: Steps) -> Tensor:
        """What stands in the table of some steps, float64."""

    @abstractmethod
    def moves(self, p: Values, spans: Tensor) -> Tensor:
        """The transition of each step."""

    @abstractmethod
    def ends(self, p: Values, spans: Tensor, start: Tensor) -> Tensor:
        """The way back over one step from the law at its end to that at its start, (2, 1 or d): means, deviations."""


@dataclass(frozen=True)
class ByCoordinate(AbstractAnew):
    """Each coordinate by itself, or all by one curve: spans (curves, 2, steps, k) are the ends of k panels."""

    curves: tuple[Integrals, ...]

    def spans(self, steps: Steps) -> Tensor:
        if not steps:
            return torch.zeros(len(self.curves), 2, 0, 1, dtype=torch.float64)
        rows = [torch.tensor(curve.panels(steps), dtype=torch.float64) for curve in self.curves]
        most = max(row.shape[1] for row in rows)
        # Curves with fewer panels get some of no length.
        filled = [torch.cat((row, row[:, -1:, 1:].expand(-1, most - row.shape[1], 2)), 1) for row in rows]
        return torch.stack(filled).permute(0, 3, 1, 2).contiguous()

    def moves(self, p: Values, spans: Tensor) -> Tensor:
        """α, m and σ: (steps, 3, curves)."""
        alpha, mean, variance = self._laws(p, spans)
        return torch.stack((alpha, mean, variance.sqrt()), 1)

    def ends(self, p: Values, spans: Tensor, start: Tensor) -> Tensor:
        """(m_0, m_T, s_0/s_T)."""
        alpha, mean, variance = (rows[0] for rows in self._laws(p, spans))
        loc, scale = start
        last = ((alpha * scale).square() + variance).sqrt()
        rows = torch.broadcast_tensors(loc, alpha * loc + mean, scale / last)  # type: ignore[no-untyped-call]
        return torch.stack(rows)

    def _laws(self, p: Values, spans: Tensor) -> tuple[Tensor, ...]:
        """α, m and σ² by the step and the curve, (steps, curves) each."""
        found = [curve.between(p, spans[i]) for i, curve in enumerate(self.curves)]
        return tuple(torch.stack(row, 1) for row in zip(*found, strict=True))


@dataclass(frozen=True)
class ByMatrix(AbstractAnew):
    """Coordinates that mix, all of them as one group: spans (steps,) are the lengths of steps."""

    law: Linear

    def spans(self, steps: Steps) -> Tensor:
        return torch.tensor([t - s for s, t in steps], dtype=torch.float64)

    def moves(self, p: Values, spans: Tensor) -> Tensor:
        """Φ, m and L beside one another: (steps, d, d + 1 + d)."""
        signal, mean, added = self.law.between(p, spans)
        return torch.cat((signal, mean.unsqueeze(2), torch.linalg.cholesky_ex(added)[0]), 2)

    def ends(self, p: Values, spans: Tensor, start: Tensor) -> Tensor:
        """S_0 S_T⁻¹, m_0 and m_T: (1, d, d + 2)."""
        signal, mean, added = (value[0] for value in self.law.between(p, spans))
        loc, scale = (row.expand(self.law.size) for row in start)
        grown = signal * scale
        factor = torch.linalg.cholesky_ex(grown @ grown.mT + added)[0]
        one = torch.eye(self.law.size, dtype=factor.dtype, device=factor.device)
        root = scale.unsqueeze(1) * torch.linalg.solve_triangular(factor, one, upper=False)
        return torch.cat((root, loc.unsqueeze(1), (signal @ loc + mean).unsqueeze(1)), 1).unsqueeze(0)


def anew_of(op: Simulation, shape: Shape) -> AbstractAnew | None:
    """Of a normal law that reads learned numbers; None of any other."""
    if not op.learned:
        return None
    path = op.gaussian(shape)
    if isinstance(path, GaussianPath):
        return ByCoordinate(tuple(derived_curve(path, i, schedule) for i, schedule in enumerate(op.schedule(shape))))
    linear = op.linear(shape)
    return None if linear is None else ByMatrix(linear_law(linear, op.supports()))
