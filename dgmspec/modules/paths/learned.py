"""Curves of paths whose law reads learned numbers, worked out anew at each use, in float64 and with gradients.

A chain multiplies its steps out, a written kernel is read. Of drift and diffusion the integrals are taken over the
panels that serve the starting values, each halved, by Gauss's rule of 16 nodes: at other values the panels are not
adapted again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.algebra.paths.scalar import Chain, Derived
from dgmspec.core.types import Support
from dgmspec.modules.expressions import Prepared, as_tensor, prepare
from dgmspec.modules.initial import constrain
from dgmspec.ops.paths.numbers import Schedule

__all__ = ["AbstractLearned", "Integrals", "derived_curve", "learned_curve"]

Values = Mapping[str, Tensor]
Logs = tuple[Tensor, Tensor, Tensor]
"""log α, m and log σ² at times (batch,)."""

_NODES = 16


@dataclass(frozen=True)
class AbstractLearned(ABC):
    """The formulas of a `Schedule` as functions of the time `name` and of learned numbers."""

    name: str
    numbers: tuple[tuple[str, Support], ...]
    curve: tuple[Prepared, ...]
    process: tuple[Prepared, ...]
    derivatives: tuple[Prepared, ...]

    @abstractmethod
    def logs(self, p: Values, t: Tensor) -> Logs:
        """The curve at times (batch,), float64."""

    def rates(self, p: Values, t: Tensor) -> list[Tensor]:
        """The rate, the offset and g² of the process."""
        read = self.reader(p)
        return [read(run, t) for run in self.process]

    def slopes(self, p: Values, t: Tensor) -> list[Tensor]:
        """α', m' and σ'; empty where they follow from the process."""
        read = self.reader(p)
        return [read(run, t) for run in self.derivatives]

    def reader(self, p: Values) -> Callable[[Prepared, Tensor], Tensor]:
        """What gives a formula's values at times of any shape."""
        values = {name: constrain(support, p[name]).double() for name, support in self.numbers}
        env = {name: value.expand(1, *value.shape) if value.dim() else value for name, value in values.items()}

        def read(run: Prepared, t: Tensor) -> Tensor:
            flat = t.reshape(-1)
            return as_tensor(run({**env, self.name: flat}, flat), flat).expand(flat.shape).reshape(t.shape)

        return read


@dataclass(frozen=True)
class _Steps(AbstractLearned):
    """The steps of a chain: α_t = Π a_k;  m_t = α_t Σ b_k/α_k;  σ_t² = α_t² Σ s_k²/α_k² for
    x_t ~ normal(a_t x_{t-1} + b_t, s_t)."""

    low: int
    high: int

    def logs(self, p: Values, t: Tensor) -> Logs:
        read = self.reader(p)
        times = torch.arange(self.low, self.high + 1, dtype=torch.float64, device=t.device)
        rate, offset, scale = (read(run, times) for run in self.curve)
        grown = rate.log().cumsum(0)
        mean = grown.exp() * (offset * (-grown).exp()).cumsum(0)
        added = torch.logcumsumexp(2 * (scale.log() - grown), 0) + 2 * grown
        place = (t - self.low).round().long().clamp(0, len(times) - 1)
        return grown[place], mean[place], added[place]


@dataclass(frozen=True)
class _Kernel(AbstractLearned):
    """α, m and σ as they are written."""

    def logs(self, p: Values, t: Tensor) -> Logs:
        read = self.reader(p)
        alpha, mean, sigma = (read(run, t) for run in self.curve)
        return alpha.log(), mean, 2 * sigma.log()


@dataclass(frozen=True)
class Integrals(AbstractLearned):
    """log α = ∫ a;  m = ∫ b e^{∫ a};  σ² = e^{2 ∫ a} σ_0² + ∫ g² e^{2 ∫ a}, the inner integrals from s to t."""

    low: float
    init_noise: float
    edges: tuple[float, ...]
    """The ends of the panels, times since the start, the first of them 0."""
    rule: tuple[Tensor, Tensor, Tensor] = field(compare=False)
    """Gauss's rule, looked up before anything is traced."""

    def logs(self, p: Values, t: Tensor) -> Logs:
        edges = torch.tensor(self.edges, dtype=torch.float64, device=t.device)
        read, (grown, mean, variance) = self.reader(p), self._at_edges(p, edges)
        place = (torch.searchsorted(edges, t - self.low, right=True) - 1).clamp(0, len(edges) - 2)
        growth, push, added = self._over(read, edges[place], t - self.low)
        return (
            grown[place] + growth,
            growth.exp() * mean[place] + push,
            ((2 * growth).exp() * variance[place] + added).log(),
        )

    def between(self, p: Values, spans: Tensor) -> Logs:
        """α, m and σ² of the law of x_t given x_s, (n,) each, the ways from s to t divided into k panels: (2, n, k),
        their starts and ends since the start of the time."""
        shape = spans.shape[1:]
        found = self._over(self.reader(p), spans[0].flatten(), spans[1].flatten())
        growth, push, added = (value.reshape(shape) for value in found)
        behind = growth.flip(1).cumsum(1).flip(1) - growth
        return growth.sum(1).exp(), (push * behind.exp()).sum(1), (added * (2 * behind).exp()).sum(1)

    def panels(self, steps: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
        """The panels of steps between two times since the start, as many of each: the last have no length."""
        found = []
        for s, t in steps:
            points = [s, *(edge for edge in self.edges if s < edge < t), t]
            found.append(list(pairwise(points)))
        most = max(map(len, found), default=1)
        return [row + [(row[-1][1],) * 2] * (most - len(row)) for row in found]

    def _at_edges(self, p: Values, edges: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """∫ a, m and σ² at every edge but the last."""
        growth, push, added = self._over(self.reader(p), edges[:-1], edges[1:])
        grown = torch.cat((growth.new_zeros(1), growth.cumsum(0)[:-1]))
        # What panel i adds has grown by the panels behind it when panel j begins.
        since = (grown.unsqueeze(1) - (grown + growth).unsqueeze(0)).tril(-1)
        mean = (since.exp().tril(-1) * push).sum(1)
        variance = ((2 * since).exp().tril(-1) * added).sum(1) + self.init_noise**2 * (2 * grown).exp()
        return grown, mean, variance

    def _over(self, read: Callable[[Prepared, Tensor], Tensor], low: Tensor, high: Tensor) -> tuple[Tensor, ...]:
        """∫ a, ∫ b e^{∫ a} and ∫ g² e^{2 ∫ a} from `low` to `high`, (n,), the inner integrals up to `high`."""
        places, weights, sums = (x.to(low.device) for x in self.rule)
        half = ((high - low) / 2).unsqueeze(1)
        times = self.low + low.unsqueeze(1) + half * (places + 1)
        rate, offset, spread = (read(run, times) for run in self.curve)
        growth = (half * rate) @ weights
        left = growth.unsqueeze(1) - half * rate @ sums
        return (
            growth,
            (half * offset * left.exp()) @ weights,
            (half * spread * (2 * left).exp()) @ weights,
        )


@lru_cache(maxsize=1)
def _gauss() -> tuple[Tensor, Tensor, Tensor]:
    """Gauss's nodes and weights on (-1, 1), and the matrix that takes values to their integrals from -1 to each node:
    those of the polynomial through them, Σ_k c_k P_k with ∫ P_k = (P_{k+1} - P_{k-1}) / (2 k + 1)."""
    legendre = np.polynomial.legendre
    x, w = legendre.leggauss(_NODES)
    basis = legendre.legvander(x, _NODES)
    orders = np.arange(_NODES)
    coefficients = basis[:, :_NODES].T * w * (2 * orders[:, None] + 1) / 2
    integrals = np.stack([x + 1, *((basis[:, k + 1] - basis[:, k - 1]) / (2 * k + 1) for k in orders[1:])])
    rule = (torch.from_numpy(part) for part in (x, w, coefficients.T @ integrals))
    return tuple(rule)  # type: ignore[return-value]  # of three


def derived_curve(path: GaussianPath, i: int, schedule: Schedule) -> Integrals:
    """That of coordinate i of a path which is derived from a drift and a diffusion."""
    found = learned_curve(path, i, schedule)
    assert isinstance(found, Integrals), "its curves are integrals"
    return found


def learned_curve(path: GaussianPath, i: int, schedule: Schedule) -> AbstractLearned:
    """The formulas of coordinate i made ready; `path` is that of the starting values."""

    def ready(formulas: tuple[AbstractExpr, ...]) -> tuple[Prepared, ...]:
        return tuple(prepare(formula) for formula in formulas)

    name, curve = path.times.name, path.curves[0 if path.alike else i]
    parts = (name, schedule.numbers, ready(schedule.curve), ready(schedule.process), ready(schedule.slopes))
    if isinstance(curve, Chain):
        return _Steps(*parts, int(path.low), int(path.high))
    if not isinstance(curve, Derived):
        return _Kernel(*parts)
    edges = [0.0, *curve.table.edges]
    return Integrals(*parts, curve.low, curve.init_noise, tuple(_halved(edges)), _gauss())


def _halved(edges: list[float]) -> list[float]:
    """Every interval but the first in two."""
    inner = [at for low, high in pairwise(edges[1:]) for at in ((low + high) / 2, high)]
    return [*edges[:2], *inner]
