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

from dgmspec.algebra.closures import closure
from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.affine import NotAffine, Times
from dgmspec.algebra.paths.derive import remembered
from dgmspec.algebra.paths.gaussian import AbstractPath
from dgmspec.algebra.paths.joint_moments import JointMoments, joint_moments
from dgmspec.algebra.paths.matrices import Matrix, factor, solved, transposed
from dgmspec.algebra.paths.mixing import Mixing, Parts, mixing

__all__ = ["JointPath", "Start", "of_joint_drift"]

Start = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and deviation of a normal law that a part has at the start, one number each or one a coordinate."""


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
    def table(self) -> JointMoments:
        """Φ, m and L over the time."""
        rows = self.mixing.order
        rate = _function([[self.mixing.rate[i][j] for j in rows] for i in rows], self.times)
        offset, noise = (_function([m[i] for i in rows], self.times) for m in (self.mixing.offset, self.mixing.noise))
        size = len(rows)
        blur = tuple(tuple((self.deviations[i] or 0.0) * (i == j) for j in range(size)) for i in range(size))
        width = max(len(self.means[0]), len(self.mixing.offset[0]))
        means = tuple(row * width if len(row) == 1 else row for row in self.means)
        return joint_moments(rate, _widened(offset, width), noise, self.high - self.low, means, blur)

    def at(self, t: float) -> tuple[Matrix, Matrix, Matrix]:
        """(Φ, m, L): x_t is Φ x_0 + m + L ε with the columns of Φ for the data alone."""
        signal, mean, spread = self.table.at(t - self.low)
        return tuple(tuple(row[i] for i in self.data) for row in signal), mean, spread

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
