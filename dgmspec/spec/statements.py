"""Documents of the members of a model: its variables, arrows and conditional laws, and their names in addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from dgmspec.algebra.nodes import AbstractExpr, Formula, Identifier, Index, Name, Node, Number, Sum
from dgmspec.spec.definitions import (
    Definition,
    Domain,
    Fn,
    Kernel,
    Learn,
    LearnFunction,
    Names,
    Net,
    Setting,
    Step,
    TypeExpr,
)

__all__ = [
    "Conditional",
    "Energy",
    "Flow",
    "For",
    "Member",
    "Over",
    "Path",
    "Variable",
    "arrow_name",
    "conditional_name",
    "member_name",
]


class For(Node):
    """``for k in 1..T`` after an indexed variable."""

    index: Identifier
    domain: Domain


class Variable(Node):
    """``observe x : T ~ D``, ``latent z : T ~ D``, ``given c : T``; ``index`` for ``latent z[k] : T for k in 1..T``."""

    kind: Literal["variable"] = "variable"
    role: Literal["observe", "latent", "given"]
    name: Identifier
    index: Identifier | None = None
    type: TypeExpr
    prior: Formula | None = None
    repeat: For | None = None


class Flow(Node):
    """``flow a -> b | c { steps }``. An end is one name, or several for a joint state (``flow [a, b] -> z``)."""

    kind: Literal["flow"] = "flow"
    source: Names
    target: Names
    context: tuple[Formula, ...] = ()
    steps: tuple[Step, ...]


class Over(Node):
    """``over t in t0..t1``, ``over σ in geometric(…)``."""

    name: Identifier
    domain: Domain


class Path(Node):
    """``ode``, ``sde``, ``markov`` and ``perturb`` arrows: dynamics over a time or level variable."""

    kind: Literal["path"] = "path"
    head: Literal["ode", "sde", "markov", "perturb"]
    source: Names
    target: tuple[Identifier, ...] = ()
    context: tuple[Formula, ...] = ()
    over: Over
    body: tuple[
        Annotated[Setting | Definition | Kernel | Learn | LearnFunction | Net | Fn, Field(discriminator="kind")], ...
    ]


class Conditional(Node):
    """``generate x | z, c ~ D`` and ``infer z | x ~ D`` (or ``infer z ~ D``); `target` is a name, or ``z[k]``."""

    kind: Literal["conditional"] = "conditional"
    head: Literal["generate", "infer"]
    target: Annotated[Name | Index, Field(discriminator="kind")]
    context: tuple[Formula, ...] = ()
    law: Formula
    repeat: For | None = None


class Energy(Node):
    """``energy E(x) = EXPR``: an unnormalised negative log-density."""

    kind: Literal["energy"] = "energy"
    name: Identifier
    args: Names
    value: Formula


Member = Annotated[
    Variable | Flow | Path | Conditional | Energy | Net | Learn | LearnFunction | Fn | Setting,
    Field(discriminator="kind"),
]


def arrow_name(head: str, source: Sequence[str], target: Sequence[str]) -> str:
    """An arrow's part of an address: ``x->z``, ``[x,v]->z``; ``perturb x`` by its start alone."""
    start, end = (names[0] if len(names) == 1 else f"[{','.join(names)}]" for names in (source, target))
    return f"perturb {start}" if head == "perturb" else f"{start}->{end}"


def conditional_name(head: str, target: Name | Index) -> str:
    """A conditional law's part of an address: ``generate x``, ``infer z``, ``generate z(k+1)``."""
    of = target.of if isinstance(target, Index) else target
    index = f"({_index_name(target.index)})" if isinstance(target, Index) else ""
    return f"{head} {of.id if isinstance(of, Name) else '_'}{index}"


def _index_name(index: AbstractExpr) -> str:
    """An index in an address, which tells sums of names and numbers apart."""
    match index:
        case Name():
            return index.id
        case Number():
            return f"{index.value}"
        case Sum():
            return "".join(f"{t.sign}{_index_name(t.of)}" for t in index.terms).removeprefix("+")
    return "_"


def member_name(member: Member) -> str:
    """A member's part of its address below the model: its name, or what it joins."""
    match member:
        case Flow():
            return arrow_name("flow", member.source, member.target)
        case Path():
            return arrow_name(member.head, member.source, member.target)
        case Conditional():
            return conditional_name(member.head, member.target)
    return member.name
