"""What numerical schemes ask of a diffusion g(x, t) that reads the state: ∂g_i/∂x_i, derived from its formula; and
whether a drift bends at all.

A diagonal diffusion drives coordinate i by noise of its own, dx_i = f_i dt + g_i(x, t) dW_i. Milstein's correction and
the difference between Itô's and Stratonovich's calculus both need g_i ∂g_i/∂x_i and nothing else of the derivative.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Final

from dgmspec.algebra.builder import Builder, Exhausted
from dgmspec.algebra.cells import TooLarge, cells, spread
from dgmspec.algebra.derive import derivative_term
from dgmspec.algebra.emit import emit
from dgmspec.algebra.intervals import REALS
from dgmspec.algebra.nodes import AbstractExpr, Index, Name, Vector, expr
from dgmspec.algebra.paths.affine import NotAffine, Others, Times, affine
from dgmspec.algebra.prove import Prover
from dgmspec.algebra.reading import Reader
from dgmspec.algebra.rewrite import free_names, substitute
from dgmspec.algebra.shapes import broadcast, shape_of
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Shape

__all__ = ["OwnSlope", "bends", "own_slope", "require_shape"]

_BUDGET: Final = 60_000
_WRITTEN_OUT: Final = 64
"""Coordinates up to which a formula is written out number by number."""


@dataclass(frozen=True)
class OwnSlope:
    """∂g_i/∂x_i as a formula of the state and the time; `own` says that g_i reads no other coordinate."""

    formula: AbstractExpr
    own: bool


def own_slope(formula: AbstractExpr, state: str, times: Times, shape: Shape) -> OwnSlope:
    """The derivative of each coordinate of a diffusion by its own coordinate of the state; `Refusal` where a function
    leaves its domain, or the formula is too large to be written out."""
    if state not in free_names(formula):
        return OwnSlope(expr(0), True)
    try:
        return _coordinatewise(formula, state, times)
    except Refusal as refusal:
        if refusal.code != "DGM455":
            raise
    except Exhausted:
        pass
    return _written_out(formula, state, times, shape)


def bends(formula: AbstractExpr, state: str, times: Times, shape: Shape | None, others: Others = None) -> bool:
    """Whether a drift is not affine in the state, whose coordinates it may mix: some derivative still reads the state.
    False where that is not found out, without a `shape` or for many coordinates."""
    try:
        return isinstance(affine(formula, state, times, others), NotAffine)
    except Refusal as refusal:
        if refusal.code != "DGM455" or shape is None or len(shape) > 1 or prod(shape) > _WRITTEN_OUT:
            return False
    names = [f"{state}__{i}" for i in range(prod(shape))]
    box = dict.fromkeys(names, REALS) | {times.name: times.interval, **(others or {})}
    shapes = {state: shape, **dict.fromkeys(box.keys() - {*names}, ())}
    try:
        for cell in cells(formula, shapes, {state: [Name(id=name) for name in names]})[1]:
            for name in {*names} & {*free_names(cell)}:
                b = Builder(box, [_BUDGET])
                if derivative_term(b, Reader(Prover(b), name).read(cell), name).names & {*names}:
                    return True
    except (TooLarge, Exhausted, Refusal):
        pass
    return False


def require_shape(formula: AbstractExpr, state: str, time: str, shape: Shape, what: str) -> None:
    """Refuse a drift or diffusion whose value has not, or does not broadcast to, the shape of the state."""
    own = shape_of(formula, {state: shape, time: ()})
    if broadcast([own, shape]) != shape:
        raise Refusal(
            "DGM310",
            f"the {what} has shape {list(own)}, and the state has shape {list(shape)}",
            help=("make it a number, or one for each coordinate of the state",),
        )


def _coordinatewise(formula: AbstractExpr, state: str, times: Times) -> OwnSlope:
    """The state is one symbol that stands for each of its coordinates."""
    b = Builder({state: REALS, times.name: times.interval}, [_BUDGET])
    slope = derivative_term(b, Reader(Prover(b), state).read(formula), state)
    return OwnSlope(emit(b, slope), True)


def _written_out(formula: AbstractExpr, state: str, times: Times, shape: Shape) -> OwnSlope:
    """Every coordinate by itself."""
    if len(shape) > 1 or prod(shape) > _WRITTEN_OUT:
        raise _too_large()
    names = [f"{state}__{i}" for i in range(prod(shape))]
    box = dict.fromkeys(names, REALS) | {times.name: times.interval}
    parts, own = [], True
    try:
        written = cells(formula, {state: shape, times.name: ()}, {state: [Name(id=name) for name in names]})
        for cell, name in zip(spread(written, shape), names, strict=True):
            b = Builder(box, [_BUDGET])
            term = Reader(Prover(b), name).read(cell)
            own &= not (term.names - {name, times.name})
            parts.append(emit(b, derivative_term(b, term, name)))
    except (TooLarge, Exhausted):
        raise _too_large() from None
    whole = Name(id=state)
    numbers = {name: Index(of=whole, index=expr(i)) if shape else whole for i, name in enumerate(names)}
    found = [substitute(part, numbers) for part in parts]
    return OwnSlope(Vector(items=tuple(found)) if shape else found[0], own)


def _too_large() -> Refusal:
    return Refusal(
        "DGM454",
        "the diffusion is not written out number by number, so its derivative is not derived",
        help=("write it coordinate by coordinate, as in `0.3 * x`",),
    )
