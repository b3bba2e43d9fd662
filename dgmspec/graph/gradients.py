"""``grad(E(x), x)`` in the drift of a process: the gradient of a number by the state, derived as a formula."""

from __future__ import annotations

from collections.abc import Mapping

from dgmspec.algebra.coordinates import gradient
from dgmspec.algebra.fields import WRITTEN_OUT
from dgmspec.algebra.intervals import Interval
from dgmspec.algebra.nodes import AbstractExpr, Call, Name, children
from dgmspec.algebra.paths.affine import Times
from dgmspec.algebra.rewrite import rebuild
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Type, Unknown

__all__ = ["differentiated"]


def differentiated(
    formula: AbstractExpr, parts: Mapping[str, Type | Unknown], times: Times, others: Mapping[str, Interval]
) -> AbstractExpr:
    """The formula, which may read `others` too, with every gradient by a part of the state written out."""
    if not (isinstance(formula, Call) and formula.name == "grad"):
        inner = [differentiated(part, parts, times, others) for part in children(formula)]
        return rebuild(formula, inner) if inner else formula
    by = formula.args[1].value if len(formula.args) == 2 else None
    if not isinstance(by, Name) or by.id not in parts:
        names = " or ".join(f"`{name}`" for name in parts)
        raise Refusal(
            "DGM647",
            f"`grad` takes a number and the state {names}, by which it is differentiated",
            help=(f"write `grad(E({', '.join(parts)}), {next(iter(parts))})`",),
        )
    box = {times.name: times.interval, **others}
    shapes = {name: event.shape if isinstance(event, Type) else (WRITTEN_OUT + 1,) for name, event in parts.items()}
    found = gradient(formula.args[0].value, by.id, shapes | dict.fromkeys(box, ()), box)
    if found is None:
        raise Refusal(
            "DGM647",
            f"the gradient by `{by.id}` is derived for a state of at most {WRITTEN_OUT} numbers whose type is written "
            "out, of a formula that is a number",
            help=("write the gradient itself",),
        )
    return found
