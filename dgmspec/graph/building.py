"""What the parts of lowering share: the model's scope, and the pieces of its graph made so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.rewrite import Lambda
from dgmspec.core.address import Address, child
from dgmspec.core.op import AbstractOp
from dgmspec.graph.arguments import Caller
from dgmspec.graph.findings import Findings
from dgmspec.graph.graph import (
    ArrowNode,
    FormulaNode,
    LearnedNode,
    Loss,
    NetNode,
    StepNode,
    Value,
    VariableNode,
)
from dgmspec.graph.scope import FileScope
from dgmspec.spec.model import Member, Model, Net, member_name


@dataclass
class Building:
    """One model on its way to a graph. `complete` turns False when a part has to be left out."""

    model: Model
    scope: FileScope
    findings: Findings
    complete: bool = True
    functions: dict[str, Lambda] = field(default_factory=dict)
    named_nets: dict[str, tuple[Address, Net]] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    variables: dict[str, VariableNode] = field(default_factory=dict)
    learned: dict[str, LearnedNode] = field(default_factory=dict)
    steps: dict[Address, StepNode] = field(default_factory=dict)
    nets: dict[Address, NetNode] = field(default_factory=dict)
    formulas: dict[Address, FormulaNode] = field(default_factory=dict)
    arrows: dict[Address, ArrowNode] = field(default_factory=dict)
    loss: Loss | None = None

    places: dict[str, Address] = field(default_factory=dict)
    """Where members stand that are one of several, by their names."""

    def at(self, member: Member) -> Address:
        """The address of a member."""
        name = member_name(member)
        return self.places.get(name) or child(self.model.name, name)

    def caller(self, open_names: frozenset[str] = frozenset()) -> Caller:
        """Makes operations in this model's scope; named nets are refused where one is made for its place."""
        shared = "`{0}` is a net with a name, which formulas apply, as in `{0}(c)`; here one is made anew for its place"
        own = {("net", name): shared.format(name) for name in self.named_nets}
        return Caller(self.findings, self.scope.constants, self.functions, open_names, own)

    def names_in_formulas(self) -> frozenset[str]:
        """What a formula of the model may read: its variables and its learned parameters."""
        return frozenset(self.variables) | frozenset(self.learned)


def formulas_in(op: AbstractOp) -> Iterator[AbstractExpr]:
    """The formulas among an operation's fields, those of the operations it holds included."""
    yield from (formula for _, formula in parameter_formulas(op))


def parameter_formulas(op: AbstractOp, prefix: str = "") -> Iterator[tuple[str, AbstractExpr]]:
    """The fields of a distribution that are formulas, by path: ``loc``, and ``components/0/loc`` inside others."""
    for field_ in type(op).model_fields:
        yield from _formulas(getattr(op, field_), f"{prefix}{field_}")


def _formulas(value: object, path: str) -> Iterator[tuple[str, AbstractExpr]]:
    if isinstance(value, AbstractExpr):
        yield path, value
    elif isinstance(value, AbstractOp):
        yield from parameter_formulas(value, f"{path}/")
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _formulas(item, f"{path}/{index}")


def flat(value: Any) -> list[Any]:
    """The numbers of a (nested) tuple in order."""
    return [number for item in value for number in flat(item)] if isinstance(value, tuple) else [value]
