"""The loss lowered: arithmetic over loss terms, each bound to the variable it is about."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Final

import networkx as nx

from dgmspec.algebra.evaluate import evaluate, show
from dgmspec.algebra.functions import FUNCTIONS
from dgmspec.algebra.nodes import AbstractExpr, Argument, Call, Name, Neg, Power, Product, Sum, children, expr
from dgmspec.algebra.nodes import Arrow as ArrowExpr
from dgmspec.algebra.rewrite import Lambda, rebuild
from dgmspec.core.address import Address, callee, child
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.losses import (
    AbstractArrowLoss,
    AbstractBound,
    AbstractCommitment,
    AbstractDensityLoss,
    AbstractLoss,
    AbstractPosteriorLoss,
    AbstractScoreLoss,
)
from dgmspec.core.op import AbstractOp
from dgmspec.core.usual import usual
from dgmspec.graph.arguments import Caller
from dgmspec.graph.building import Building
from dgmspec.graph.findings import meant
from dgmspec.graph.graph import Loss, LossTerm, VariableNode
from dgmspec.ops import find, names, roles_of
from dgmspec.ops.paths.losses import ALONG
from dgmspec.spec.model import Path, Setting

_ARITHMETIC: Final = (Sum, Product, Neg, Power)

STEP: Final = "training.step"
"""The name in a loss's formulas that stands for the number of the training step: no text can declare it."""

SCHEDULES: Final = {
    "anneal": Lambda(
        ("first", "last", "steps"),
        Name(id="first")
        + (Name(id="last") - Name(id="first"))
        * Call(name="min", args=(Argument(value=Name(id=STEP) / Name(id="steps")), Argument(value=expr(1)))),
    )
}
"""Functions of a loss alone: ``anneal(0, 1, 1_000)`` goes from 0 to 1 in 1,000 steps of training, and stays."""


def lower_loss(building: Building, setting: Setting) -> Loss:
    """``loss = EXPR``: the formula over `t0`, `t1`, … and what each of them is; raises `Reported`."""
    at = child(building.model.name, setting.name)
    _check_schedules(building, setting.value, at)
    terms: dict[str, LossTerm] = {}
    formula = _replace(building, setting.value, at, terms)
    if not terms:
        building.findings.refuse(
            "DGM713",
            "the loss holds no loss term, so there is nothing to make smaller",
            at,
            label="a constant",
            help=meant("", names("loss")),
        )
    return Loss(_caller(building, terms).formula(formula, at), terms)


def _caller(building: Building, names: Iterable[str]) -> Caller:
    """What closes the formulas of a loss: schedules are functions there, the step and `names` are names."""
    caller = building.caller(frozenset((*names, STEP)))
    return replace(caller, functions={**caller.functions, **SCHEDULES})


def _replace(building: Building, part: AbstractExpr, at: Address, terms: dict[str, LossTerm]) -> AbstractExpr:
    """The expression with its loss terms named; names that are no terms are left to the evaluation of constants."""
    if isinstance(part, _ARITHMETIC):
        return rebuild(part, [_replace(building, inner, at, terms) for inner in children(part)])
    name = part.id if isinstance(part, Name) else part.name if isinstance(part, Call) else ""
    known = name in building.scope.constants or name in building.functions
    if find("loss", name) is None and (known or not name or (isinstance(part, Call) and _is_function(name))):
        return part
    if find("loss", name) is None:
        _unknown_term(building, name, at)
    term = f"t{len(terms)}"
    terms[term] = _term(building, part, child(at, term))
    return Name(id=term)


def _check_schedules(building: Building, part: AbstractExpr, at: Address) -> None:
    """Every schedule takes steps: in none, or fewer, nothing can change."""
    if isinstance(part, Call) and part.name in SCHEDULES and len(part.args) == 3:
        steps = next((arg.value for arg in part.args if arg.name == "steps"), part.args[2].value)
        with suppress(Refusal):
            found = evaluate(steps, building.scope.constants)
            if not (isinstance(found, (int, float)) and found >= 1):
                building.findings.refuse(
                    "DGM235",
                    f"`{part.name}` takes {show(found)} steps, and over fewer than one nothing changes",
                    at,
                    help=(f"write a number of steps, such as `{part.name}(0, 1, 1_000)`, or the last value alone",),
                )
    for inner in children(part):
        _check_schedules(building, inner, at)


def _is_function(name: str) -> bool:
    return name in FUNCTIONS or name in SCHEDULES


def _unknown_term(building: Building, name: str, at: Address) -> None:
    elsewhere = roles_of(name)
    notes = (f"`{name}` is a {elsewhere[0]}, not a loss",) if elsewhere else ()
    help_ = usual("loss", name) or meant(name, names("loss")) or ("`dgmspec list loss` shows them all",)
    at = callee(at)
    building.findings.refuse("DGM230", f"`{name}` is not a loss", at, label="no such loss", notes=notes, help=help_)


def _term(building: Building, part: AbstractExpr, at: Address) -> LossTerm:
    """One term: its operation, and the variable that its first argument names or that it alone can fit."""
    place = at.rpartition("/")[0]
    args = part.args if isinstance(part, Call) else ()
    cls = find("loss", part.name) if isinstance(part, Call) else None
    named = _named(building, args[0], cls) if args else None
    rest: tuple[Argument, ...] = args[1:] if named is not None else args
    call: AbstractExpr = Call(name=part.name, args=rest) if isinstance(part, Call) else part
    op = _caller(building, _names_along(building)).operation("loss", call, place)
    assert isinstance(op, AbstractLoss)
    if isinstance(op, AbstractArrowLoss) and not (isinstance(op, AbstractScoreLoss) and _arrowless(building, op)):
        return LossTerm(at, op, _bind_arrow(building, op, named, place))
    return LossTerm(at, op, _bind(building, op, named, place))


def _arrowless(building: Building, op: AbstractArrowLoss) -> bool:
    """Whether no arrow can have the term, and a variable has a score of its own."""
    own = any(v.score is not None or v.target is not None for v in building.variables.values())
    return own and not any(op.fits(step.op) for step in building.steps.values())


def _names_along(building: Building) -> frozenset[str]:
    """What a weight along a path may read: the path's α, σ and SNR, and the variables of time."""
    times = {member.over.name for member in building.model.members if isinstance(member, Path)}
    return frozenset(ALONG) | times if times else frozenset()


def _bind_arrow(building: Building, op: AbstractArrowLoss, named: str | None, at: Address) -> str | None:
    """The address of the arrow that a term is about: the named one, or the only one that it fits."""
    fitting = {step.arrow: step for step in building.steps.values() if op.fits(step.op)}
    if named is not None:
        found = [a for a in fitting if named in (building.arrows[a].source, _ends(building, a))]
        if len(found) == 1:
            return found[0]
    elif len(fitting) == 1:
        return next(iter(fitting))
    elif not fitting:
        return None
    listed = [_ends(building, address) for address in fitting]
    message = f"`{op.name}` fits {len(fitting)} arrows, and the text does not say which is meant"
    if named is not None:
        message = f"`{op.name}` has no arrow `{named}` to be about"
    help_ = (f"name it: `{op.name}({listed[0]})`",) if listed else (op.needs(),)
    building.findings.refuse("DGM705", message, at, label="ambiguous" if named is None else "no such arrow", help=help_)


def _ends(building: Building, address: Address) -> str:
    arrow = building.arrows[address]
    return f"{arrow.source} -> {arrow.target}"


def _named(building: Building, arg: Argument, cls: type[AbstractOp] | None) -> str | None:
    """The variable or the arrow that a first argument names; None where it says something else, as may be where the
    term is about an arrow."""
    about_arrow = cls is not None and issubclass(cls, AbstractArrowLoss)
    if about_arrow and isinstance(arg.value, Name) and arg.value.id not in building.variables:
        return None
    if arg.name is None and isinstance(arg.value, ArrowExpr):
        ends = (arg.value.source, arg.value.target)
        return " -> ".join(end.id if isinstance(end, Name) else "?" for end in ends)
    if arg.name is not None or not isinstance(arg.value, Name):
        return None
    name = arg.value.id
    return name if name in building.variables or name not in building.scope.constants else None


def _joined(building: Building) -> nx.Graph:
    """The variables, and an edge for each arrow."""
    joined: nx.Graph = nx.Graph()
    joined.add_nodes_from(building.variables)
    joined.add_edges_from((arrow.source, arrow.target) for arrow in building.arrows.values())
    return joined


def _one_density(building: Building, names: list[str]) -> bool:
    """Whether arrows and joint states join all of these variables, so that they have one density together."""
    joined = _joined(building)
    joined.add_edges_from((part, v.name) for v in building.variables.values() for part in v.parts)
    return any(v.parts for v in building.variables.values()) and all(
        nx.has_path(joined, names[0], other) for other in names[1:]
    )


def _inferred(building: Building, variable: VariableNode) -> bool:
    """Whether a variable has an `infer`, or arrows join it to one that has."""
    near = nx.node_connected_component(_joined(building), variable.name)
    return any(building.variables[name].posterior is not None for name in near)


def _bind(building: Building, op: AbstractLoss, named: str | None, at: Address) -> str | None:
    """The observed variable that a term is about; None where the model has none that fits."""
    observed = [v for v in building.variables.values() if v.role == "observe"]
    if named is not None:
        if named not in [v.name for v in observed]:
            known = building.variables.get(named)
            message = f"`{named}` is {known.role}, and" if known else f"the model has no variable `{named}`;"
            building.findings.refuse(
                "DGM706",
                f"{message} `{op.name}` is about an observed variable",
                at,
                help=meant(named, [v.name for v in observed]),
            )
        return named
    with_target = [v for v in observed if v.target is not None]
    if isinstance(op, AbstractScoreLoss):
        observed = [v for v in observed if v.score is not None or v.target is not None] or observed
    if isinstance(op, (AbstractBound, AbstractCommitment)):
        return None
    if isinstance(op, AbstractPosteriorLoss):
        observed = [v for v in observed if _inferred(building, v)] or observed
    compares = isinstance(op, AbstractDensityLoss) and op.against_target
    fitting = [v.name for v in (with_target if compares and with_target else observed)]
    if len(fitting) > 1 and not _one_density(building, fitting):
        listed = " and ".join(f"`{name}`" for name in fitting)
        laws = [building.variables[name].prior for name in fitting]
        shared = all(law is not None and law.inputs for law in laws)
        joint = ("or write `elbo`, if they share a latent variable: terms that are added take each by itself",)
        building.findings.refuse(
            "DGM705",
            f"`{op.name}` fits {listed}, and the text does not say which is meant",
            at,
            label="ambiguous",
            help=(f"name it: `{op.name}({fitting[0]})`; for all of them add the terms", *(joint if shared else ())),
        )
    return fitting[0] if fitting else None
