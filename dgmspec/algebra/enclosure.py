"""Where the value of a formula lies when its names run over intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dgmspec.algebra.builder import Builder, Exhausted
from dgmspec.algebra.intervals import REALS, Interval
from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.prove import Prover
from dgmspec.algebra.reading import Reader
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.diagnostics import Refusal

__all__ = ["enclosed", "sign_of"]

_BUDGET: Final = 10_000
_NOBODY: Final = "·"
"""The variable of a formula that is about none."""


def enclosed(formula: AbstractExpr | float, box: Mapping[str, Interval]) -> Interval:
    """An interval that holds every value of a number; the reals where none is found. `Refusal` (DGM453) where the
    formula is not defined everywhere."""
    if not isinstance(formula, AbstractExpr):
        return Interval(formula, formula)
    prover = _prover(formula, box)
    try:
        return prover.b.box.range(Reader(prover, _NOBODY).read(formula))
    except Exhausted:
        return REALS
    except Refusal as refusal:
        if refusal.code == "DGM453":
            raise
        return REALS


def sign_of(formula: AbstractExpr, box: Mapping[str, Interval]) -> int | None:
    """1 or -1 where a number is proved positive or negative for all values of its names, 0 where it is always 0, else
    None."""
    prover = _prover(formula, box)
    try:
        return prover.sign(Reader(prover, _NOBODY).read(formula)).sign
    except (Exhausted, Refusal):
        return None


def _prover(formula: AbstractExpr, box: Mapping[str, Interval]) -> Prover:
    names = {name: box.get(name, REALS) for name in sorted(free_names(formula))}
    return Prover(Builder({**names, _NOBODY: REALS}, [_BUDGET]))
