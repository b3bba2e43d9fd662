"""``grad(E(x), x)`` in the drift of a process: the gradient of a number by the state, derived as a formula."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dgmspec.algebra.coordinates import gradient
from dgmspec.algebra.fields import WRITTEN_OUT
from dgmspec.algebra.intervals import Interval
from dgmspec.algebra.nodes import AbstractExpr, Call, Name, children
from dgmspec.algebra.paths.affine import Times
from dgmspec.algebra.rewrite import called, rebuild
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Shape, Type, Unknown

__all__ = ["differentiated"]


def differentiated(
    formula: AbstractExpr,
    parts: Mapping[str, Type | Unknown],
    times: Times,
    others: Mapping[str, Interval],
    shapes: Mapping[str, Shape],
    nets: Collection[str] = (),
) -> AbstractExpr:
    """The formula with every gradient by a part of the state written out, but for one of a number that `nets` are
    applied in; it may read `others` too, of these `shapes`."""
    if not (isinstance(formula, Call) and formula.name == "grad"):
        inner = [differentiated(part, parts, times, others, shapes, nets) for part in children(formula)]
        return rebuild(formula, inner) if inner else formula
    by = formula.args[1].value if len(formula.args) == 2 else None
    if not isinstance(by, Name) or by.id not in parts:
        names = " or ".join(f"`{name}`" for name in parts)
        raise Refusal(
            "DGM647",
            f"`grad` takes a number and the state {names}, by which it is differentiated",
            help=(f"write `grad(E({', '.join(parts)}), {next(iter(parts))})`",),
        )
    if not {*nets}.isdisjoint(called(formula.args[0].value)):
        return _left(formula, parts)
    box = {times.name: times.interval, **others}
    known = {name: event.shape if isinstance(event, Type) else (WRITTEN_OUT + 1,) for name, event in parts.items()}
    found = gradient(formula.args[0].value, by.id, known | {times.name: ()} | dict(shapes), box)
    if found is None:
        raise Refusal(
            "DGM647",
            f"the gradient by `{by.id}` is derived for a state of at most {WRITTEN_OUT} numbers whose type is written "
            "out, of a formula that is a number",
            help=("write the gradient itself",),
        )
    return found


def _left(formula: Call, parts: Mapping[str, Type | Unknown]) -> Call:
    """A gradient of nets, which is taken where they are evaluated, by a state that is one variable."""
    if len(parts) > 1:
        raise Refusal(
            "DGM647",
            "the gradient of a net is taken by a state that is one variable, and this one has parts",
            help=("declare one vector in place of the parts", "or write the gradient itself as a net"),
        )
    return formula
