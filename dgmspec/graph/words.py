"""Operations and arguments in words: for messages, and for the labels of steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, get_args

from dgmspec.algebra.evaluate import show
from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.op import AbstractOp
from dgmspec.graph.applied import AppliedNet
from dgmspec.graph.graph import Graph, Prior
from dgmspec.graph.standardizing import variable_at
from dgmspec.ops import signature
from dgmspec.ops.authored import AuthoredScalar, AuthoredStep
from dgmspec.ops.continuous import Ode
from dgmspec.ops.data import NamedData
from dgmspec.ops.transitions import Potential
from dgmspec.spec.unresolve import formula_text

TITLES: Final = {
    "step": "step",
    "scalar": "scalar bijector",
    "net": "network",
    "mask": "mask",
    "order": "order",
    "loss": "loss",
    "distribution": "distribution",
    "data": "data source",
    "bits": "way to make bits",
}
_ARTICLE: Final = {"order": "an order", "optimizer": "an optimizer", "embedding": "an embedding"}


def a(role: str) -> str:
    """A role in words, with its article."""
    return _ARTICLE.get(role) or f"a {TITLES.get(role, role.replace('_', ' '))}"


def describe(op: AbstractOp, nets: bool = True) -> str:
    """An operation as the language writes it, without what equals its default; `nets = False` leaves nets out.

    Masks and orders show their numbers always, ``alternate(0)``: that is what tells one turn of a repeat from another.
    """
    if isinstance(op, (AuthoredScalar, AuthoredStep, AppliedNet, NamedData)):
        return op.label
    if isinstance(op, Ode):
        return f"ode({describe(op.solver)})"
    parts = []
    parameters = signature(type(op))
    shown = op.role in ("mask", "order")
    skipped = False
    for parameter in parameters:
        value = getattr(op, parameter.attribute)
        default = value == parameter.default and not parameter.required and not shown
        if default or (not nets and "net" in parameter.roles):
            skipped = nets
            continue
        if parameter.variadic:
            parts += [describe_value(item) for item in value]
        elif not skipped and (parameter.roles or isinstance(value, (str, Potential)) or len(parameters) == 1):
            parts.append(describe_value(value))
        else:
            parts.append(f"{parameter.name} = {describe_value(value)}")
    if op.name == "inverse":
        return f"inverse {parts[0]}"
    return f"{op.name}({', '.join(parts)})" if parts else op.name


def law_label(graph: Graph, law: Prior) -> str:
    """``x | z ~ bernoulli(mlp(400))``."""
    names = [variable_at(graph, value) for value in law.context]
    bar = f" | {', '.join(n for n in names if n)}" if any(names) else ""
    return f"{law.variable}{bar} ~ {describe(law.op)}"


def describe_value(value: Any) -> str:
    """A field's value as the language writes it."""
    if isinstance(value, AbstractOp):
        return describe(value)
    if isinstance(value, Potential):
        return value.label
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return f"[{', '.join(map(describe_value, value))}]"
    return show(value) if isinstance(value, (int, float)) else "…"


def describe_formula(formula: AbstractExpr) -> str:
    """A formula as the language writes it."""
    return formula_text(formula)


def wanted(plain: list[Any], choices: list[str], roles: list[str]) -> str:
    """What an argument takes, in words."""
    words = {int: "a whole number", float: "a number", bool: "`true` or `false`", str: "a string"}
    said = [words.get(m) or f"a list of {_plural(m)}" for m in plain if not (m is int and float in plain)]
    said += [f"`{choice}`" for choice in choices]
    return " or ".join(dict.fromkeys([*said, *map(a, roles)]))


def _plural(member: Any) -> str:
    inner = get_args(member)[0]
    return {int: "whole numbers", float: "numbers", str: "strings"}.get(inner, "values")


_BOUNDS: Final = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def said(findings: Iterable[Any]) -> list[Any]:
    """One finding an argument: of a number or a formula, that of the number, where a formula would not help."""
    kept: dict[Any, Any] = {}
    for found in findings:
        name = found["loc"][:1]
        if name not in kept or (kept[name]["type"] not in _BOUNDS and found["type"] in _BOUNDS):
            kept[name] = found
    return list(kept.values())


def complaint(found: Any) -> str:
    """A validation finding as the end of a sentence that begins with the argument's name."""
    kind, context = found["type"], found.get("ctx", {})
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"must be {words} {show(context[key])}"
    if kind == "too_short":
        return f"needs at least {context['min_length']} value{'s' * (context['min_length'] > 1)}"
    if kind == "too_long":
        return f"takes at most {context['max_length']} value{'s' * (context['max_length'] > 1)}"
    if kind == "finite_number":
        return "must be finite"
    message = str(found["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return f"does not fit: {message[:1].lower()}{message[1:]}"


def advice(found: Any) -> str:
    """What to write in place of a value that pydantic refuses."""
    kind, context = found["type"], found.get("ctx", {})
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"write a number {words} {show(context[key])}"
    return "write a value that fits"


def shown(value: Any) -> str:
    """A refused value as the text has it, where it has one."""
    return describe_value(value) if isinstance(value, (AbstractOp, tuple, str, int, float)) else "not one"
