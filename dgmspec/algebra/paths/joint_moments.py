"""Moments of dx = (A(t) x + b(t)) dt + G(t) dW with matrices, tabulated once to float64 accuracy.

x_t given x_0 is normal with mean Φ x_0 + m and covariance L Lᵀ, where Φ' = A Φ from the identity, and

    m(t) = Φ m_0 + ∫ Φ(t, s) b(s) ds          L Lᵀ = Φ L_0 L_0ᵀ Φᵀ + ∫ Φ(t, s) G(s) G(s)ᵀ Φ(t, s)ᵀ ds.

L and not the covariance is carried, from one node to the next by orthogonal rows of (Φ L, √w_i Φ(t, s_i) G(s_i)) with
Gauss nodes s_i between the two: no difference of large numbers is taken. So where noise reaches a coordinate through
another one alone, whose covariance with it is all but perfect at early times, and their variances grow like different
powers of t, every row of L keeps its relative accuracy. Panels halve towards the start, down to 2^-30 of the span.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise
from operator import mul, sub
from typing import Final

from dgmspec.algebra.paths.chebyshev import NODES, POINTS, Series, fit, integrals, lagrange, nodes, tail, value
from dgmspec.algebra.paths.matrices import Matrix, factor, identity, product, solved
from dgmspec.algebra.paths.panels import halved, walked
from dgmspec.core.diagnostics import Refusal

__all__ = ["JointMoments", "joint_moments", "moments_between"]

Function = Callable[[float], Matrix]

_HALVINGS: Final = 30
_PANELS: Final = 150
"""Of a table: 3 to 5 ms each for two coordinates."""
_EXACT: Final = 1e-12
_TURN: Final = 1.0
"""∫ ‖A‖ over half a panel."""
_ROUNDS: Final = 40
_LARGEST: Final = 1e150

_GAUSS: Final = (
    (-0.8611363115940526, 0.3478548451374536),
    (-0.3399810435848563, 0.6521451548625464),
    (0.3399810435848563, 0.6521451548625464),
    (0.8611363115940526, 0.3478548451374536),
)
"""Nodes and weights on (-1, 1), exact up to degree 7."""

Table = tuple[tuple[Series, ...], ...]
"""A series for each entry of a matrix."""


@dataclass(frozen=True)
class JointMoments:
    """Φ, m and L as series on panels; `edges` are one more than the panels and count from the start of time. Before the
    first edge, 1e-9 of the time, stands what holds there."""

    edges: tuple[float, ...]
    signal: tuple[Table, ...]
    mean: tuple[Table, ...]
    factor: tuple[Table, ...]

    def at(self, t: float) -> tuple[Matrix, Matrix, Matrix]:
        """(Φ, m, L) at a time since the start."""
        t = max(t, self.edges[0])
        i = min(bisect_right(self.edges, t), len(self.edges) - 1) - 1
        low, high = self.edges[i], self.edges[i + 1]
        x = min((2 * t - low - high) / (high - low), 1.0)
        signal, mean, spread = (_values(table[i], x) for table in (self.signal, self.mean, self.factor))
        return signal, mean, spread


@dataclass(frozen=True)
class _State:
    """The moments at one time."""

    signal: Matrix
    mean: Matrix
    factor: Matrix


@dataclass(frozen=True)
class _Panel:
    high: float
    signal: Table
    mean: Table
    factor: Table


def joint_moments(a: Function, b: Function, g: Function, span: float, mean: Matrix, blur: Matrix) -> JointMoments:
    """The moments on (0, span] from those at the start, `mean` and the factor `blur`; `Refusal` (DGM646) where they are
    not to be had, DGM672 where the noise does not reach every coordinate."""
    work = _Work(a, b, g, _State(identity(len(mean)), mean, blur))
    first = span * 2.0**-_HALVINGS
    if work.panel(0.0, first, settled=False) is None:
        raise _refused(0.0)
    found = walked(halved(span, _HALVINGS), work.panel, _refused)
    tables = ([getattr(panel, name) for panel in found] for name in ("signal", "mean", "factor"))
    return JointMoments((first, *(panel.high for panel in found)), *(tuple(table) for table in tables))


def moments_between(
    a: Function, b: Function, g: Function, edges: Sequence[float], low: float, high: float
) -> tuple[Matrix, Matrix, Matrix]:
    """(Φ, m, L) of the state at `high` given that at `low`, over the panels that serve a table. L comes by the same
    orthogonal rows, so that a short time, in which the covariance is all but singular, loses nothing."""
    middle = (low + high) / 2
    size, width = len(a(middle)), len(b(middle)[0])
    work = _Work(a, b, g, _State(identity(size), ((0.0,) * width,) * size, ((0.0,) * size,) * size))
    stops = sorted({low, *(edge for edge in edges if low < edge < high), high})
    walked(pairwise(stops), work.states, _refused)
    return work.here.signal, work.here.mean, work.here.factor


class _Work:
    """Panels one after the other, the moments `here` at the end of the last; `left` bounds the number of a table's."""

    def __init__(self, a: Function, b: Function, g: Function, start: _State) -> None:
        self.a, self.b, self.g, self.here, self.left = a, b, g, start, _PANELS
        self.flow: Grid = [[[x] * NODES for x in row] for row in identity(len(start.mean))]

    def panel(self, low: float, high: float, settled: bool = True) -> _Panel | None:
        """The moments on [low, high]; None where the panel is too long, or its series have not `settled`."""
        before, states = self.here, self.states(low, high)
        if states is None:
            return None
        if not self.left:
            raise _refused(low)
        self.left -= 1
        for t, here in zip((*reversed(nodes(low, high)), high), states, strict=True):
            if not all(row[i] for i, row in enumerate(here.factor)):
                raise _unreached(t)
        signal, mean, spread = (
            _fitted([getattr(state, name) for state in reversed(states[:-1])]) for name in ("signal", "mean", "factor")
        )
        panel = _Panel(high, signal, mean, spread)
        if settled and not _settled(panel):
            self.here = before
            return None
        return panel

    def states(self, low: float, high: float) -> list[_State] | None:
        """The moments at the nodes of [low, high], rising, and at its end; None where the panel is too long."""
        half, times = (high - low) / 2, nodes(low, high)
        rates = [self.a(t) for t in times]
        if not max(_norm(rate) for rate in rates) * half <= _TURN:
            return None
        self.flow = _moved(rates, half, self.flow)
        found, before = list[_State](), low
        for t, (first, inside, last) in zip((*reversed(times), high), _pieces(self.flow), strict=True):
            self.here = self._carried(self.here, before, t, first, inside, last)
            if not _norm((*self.here.signal, *self.here.mean, *self.here.factor)) < _LARGEST:
                raise _refused(before)
            found.append(self.here)
            before = t
        return found

    def _carried(
        self, here: _State, low: float, high: float, first: Matrix, inside: Sequence[Matrix], last: Matrix
    ) -> _State:
        """The moments at `high` from those at `low`; the flow from the panel's start is `first` there, `inside` at the
        Gauss nodes between, and `last`."""
        middle, half, size = (low + high) / 2, (high - low) / 2, len(first)
        whole = [(*p, *m, *q) for p, m, q in zip(here.signal, here.mean, here.factor, strict=True)]
        moved = product(product(last, solved(first, identity(size))), whole)
        mean, rows = [row[size:-size] for row in moved], [[*row[-size:]] for row in moved]
        for (place, weight), at in zip(_GAUSS, inside, strict=True):
            s = middle + half * place
            noise, push = self.g(s), self.b(s)
            both = [(*p, *q) for p, q in zip(noise, push, strict=True)]
            width, share = len(noise[0]), math.sqrt(weight * half)
            for i, more in enumerate(product(last, solved(at, both))):
                rows[i] += [share * x for x in more[:width]]
                mean[i] = tuple(x + weight * half * y for x, y in zip(mean[i], more[width:], strict=True))
        return _State(tuple(row[:size] for row in moved), tuple(mean), factor(rows))


Grid = list[list[list[float]]]
"""The values at the nodes of a panel of each entry of a matrix."""


def _moved(rates: Sequence[Matrix], half: float, found: Grid) -> Grid:
    """Φ' = A Φ from the identity, by Picard's iteration at the nodes, whose first guess is `found`: the panel before
    leaves little to do where A hardly changes."""
    size = range(len(rates[0]))
    rate = [[[half * at[i][j] for at in rates] for j in size] for i in size]
    for _ in range(_ROUNDS):
        after = [[_integrated(rate[i], [row[j] for row in found], float(i == j)) for j in size] for i in size]
        change = max(map(abs, map(sub, _numbers(after), _numbers(found))))
        found = after
        if change <= 1e-15 * max(map(abs, _numbers(found))):
            break
    return found


def _integrated(rates: Sequence[Sequence[float]], column: Sequence[Sequence[float]], start: float) -> list[float]:
    """start + ∫ Σ_k A_k Φ_k at the nodes."""
    pushed = [0.0] * NODES
    for rate, values in zip(rates, column, strict=True):
        if any(rate):
            pushed = [p + r * v for p, r, v in zip(pushed, rate, values, strict=True)]
    if not any(pushed):
        return [start] * NODES
    return [start + sum(map(mul, row, pushed)) for row in integrals()]


def _numbers(grid: Grid) -> Iterator[float]:
    return chain.from_iterable(chain.from_iterable(grid))


def _pieces(flow: Grid) -> Iterator[tuple[Matrix, list[Matrix], Matrix]]:
    """The flow where each piece of a panel, from node to node, begins, at its Gauss nodes, and where it ends."""
    first = identity(len(flow))
    for places in _places():
        *inside, last = (tuple(tuple(sum(map(mul, at, entry)) for entry in row) for row in flow) for at in places)
        yield first, inside, last
        first = last


@cache
def _places() -> list[list[Series]]:
    """What takes values at the nodes of a panel to those at the Gauss nodes and the end of each of its pieces."""
    ends = pairwise((-1.0, *reversed(POINTS), 1.0))
    return [[*(lagrange((a + b + (b - a) * place) / 2) for place, _ in _GAUSS), lagrange(b)] for a, b in ends]


def _settled(panel: _Panel) -> bool:
    """Whether the last terms are nothing beside the largest of their row."""
    return all(
        max(map(tail, row)) <= _EXACT * max(max(map(abs, series)) for series in row)
        for table in (panel.signal, panel.mean, panel.factor)
        for row in table
    )


def _fitted(matrices: Sequence[Matrix]) -> Table:
    """The series of each entry from its values at the nodes."""
    first = matrices[0]
    return tuple(tuple(fit([at[i][j] for at in matrices]) for j in range(len(row))) for i, row in enumerate(first))


def _values(table: Table, x: float) -> Matrix:
    return tuple(tuple(value(series, x) for series in row) for row in table)


def _norm(a: Sequence[Sequence[float]]) -> float:
    return max(sum(map(abs, row)) for row in a)


def _unreached(t: float) -> Refusal:
    return Refusal(
        "DGM672",
        f"the noise does not reach every coordinate: {t:.3g} after the start some are known exactly once others are",
        "diffusion",
        label="leaves the state on a plane",
        notes=("the matrices A of the drift and G of the diffusion are not controllable there: Σ(t) is singular",),
        help=("let the noise of one part enter the drift of the other, or give that part noise of its own",),
    )


def _refused(t: float) -> Refusal:
    where = f"near {t:.3g} after the start" if t else "at the start"
    return Refusal(
        "DGM646",
        f"the moments of drift and diffusion do not converge {where}",
        notes=("∫ ‖A‖ dt and ∫ G Gᵀ dt have to exist, in numbers below 1e150, and their panels to be few",),
        help=("end the time earlier, or let the coefficients turn more slowly",),
    )
