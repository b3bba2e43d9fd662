"""What arrows and laws read: variables, named nets applied to them, and formulas of both, as values of the graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from dgmspec.algebra.nodes import AbstractExpr, Call, Name, Vector, children
from dgmspec.algebra.rewrite import free_names, inline, rebuild
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Label
from dgmspec.core.nets import AbstractNet
from dgmspec.core.types import UNKNOWN, MaybeType, Type
from dgmspec.graph.building import Building
from dgmspec.graph.graph import FormulaNode, NetNode, Value, ValueId
from dgmspec.graph.variables import lower_type
from dgmspec.ops.continuous import Seen
from dgmspec.ops.nets import context_shape
from dgmspec.spec.model import Net

__all__ = ["Readable", "lower_context", "net_operation", "visible"]


@dataclass
class Readable:
    """One reader: the context of an arrow, or the law of a variable.

    `allowed` are the variables that it may read, None for all; `code` and `hint` say what is wrong with another.
    `values` collects what it reads, by the names that its formulas use.
    """

    building: Building
    allowed: frozenset[str] | None = None
    code: str = "DGM712"
    what: str = "what is read here"
    hint: str = "declare `given {}`"
    values: dict[str, ValueId] = field(default_factory=dict)

    # ---- contexts ---------------------------------------------------------------------------------------------------

    def joined(self, context: tuple[AbstractExpr, ...], at: Address) -> ValueId | None:
        """The value of an arrow's context; several items are joined end to end."""
        if not context:
            return None
        place = child(at, "context")
        if len(context) == 1:
            return self.item(context[0], child(place, 0), place)
        return self._formula(Vector(items=context), place, place)

    def items(self, context: tuple[AbstractExpr, ...], at: Address) -> tuple[ValueId, ...]:
        """The values of the items of a context, one by one."""
        place = child(at, "context")
        return tuple(self.item(item, child(place, i), child(place, i)) for i, item in enumerate(context))

    def item(self, written: AbstractExpr, place: Address, node: Address, flat: bool = True) -> ValueId:
        """A variable, a net's value, or a formula, which stands in the graph at `node`, `flat` as contexts are."""
        if isinstance(written, Name) and written.id in self.building.variables:
            return self.variable(written.id, place)
        if isinstance(written, Call) and written.name in self.building.named_nets:
            return self.net(written, place)
        return self._formula(written, place, node, flat)

    def variable(self, name: str, place: Address) -> ValueId:
        """The value of a variable that may be read here."""
        known = self.building.variables[name]
        if self.allowed is not None and name not in self.allowed:
            self.building.findings.refuse(
                self.code,
                f"{self.what} reads `{name}`, which is {'not given' if self.code == 'DGM712' else 'not after the bar'}",
                place,
                label=f"reads `{name}`",
                labels=(Label(known.address, f"`{name}` is declared here"),),
                help=(self.hint.replace("{}", name),),
            )
        return known.value

    def _formula(self, written: AbstractExpr, place: Address, node: Address, flat: bool = True) -> ValueId:
        """A formula over variables, learned parameters and nets as a value of the graph; nets share equal ones."""
        building, own = self.building, Readable(self.building, self.allowed, self.code, self.what, self.hint)
        formula = own.formula(written, place)
        names = [n for n in free_names(formula) if n in building.variables or n in own.values]
        inputs = tuple(own.values[n] if n in own.values else own.variable(n, place) for n in names)
        made = FormulaNode(node, formula, inputs, f"{node}:out", tuple(names), flat)
        for known in building.formulas.values() if not flat else ():
            if replace(known, address=node, target=made.target) == made:
                return known.target
        if node in building.formulas:  # several in one argument of a law
            key = f"{node}@{len(building.formulas)}"
            made = replace(made, address=key, target=f"{key}:out")
        building.values[made.target] = Value(made.target)
        building.formulas[made.address] = made
        return made.target

    # ---- formulas ---------------------------------------------------------------------------------------------------

    def formula(self, written: AbstractExpr, place: Address) -> AbstractExpr:
        """A closed formula in which every use of a typed net is a name, whose value is in `values`; nets inside the
        functions that it calls are used there too."""
        with self.building.findings.refusals_at(place):
            plain = self.hoisted(inline(written, self.building.functions), place)
        return self.building.caller(self.open_names()).formula(plain, place)

    def open_names(self) -> frozenset[str]:
        """The names that a formula may keep."""
        return self.building.names_in_formulas() | frozenset(self.values)

    def hoisted(self, written: AbstractExpr, place: Address) -> AbstractExpr:
        """The expression with the value of each typed net that it applies under a name of its own."""
        if isinstance(written, Call) and written.name in self.building.named_nets:
            value = self.net(written, place)
            return Name(id=self._name(written.name, value))
        parts = [self.hoisted(part, place) for part in children(written)]
        return rebuild(written, parts) if parts else written

    def _name(self, net: str, value: ValueId) -> str:
        known = next((name for name, of in self.values.items() if of == value), None)
        if known is not None:
            return known
        name, taken = f"{net}_value", self.open_names()
        while name in taken:
            name += "_"
        self.values[name] = value
        return name

    # ---- nets -------------------------------------------------------------------------------------------------------

    def net(self, call: Call, place: Address) -> ValueId:
        """``h(c)``: the value of one use of a named net with a type; equal uses share one value."""
        at, net = self.building.named_nets[call.name]
        return self._net_value(at, net, self.arguments(call, place))

    def arguments(self, call: Call, place: Address) -> tuple[ValueId, ...]:
        """The values that a use of a named net reads."""
        building, (_, net) = self.building, self.building.named_nets[call.name]
        if len(call.args) != len(net.args) or any(arg.name for arg in call.args):
            building.findings.refuse(
                "DGM211",
                f"`{net.name}` takes {len(net.args)} argument{'s' * (len(net.args) > 1)} by position, "
                f"got {len(call.args)}",
                place,
                help=(f"write `{net.name}({', '.join(net.args)})`",),
            )
        return tuple(self.item(arg.value, place, child(place, i), flat=False) for i, arg in enumerate(call.args))

    def _net_value(self, at: Address, net: Net, inputs: tuple[ValueId, ...]) -> ValueId:
        building = self.building
        uses = [node for node in building.nets.values() if node.address == at]
        for node in uses:
            if node.inputs == inputs:
                return node.target
        key = f"{at}@{len(uses)}" if uses else at
        target = f"{key}:out"
        building.nets[key] = NetNode(at, net.name, net_operation(building, at, net), inputs, target)
        known = {name: building.values[value].type for name, value in zip(net.args, inputs, strict=True)}
        building.values[target] = Value(target, _net_type(building, at, net, known))
        return target


def lower_context(building: Building, items: tuple[AbstractExpr, ...], at: Address) -> ValueId | None:
    """The value of an arrow's context, which may be made of any variables; several items are joined end to end."""
    return Readable(building).joined(items, at)


def visible(building: Building, context: tuple[AbstractExpr, ...]) -> tuple[Seen, ...]:
    """The variables that formulas of an arrow may name: those of a context made of variables alone."""
    names = [part.id for part in context if isinstance(part, Name)]
    found, start = [], 0
    for name in names if len(names) == len(context) else ():
        type_ = building.variables[name].declared if name in building.variables else None  # else it has been reported
        if not isinstance(type_, Type):
            break
        found.append(Seen(name, type_, start if len(names) > 1 else None))
        start += math.prod(context_shape(type_) or ())
    return tuple(found)


def net_operation(building: Building, at: Address, net: Net) -> AbstractNet | Literal["external"]:
    """What computes the net: an operation of the library, or a module supplied from Python."""
    if isinstance(net.value, Name) and net.value.id == "external":
        return "external"
    op = building.caller().operation("net", net.value, child(at, "value"))
    assert isinstance(op, AbstractNet)
    return op


def _net_type(building: Building, at: Address, net: Net, known: Mapping[str, MaybeType]) -> MaybeType:
    """The declared type of a net's value, which a formula or a context needs; `known` are its arguments' types."""
    if net.type is None:
        building.findings.refuse(
            "DGM305",
            f"nothing fixes the size of `{net.name}`'s value",
            at,
            label="no type",
            help=(f"state it: `net {net.name}({', '.join(net.args)}) : real[16] = …`",),
        )
    type_ = lower_type(building, net.type, at, known).type
    if type_ is UNKNOWN:
        building.findings.refuse(
            "DGM305",
            f"nothing fixes the shape of `{net.name}`'s value",
            child(at, "type"),
            label="open",
            help=("write its dimensions",),
        )
    return type_
