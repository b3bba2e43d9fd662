"""Drifts that mix coordinates, read as dx = (A(t) x + b(t)) dt + G(t) dW with matrices of formulas of the time.

Every coordinate of the state is a symbol, and the drift is written out number by number: it is affine exactly when no
derivative of a number by a coordinate reads a coordinate. Coordinates that no path of A and G connects move
independently; where all such groups obey one law (position and velocity of each coordinate of a Langevin diffusion),
A and G are those of one group, K × K for any size of the state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from dgmspec.algebra.builder import Builder, Exhausted
from dgmspec.algebra.cells import TooLarge, cells
from dgmspec.algebra.derive import derivative_term
from dgmspec.algebra.emit import emit
from dgmspec.algebra.intervals import REALS
from dgmspec.algebra.nodes import AbstractExpr, expr
from dgmspec.algebra.paths.affine import NotAffine, Others, Times, simplified
from dgmspec.algebra.paths.parts import Parts, coordinates, shares_noise, written_out
from dgmspec.algebra.prove import Prover
from dgmspec.algebra.reading import Reader
from dgmspec.algebra.substitution import substitute_term
from dgmspec.algebra.terms import ZERO
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Shape

__all__ = ["Coefficients", "Mixing", "coefficients", "mixing"]

_BUDGET: Final = 60_000
_WRITTEN_OUT: Final = 2048
"""Coordinates up to which a law is written out number by number."""
_MOST: Final = 16
"""Coordinates of one group: its table holds a series for each entry of its matrices."""

NOTHING: Final = expr(0)

Matrix = tuple[tuple[AbstractExpr, ...], ...]
Rows = list[dict[int, AbstractExpr]]
"""A row of a matrix a coordinate, without what is 0."""


@dataclass(frozen=True)
class Mixing:
    """The law of `copies` groups alike: coordinate p of group c is number p · copies + c of the state.

    `rate` is K × K and `noise` K × R; `offset` K × 1, or K × copies where groups differ in it. `order` lists the
    coordinates of a group, those without noise of their own first: of these `silent`, and in this order, matrices are
    factored.
    """

    rate: Matrix
    offset: Matrix
    noise: Matrix
    copies: int
    order: tuple[int, ...]
    silent: int

    @property
    def size(self) -> int:
        """K, the coordinates of a group."""
        return len(self.rate)


@dataclass(frozen=True)
class Coefficients:
    """The law number by number: A, b and G, of a row what is not 0."""

    rate: Rows
    offset: list[AbstractExpr]
    noise: Rows


def mixing(drift: AbstractExpr, diffusion: AbstractExpr, parts: Parts, times: Times) -> Mixing | NotAffine:
    """The law of a state of these parts, or the derivative that reads the state; `Refusal` where a formula does not fit
    or leaves the domain of a function."""
    found = coefficients(drift, diffusion, parts, times)
    return found if isinstance(found, NotAffine) else _grouped(found.rate, found.offset, found.noise)


def coefficients(
    drift: AbstractExpr,
    diffusion: AbstractExpr,
    parts: Parts,
    times: Times,
    others: Others = None,
    shapes: Mapping[str, Shape] | None = None,
) -> Coefficients | NotAffine:
    """The same before it is divided into groups. The formulas may read `others`, of which `shapes` has those that are
    no numbers."""
    count = sum(prod(shape) for _, shape in parts)
    if count > _WRITTEN_OUT:
        raise _too_large(f"a law that mixes {count:,} coordinates is not written out: {_WRITTEN_OUT:,} are the most")
    names, beside = coordinates(parts), {times.name: (), **dict.fromkeys(others or (), ()), **(shapes or {})}
    try:
        rows = _rows(written_out(drift, parts, beside, "drift"), names, times, others)
        if isinstance(rows, NotAffine):
            return rows
        noises = _noise(diffusion, parts, beside, times, others)
    except (TooLarge, Exhausted):
        raise _too_large("the law of this state is too large to be written out number by number") from None
    if not any(noises):
        help_ = ("let one of its parts have noise", "or write an `ode`, which has none")
        raise Refusal("DGM644", "the diffusion is 0, so nothing is random behind the start", "diffusion", help=help_)
    return Coefficients(*rows, noises)


# ---- number by number -----------------------------------------------------------------------------------------------


def _rows(
    written: list[AbstractExpr], names: list[str], times: Times, others: Others
) -> tuple[Rows, list[AbstractExpr]] | NotAffine:
    """By the coordinate: the derivatives that are not 0, by the coordinate that they are taken by, and what is left."""
    box = dict.fromkeys(names, REALS) | {times.name: times.interval, **(others or {})}
    place = {name: i for i, name in enumerate(names)}
    rates: Rows = []
    offsets: list[AbstractExpr] = []
    for i, cell in enumerate(written):
        b = Builder(box, [_BUDGET])
        term = Reader(Prover(b), names[i]).read(cell)
        row: dict[int, AbstractExpr] = {}
        for name in sorted(term.names & place.keys(), key=place.__getitem__):
            slope = derivative_term(b, term, name)
            if slope.names & place.keys():
                return NotAffine(emit(b, slope))
            row[place[name]] = emit(b, slope)
        for name in term.names & place.keys():
            term = substitute_term(b, term, name, ZERO)
        rates.append(row)
        offsets.append(emit(b, term))
    return rates, offsets


def _noise(diffusion: AbstractExpr, parts: Parts, beside: Mapping[str, Shape], times: Times, others: Others) -> Rows:
    """The rows of G without what is 0: a noise a coordinate, or for one vector a matrix of numbers."""
    if shares_noise(diffusion, parts, beside):
        size, written = prod(parts[0][1]), cells(diffusion, beside, {})[1]
        rows = [written[i * size : (i + 1) * size] for i in range(size)]
        found = [{j: simplified(item, times, others) for j, item in enumerate(row)} for row in rows]
        return [{j: item for j, item in row.items() if item != NOTHING} for row in found]
    own = [simplified(item, times, others) for item in written_out(diffusion, parts, beside, "diffusion")]
    return [{} if item == NOTHING else {i: item} for i, item in enumerate(own)]


# ---- groups ---------------------------------------------------------------------------------------------------------


def _grouped(
    rates: Rows,
    offsets: list[AbstractExpr],
    noises: Rows,
) -> Mixing:
    """One law for all groups where they are alike and lie side by side, else the state as one group."""
    groups = _connected(rates, noises)
    copies, size = len(groups), len(rates)
    beside = all(group == [p * copies + c for p in range(size // copies)] for c, group in enumerate(groups))
    found = [_group(group, rates, noises) for group in groups] if beside else []
    if not beside or len(set(found)) > 1:
        groups, copies = [list(range(size))], 1
        found = [_group(groups[0], rates, noises)]
    rate, noise = found[0]
    if len(rate) > _MOST:
        raise _too_large(f"{len(rate)} coordinates that hang together, or differ in their laws, are more than {_MOST}")
    shifts = tuple(tuple(offsets[group[p]] for group in groups) for p in range(len(rate)))
    if all(len(set(row)) == 1 for row in shifts):
        shifts = tuple(row[:1] for row in shifts)
    silent = [p for p, row in enumerate(noise) if all(item == NOTHING for item in row)]
    order = (*silent, *(p for p in range(len(rate)) if p not in silent))
    return Mixing(rate, shifts, noise, copies, order, len(silent))


def _connected(rates: Rows, noises: Rows) -> list[list[int]]:
    """The coordinates that A or a common noise connects, each group in order, by its first coordinate."""
    of = list(range(len(rates)))

    def root(i: int) -> int:
        while of[i] != i:
            of[i] = of[of[i]]
            i = of[i]
        return i

    drives: dict[int, int] = {}
    for i, (row, noise) in enumerate(zip(rates, noises, strict=True)):
        for j in row:
            of[root(j)] = root(i)
        for column in noise:
            of[root(drives.setdefault(column, i))] = root(i)
    found: dict[int, list[int]] = {}
    for i in range(len(rates)):
        found.setdefault(root(i), []).append(i)
    return sorted(found.values())


def _group(
    group: list[int], rates: Sequence[Mapping[int, AbstractExpr]], noises: Sequence[Mapping[int, AbstractExpr]]
) -> tuple[Matrix, Matrix]:
    """A and G of one group."""
    columns = sorted({column for i in group for column in noises[i]})
    rate = tuple(tuple(rates[i].get(j, NOTHING) for j in group) for i in group)
    return rate, tuple(tuple(noises[i].get(j, NOTHING) for j in columns) for i in group)


def _too_large(why: str) -> Refusal:
    return Refusal("DGM454", why, help=("write the law coordinate by coordinate, as in `[-1, -2] * x`",))
