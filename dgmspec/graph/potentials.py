"""Energies that steps of a flow move by, closed: formulas in which the state is `_`, or names of functions of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dgmspec.algebra.evaluate import Constants
from dgmspec.algebra.nodes import AbstractExpr, Argument, Call, Name, expr
from dgmspec.algebra.rewrite import Lambda, free_names, substitute
from dgmspec.core.diagnostics import Refusal
from dgmspec.graph.scope import close_formula, unknown_function
from dgmspec.ops.transitions import STATE, Potential
from dgmspec.spec.unresolve import formula_text

__all__ = ["close_potential"]


def close_potential(
    written: AbstractExpr,
    functions: Mapping[str, Lambda],
    constants: Constants,
    readable: frozenset[str],
    nets: Collection[str],
) -> Potential:
    """The energy with constants put in and functions written out, over the state, `readable` names and `nets`."""
    # Numbers put in: that is what tells one turn of a repeat from another.
    label = formula_text(substitute(written, {n: expr(v) for n, v in constants.items() if n not in functions}))
    formula = _of_state(written, functions, {*constants, *readable, STATE}, nets)
    closed = close_formula(formula, functions, constants, readable | {STATE}, frozenset(nets))
    if STATE not in free_names(closed):
        raise Refusal(
            "DGM458",
            f"`{label}` does not read the state, so every move costs the same",
            label="no state in it",
            help=("write the state as `_`, as in `dot(_, _) / 2`, or name an energy: `energy E(x) = …`, then `E`",),
        )
    return Potential(closed, label)


def _of_state(
    written: AbstractExpr, functions: Mapping[str, Lambda], known: Collection[str], nets: Collection[str]
) -> AbstractExpr:
    """A function's name applied to the state; any other formula as it is."""
    if not isinstance(written, Name) or (written.id in known and written.id not in functions):
        return written
    name = written.id
    if name not in functions and name not in nets:
        raise unknown_function(name, functions)
    others = functions[name].args[1:] if name in functions else ()
    if others:
        raise Refusal(
            "DGM458",
            f"`{name}` takes {len(others) + 1} arguments, of which the state is one",
            label="of what else?",
            help=(f"give it the others: `{name}({', '.join((STATE, *others))})`",),
        )
    return Call(name=name, args=(Argument(value=Name(id=STATE)),))
