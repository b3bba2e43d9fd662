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
    formula: AbstractExpr, state: str, times: Times, event: Type | Unknown, others: Mapping[str, Interval]
) -> AbstractExpr:
    """The formula, which may read `others` too, with every gradient written out."""
    if not (isinstance(formula, Call) and formula.name == "grad"):
        parts = list(children(formula))
        return (
            rebuild(formula, [differentiated(part, state, times, event, others) for part in parts])
            if parts
            else formula
        )
    if len(formula.args) != 2 or formula.args[1].value != Name(id=state):
        raise Refusal(
            "DGM647",
            f"`grad` takes a number and the state `{state}`, by which it is differentiated",
            help=(f"write `grad(E({state}), {state})`",),
        )
    box = {times.name: times.interval, **others}
    shapes = {state: event.shape if isinstance(event, Type) else (WRITTEN_OUT + 1,), **dict.fromkeys(box, ())}
    found = gradient(formula.args[0].value, state, shapes, box)
    if found is None:
        raise Refusal(
            "DGM647",
            f"the gradient by `{state}` is derived for a state of at most {WRITTEN_OUT} numbers whose type is written "
            "out, of a formula that is a number",
            help=("write the gradient itself",),
        )
    return found
