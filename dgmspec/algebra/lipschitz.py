"""Which terms of a formula are Lipschitz in some of its names, by their form: the condition for a unique solution.

Everything else is held fixed, learned numbers too: a statement for each value of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from dgmspec.algebra.divergence import terms
from dgmspec.algebra.functions import function_of
from dgmspec.algebra.nodes import AbstractExpr, Call, Constant, Name, Neg, Number, Power, Product, children
from dgmspec.algebra.rewrite import free_names

__all__ = ["unproved"]

_BOUNDED: Final = frozenset(("sin", "cos", "tanh", "sigmoid", "arctan", "erf"))
_LIPSCHITZ: Final = frozenset(("softplus", "relu", "abs", "arcsinh", "min", "max", "sum", "mean", "norm", "logsumexp"))
_SMOOTH: Final = frozenset(("exp", "expm1", "sinh", "cosh"))
"""Functions that are Lipschitz on every bounded set, and bounded there."""


@dataclass(frozen=True)
class _Known:
    """What holds of a formula as a function of the names: Lipschitz, and bounded."""

    lipschitz: bool
    bounded: bool


def unproved(formula: AbstractExpr, names: Collection[str], wild: Collection[str] = ()) -> Iterator[AbstractExpr]:
    """The terms of a sum that are not Lipschitz in `names` by their form; of `wild` names, which depend on them too,
    nothing is known."""
    reading = frozenset((*names, *wild))
    for _, term in terms(formula):
        lost = not reading.isdisjoint(wild) and any(name in wild for name in free_names(term))
        if lost or not _known(term, reading).lipschitz:
            yield term


def _known(node: AbstractExpr, names: frozenset[str]) -> _Known:
    if not names.intersection(free_names(node)):
        return _Known(True, True)
    parts = [_known(part, names) for part in children(node)]
    lipschitz, bounded = all(p.lipschitz for p in parts), all(p.bounded for p in parts)
    match node:
        case Name() | Number() | Constant():
            return _Known(True, False)
        case Neg():
            return _Known(lipschitz, bounded)
        case Product():
            return _product(node, parts, names)
        case Power():
            whole = isinstance(node.exponent, Number) and node.exponent.value >= 1
            return _Known(lipschitz and whole and bounded, bounded and whole)
        case Call():
            return _call(node, lipschitz, bounded, names)
    return _Known(lipschitz, bounded)


def _product(node: Product, parts: list[_Known], names: frozenset[str]) -> _Known:
    """A product of Lipschitz factors of which all, or all but one that stands beside constants alone, are bounded."""
    reading = [bool(names.intersection(free_names(factor.of))) for factor in node.factors]
    divided = any(factor.op == "/" and reads for factor, reads in zip(node.factors, reading, strict=True))
    bounded = all(p.bounded for p in parts)
    alone = sum(reading) == 1
    return _Known(not divided and all(p.lipschitz for p in parts) and (bounded or alone), bounded and not divided)


def _call(node: Call, lipschitz: bool, bounded: bool, names: frozenset[str]) -> _Known:
    if node.name in _BOUNDED:
        return _Known(lipschitz, True)
    if node.name in _LIPSCHITZ or function_of(node.name).kind == "array":
        return _Known(lipschitz, bounded)
    if node.name == "dot":
        fixed = sum(bool(names.intersection(free_names(arg.value))) for arg in node.args) == 1
        return _Known(lipschitz and (bounded or fixed), bounded)
    if node.name in _SMOOTH:
        return _Known(lipschitz and bounded, bounded)
    return _Known(False, False)
