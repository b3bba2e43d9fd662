"""What numerical schemes ask of a diffusion g(x, t) that reads the state: ∂g_i/∂x_i, derived from its formula; and
whether a drift bends at all.

A diagonal diffusion drives coordinate i by noise of its own, dx_i = f_i dt + g_i(x, t) dW_i. Milstein's correction and
the difference between Itô's and Stratonovich's calculus both need g_i ∂g_i/∂x_i and nothing else of the derivative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import Final

from dgmspec.algebra.builder import Builder, Exhausted
from dgmspec.algebra.cells import TooLarge
from dgmspec.algebra.derive import derivative_term
from dgmspec.algebra.emit import emit
from dgmspec.algebra.intervals import REALS, Interval
from dgmspec.algebra.nodes import AbstractExpr, Index, Name, Vector, expr
from dgmspec.algebra.paths.affine import NotAffine, Others, Times, affine
from dgmspec.algebra.paths.parts import Parts, coordinates, listed, written_out
from dgmspec.algebra.prove import Prover
from dgmspec.algebra.reading import Reader
from dgmspec.algebra.rewrite import free_names, substitute
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Shape

__all__ = ["OwnSlope", "bends", "own_slope"]

_BUDGET: Final = 60_000
_WRITTEN_OUT: Final = 64
"""Coordinates up to which a formula is written out number by number."""


@dataclass(frozen=True)
class OwnSlope:
    """∂g_i/∂x_i as a formula of the state and the time, a list of them where g is one of those of a joint state's
    parts; `own` says that g_i reads no other coordinate."""

    formula: AbstractExpr
    own: bool


@dataclass(frozen=True)
class _Beside:
    """The shapes of what a formula reads beside the state, and what is known of its numbers."""

    shapes: Mapping[str, Shape]
    box: Mapping[str, Interval]

    @classmethod
    def of(cls, times: Times, others: Others, shapes: Mapping[str, Shape] | None) -> _Beside:
        """The time and `others`, of which `shapes` has those that are no numbers."""
        box = {times.name: times.interval, **(others or {})}
        return cls({name: (shapes or {}).get(name, ()) for name in box}, box)


def own_slope(
    formula: AbstractExpr,
    parts: Parts,
    times: Times,
    others: Others = None,
    shapes: Mapping[str, Shape] | None = None,
) -> OwnSlope:
    """The derivative of each coordinate of a diffusion by its own coordinate of the state; `Refusal` where a function
    leaves its domain, or the formula is too large to be written out. `others` are further names that it may read, and
    `shapes` has the shapes of those that are no numbers."""
    beside = _Beside.of(times, others, shapes)
    names = [name for name, _ in parts]
    if not {*names} & {*free_names(formula)}:
        return OwnSlope(_joined([expr(0)] * len(parts)), True)
    try:
        return _coordinatewise(formula, parts, beside)
    except Refusal as refusal:
        if refusal.code != "DGM455":
            raise
    except Exhausted:
        pass
    return _written_out(formula, parts, beside)


def bends(
    formula: AbstractExpr,
    parts: Parts,
    times: Times,
    others: Others = None,
    shapes: Mapping[str, Shape] | None = None,
) -> bool:
    """Whether a drift is not affine in the state, whose coordinates it may mix: some derivative still reads the state.
    False where that is not found out, for many coordinates."""
    try:
        if len(parts) == 1:
            return isinstance(affine(formula, parts[0][0], times, others), NotAffine)
    except Refusal as refusal:
        if refusal.code != "DGM455":
            return False
    names = coordinates(parts)
    if len(names) > _WRITTEN_OUT or any(len(shape) > 1 for _, shape in parts):
        return False
    beside = _Beside.of(times, others, shapes)
    box = dict.fromkeys(names, REALS) | dict(beside.box)
    try:
        for cell in written_out(formula, parts, beside.shapes, "drift"):
            for name in {*names} & {*free_names(cell)}:
                b = Builder(box, [_BUDGET])
                if derivative_term(b, Reader(Prover(b), name).read(cell), name).names & {*names}:
                    return True
    except (TooLarge, Exhausted, Refusal):
        pass
    return False


def _joined(items: list[AbstractExpr]) -> AbstractExpr:
    """The formula of the one part, or the list of those of several."""
    return items[0] if len(items) == 1 else Vector(items=tuple(items))


def _coordinatewise(formula: AbstractExpr, parts: Parts, beside: _Beside) -> OwnSlope:
    """Every part is one symbol that stands for each of its coordinates."""
    names = {name for name, _ in parts}
    box = dict.fromkeys(names, REALS) | dict(beside.box)
    found: list[AbstractExpr] = []
    own = True
    for item, (name, _) in zip(listed(formula, parts, "diffusion"), parts, strict=True):
        b = Builder(box, [_BUDGET])
        term = Reader(Prover(b), name).read(item)
        own &= not term.names & (names - {name})
        found.append(emit(b, derivative_term(b, term, name)))
    return OwnSlope(_joined(found), own)


def _written_out(formula: AbstractExpr, parts: Parts, beside: _Beside) -> OwnSlope:
    """Every coordinate by itself."""
    names = coordinates(parts)
    if len(names) > _WRITTEN_OUT or any(len(shape) > 1 for _, shape in parts):
        raise _too_large()
    box = dict.fromkeys(names, REALS) | dict(beside.box)
    slopes: list[AbstractExpr] = []
    own = True
    try:
        for cell, name in zip(written_out(formula, parts, beside.shapes, "diffusion"), names, strict=True):
            b = Builder(box, [_BUDGET])
            term = Reader(Prover(b), name).read(cell)
            own &= not (term.names & ({*names} - {name}))
            slopes.append(emit(b, derivative_term(b, term, name)))
    except (TooLarge, Exhausted):
        raise _too_large() from None
    numbers = {each: number for name, shape in parts for each, number in _numbers(name, shape)}
    found = iter(substitute(slope, numbers) for slope in slopes)
    items = [Vector(items=tuple(islice(found, prod(shape)))) if shape else next(found) for _, shape in parts]
    return OwnSlope(_joined(items), own)


def _numbers(name: str, shape: Shape) -> list[tuple[str, AbstractExpr]]:
    """The names of a part's numbers, and what they are of the part."""
    whole = Name(id=name)
    names = coordinates(((name, shape),))
    return [(own, Index(of=whole, index=expr(i)) if shape else whole) for i, own in enumerate(names)]


def _too_large() -> Refusal:
    return Refusal(
        "DGM454",
        "the diffusion is not written out number by number, so its derivative is not derived",
        help=("write it coordinate by coordinate, as in `0.3 * x`",),
    )
