"""`JointPath`: the path of a state whose coordinates mix, x_t = Φ(t) x_0 + m(t) + L(t) ε with matrices Φ and L.

Of the coordinates at the start some may have a normal law of their own, whatever the data are, as the velocities of a
Langevin diffusion have. They are integrated out: x_t is then known given the data alone, with the spread of those
coordinates a part of L. Dockhorn, Vahdat and Kreis 2022, "Score-based generative modeling with critically-damped
Langevin diffusion", call the loss along such a path hybrid score matching.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import mul
from typing import NamedTuple

from dgmspec.algebra.closures import closure
from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.affine import NotAffine, Times
from dgmspec.algebra.paths.derive import remembered
from dgmspec.algebra.paths.gaussian import AbstractPath
from dgmspec.algebra.paths.joint_moments import JointMoments, joint_moments, moments_between
from dgmspec.algebra.paths.matrices import Matrix, Row, factor, product, solved, transposed
from dgmspec.algebra.paths.mixing import Mixing, mixing
from dgmspec.algebra.paths.parts import Parts

__all__ = ["JointBridge", "JointPath", "JointStep", "Start", "of_joint_drift"]

Start = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and deviation of a normal law that a part has at the start, one number each or one a coordinate."""


class JointStep(NamedTuple):
    """x_t given x_s is N(signal x_s + mean, factor factorᵀ)."""

    signal: Matrix
    mean: Matrix
    factor: Matrix


class JointBridge(NamedTuple):
    """x_s given x_t and x_0 is N(end x_t + start x_0 + mean, factor factorᵀ)."""

    end: Matrix
    start: Matrix
    mean: Matrix
    factor: Matrix


@dataclass(frozen=True)
class JointPath(AbstractPath):
    """The path of one group of coordinates, in the order of `mixing.order`; all groups have the same Φ and L.

    `means` is K × 1, or K × copies, and `deviations` K: the law at the start of the coordinates that have one; the
    deviation is None of those that the data give.
    """

    times: Times
    mixing: Mixing
    means: Matrix
    deviations: tuple[float | None, ...]
    levels: tuple[float, ...] = ()

    @property
    def data(self) -> tuple[int, ...]:
        """The coordinates of a group, in order, that the data give."""
        return tuple(i for i, deviation in enumerate(self.deviations) if deviation is None)

    @cached_property
    def law(self) -> tuple[Callable[[float], Matrix], Callable[[float], Matrix], Callable[[float], Matrix]]:
        """A, b and G in order as functions of the time since the start."""
        rows, width = self.mixing.order, max(len(self.means[0]), len(self.mixing.offset[0]))
        rate = _function([[self.mixing.rate[i][j] for j in rows] for i in rows], self.times)
        offset, noise = (_function([m[i] for i in rows], self.times) for m in (self.mixing.offset, self.mixing.noise))
        return rate, _widened(offset, width), noise

    @cached_property
    def table(self) -> JointMoments:
        """Φ, m and L over the time."""
        rate, offset, noise = self.law
        size = self.mixing.size
        blur = tuple(tuple((self.deviations[i] or 0.0) * (i == j) for j in range(size)) for i in range(size))
        width = max(len(self.means[0]), len(self.mixing.offset[0]))
        means = tuple(row * width if len(row) == 1 else row for row in self.means)
        return joint_moments(rate, offset, noise, self.high - self.low, means, blur)

    def at(self, t: float) -> tuple[Matrix, Matrix, Matrix]:
        """(Φ, m, L): x_t is Φ x_0 + m + L ε with the columns of Φ for the data alone."""
        signal, mean, spread = self.table.at(t - self.low)
        return tuple(tuple(row[i] for i in self.data) for row in signal), mean, spread

    def between(self, s: float, t: float) -> JointStep:
        """The law of x_t given all of x_s, s < t: worked out from s on, so that no covariance is subtracted."""
        if s <= self.low and len(self.data) == self.mixing.size and t - self.low >= self.table.edges[0]:
            return JointStep(*self.at(t))
        return JointStep(*moments_between(*self.law, self.table.edges, s - self.low, t - self.low))

    def posterior(self, s: float, t: float) -> JointBridge:
        """The law of x_s given x_t and the data, low < s < t, by orthogonal rows: of [[L_{t|s}, Φ_{t|s} L_s], [0, L_s]]
        the triangular factor [[L_t, 0], [W, P]] has the gain W L_t⁻¹ and the factor P in it."""
        step, (signal, mean, spread) = self.between(s, t), self.at(s)
        size, nothing = self.mixing.size, (0.0,) * self.mixing.size
        above = [(*p, *q) for p, q in zip(step.factor, product(step.signal, spread), strict=True)]
        rows = factor([*above, *((*nothing, *row) for row in spread)])
        whole, shared = ([row[:size] for row in half] for half in (rows[:size], rows[size:]))
        left = tuple(row[size:] for row in rows[size:])
        gain = transposed(solved(transposed(whole), transposed(shared)))
        # (1 - gain Φ_{t|s}) Φ_s, without the difference: P Pᵀ Σ_s⁻¹ Φ_s.
        told = solved(transposed(spread), solved(spread, signal))
        kept = product(product(left, transposed(left)), told)
        moved = product(gain, self.at(t)[1])
        shift = tuple(tuple(x - y for x, y in zip(p, q, strict=True)) for p, q in zip(mean, moved, strict=True))
        return JointBridge(gain, kept, shift, left)

    def grouped(self, values: Row) -> Matrix:
        """Numbers by the coordinate of the state, or one for all of them, as a row for each group, in order."""
        copies = self.mixing.copies
        flat = values * (copies * self.mixing.size) if len(values) == 1 else values
        return tuple(tuple(flat[place * copies + c] for place in self.mixing.order) for c in range(copies))

    def marginals(self, means: Row, deviations: Row, t: float) -> tuple[tuple[Row, Matrix], ...]:
        """Mean and factor of x_t in each group, in order, where the data, all of x_0, are normal with independent
        coordinates, of one mean and deviation for all or for each."""
        signal, shift, spread = self.between(self.low, t)
        factors: dict[Row, Matrix] = {}
        found = []
        for c, (first, scale) in enumerate(zip(self.grouped(means), self.grouped(deviations), strict=True)):
            if scale not in factors:
                rows = zip(signal, spread, strict=True)
                factors[scale] = factor([(*(map(mul, row, scale)), *noise) for row, noise in rows])
            mean = tuple(sum(map(mul, row, first)) + m[c % len(m)] for row, m in zip(signal, shift, strict=True))
            found.append((mean, factors[scale]))
        return tuple(found)

    def log_snr(self, t: float) -> float:
        """The mean of the logarithms of the eigenvalues of Φᵀ Σ⁻¹ Φ, what x_t tells of the data: it never rises."""
        if t <= self.low:
            return math.inf
        signal, _, spread = self.at(t)
        told = factor(transposed(solved(spread, signal)))
        return 2 * math.fsum(math.log(row[i]) if row[i] > 0 else -math.inf for i, row in enumerate(told)) / len(told)

    def prior_mismatch(self, means: Sequence[float], scales: Sequence[float], second_moment: float = 1.0) -> float:
        """Nats per dimension by which the law at the end of time misses independent normals, given by the coordinate of
        the state: E KL(N(Φ x_0 + m, L Lᵀ) ‖ N(means, scales²)), for uncorrelated data of that moment."""
        signal, mean, spread = self.at(self.high)
        copies, total = self.mixing.copies, 0.0
        for i, place in enumerate(self.mixing.order):
            square = second_moment * sum(x * x for x in signal[i]) + sum(x * x for x in spread[i])
            for c in range(copies):
                scale, shift = scales[place * copies + c], mean[i][c % len(mean[i])] - means[place * copies + c]
                total += (square / scale**2 + (shift / scale) ** 2 - 1) / 2 - math.log(spread[i][i] / scale)
        return total / (copies * self.mixing.size)


@remembered
def of_joint_drift(
    drift: AbstractExpr, diffusion: AbstractExpr, parts: Parts, times: Times, starts: tuple[Start | None, ...]
) -> JointPath | NotAffine:
    """The path of a state of these parts, of which some have a law at the start, or why the drift is not affine."""
    found = mixing(drift, diffusion, parts, times)
    if isinstance(found, NotAffine):
        return found
    means, deviations = _at_start(found, parts, starts)
    path = JointPath(times, found, means, deviations)
    _ = path.table
    return path


def _at_start(law: Mixing, parts: Parts, starts: tuple[Start | None, ...]) -> tuple[Matrix, tuple[float | None, ...]]:
    """The laws by the coordinate of a group, in order; a part stays given where its deviation differs by the group."""
    flat: list[tuple[float, float | None]] = []
    for (_, shape), start in zip(parts, starts, strict=True):
        size = math.prod(shape)
        if start is None:
            flat += [(0.0, None)] * size
        else:
            loc, scale = (row * size if len(row) == 1 else row for row in start)
            flat += zip(loc, scale, strict=True)
    rows = [flat[place * law.copies : (place + 1) * law.copies] for place in law.order]
    alike = [len({deviation for _, deviation in row}) == 1 for row in rows]
    means = tuple(tuple(m if same else 0.0 for m, _ in row) for row, same in zip(rows, alike, strict=True))
    if all(len(set(row)) == 1 for row in means):
        means = tuple(row[:1] for row in means)
    return means, tuple(row[0][1] if same else None for row, same in zip(rows, alike, strict=True))


def _function(rows: Sequence[Sequence[AbstractExpr]], times: Times) -> Callable[[float], Matrix]:
    """A matrix of formulas as a function of the time since the start."""
    entries = [[closure(item, times.name) for item in row] for row in rows]
    return lambda t: tuple(tuple(entry(times.low + t) for entry in row) for row in entries)


def _widened(function: Callable[[float], Matrix], width: int) -> Callable[[float], Matrix]:
    """A column repeated, where others differ by the group."""
    return lambda t: tuple(row * width if len(row) == 1 else row for row in function(t))
