"""A formula of an array that moves, the state, beside names that move with it: what traces and gradients are made of.

The values of nets move with the state. Of each number of one it is known which coordinates of the state it can read, so
that what is no function of a coordinate is held fixed where the derivative by that coordinate is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Final

from dgmspec.algebra.cells import indexed
from dgmspec.algebra.intervals import Interval
from dgmspec.algebra.nodes import AbstractExpr, Name
from dgmspec.algebra.rewrite import free_names, substitute
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import REAL, Shape

__all__ = ["BUDGET", "FOLLOWED", "LINE", "WRITTEN_OUT", "Field", "Moving", "box_of", "domains", "whole"]

WRITTEN_OUT: Final = 16
"""Coordinates up to which formulas are written out number by number."""

FOLLOWED: Final = 256
"""Coordinates up to which it is followed which number reads which, and lists are taken number by number."""

BUDGET: Final = 60_000
LINE: Final = Interval(REAL.low, REAL.high, True, True)


@dataclass(frozen=True)
class Moving:
    """A name that depends on the state.

    `reads` says for each of its numbers, row-major, which coordinates of the state that can depend on, as bits; one
    integer where that is the same for all. ``hollow``: it is an array of the state's shape, or a list of such arrays,
    whose number i does not read coordinate i. `traces` are Σ ∂(number k)/∂(coordinate places[k]), by the places; None
    stands for all coordinates in order.
    """

    reads: int | tuple[int, ...]
    hollow: bool = False
    traces: Mapping[tuple[int, ...] | None, Name] = field(default_factory=dict)

    def depends(self, number: int, on: int) -> bool:
        """Whether one of its numbers can depend on a coordinate of the state."""
        row = self.reads if isinstance(self.reads, int) else self.reads[number]
        return bool(row >> on & 1)


@dataclass(frozen=True)
class Field:
    """What a formula is about: the array `state`, every name's shape, the intervals of names, and the names that depend
    on the state."""

    state: str
    shapes: Mapping[str, Shape]
    box: Mapping[str, Interval]
    known: Mapping[str, Moving]

    @property
    def shape(self) -> Shape:
        """That of the state."""
        return self.shapes[self.state]

    @property
    def coordinates(self) -> list[str]:
        """Names for the numbers of the state."""
        return [f"{self.state}__{i}" for i in range(prod(self.shape))]

    def reads(self, formula: AbstractExpr) -> bool:
        """Whether a formula depends on the state."""
        return any(name == self.state or name in self.known for name in free_names(formula))

    def plain(self, formula: AbstractExpr) -> bool:
        """Whether a formula reads no name but the state that depends on it."""
        return not any(name in self.known for name in free_names(formula))

    def hollow(self, name: str) -> bool:
        """Whether number i of a name, or of each array in it, does not depend on coordinate i of the state."""
        return name in self.known and self.known[name].hollow


def box_of(field: Field, names: Sequence[str]) -> dict[str, Interval]:
    """An interval for every name that may be read."""
    return {name: field.box.get(name, LINE) for name in (*field.shapes, *names)}


def whole(formula: AbstractExpr, name: str, shape: Shape, numbers: Sequence[str]) -> AbstractExpr:
    """A formula of the numbers of an array as one of the array: ``A__1`` as ``A[0][1]``."""
    return substitute(formula, dict(zip(numbers, indexed(Name(id=name), shape), strict=True)))


@contextmanager
def domains(field: Field) -> Iterator[list[str]]:
    """The names of the state's numbers; a refusal that mentions them says ``y[0]``."""
    names = field.coordinates
    try:
        yield names
    except Refusal as refusal:
        for i, name in reversed(list(enumerate(names))):
            written = f"{field.state}[{i}]" if field.shape else field.state
            refusal.message = refusal.message.replace(name, written)
            refusal.notes = tuple(note.replace(name, written) for note in refusal.notes)
        raise
