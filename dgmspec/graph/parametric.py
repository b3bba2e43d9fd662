"""Laws lowered: ``latent z ~ D``, ``generate x | z ~ D``, ``infer z | x ~ D``; parameters are numbers, formulas, nets.

One net that stands alone as a distribution's first argument is the trunk of all its parameters; a net written for one
parameter gives that one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dgmspec.algebra.nodes import AbstractExpr, Argument, Call, Name
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.address import Address, child
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.nets import AbstractNet
from dgmspec.core.op import AbstractOp
from dgmspec.core.types import Type
from dgmspec.graph.applied import AppliedNet
from dgmspec.graph.arguments import Caller
from dgmspec.graph.building import Building, formulas_in
from dgmspec.graph.contexts import Readable, net_operation
from dgmspec.graph.findings import Findings, Reported
from dgmspec.graph.graph import Prior, Trunk, ValueId, VariableNode
from dgmspec.graph.laws import unproved_scales
from dgmspec.ops import find
from dgmspec.ops.data import NamedData
from dgmspec.ops.distributions import AbstractParametric

__all__ = ["lower_law"]


def lower_law(
    building: Building,
    node: VariableNode,
    written: AbstractExpr,
    at: Address,
    reading: Readable,
    context: tuple[ValueId, ...] = (),
) -> Prior:
    """The law written at `at`: its distribution, the nets among its parameters, what they and its formulas read.

    `reading` says what formulas may read, `context` what nets written in place read.
    """
    plain = _hoisted(building, reading, written, at)
    caller = _caller(building, reading, at)
    op = caller.operation("distribution", plain, at)
    assert isinstance(op, AbstractDistribution)
    trunks = tuple(_trunks(building, op, plain, at, context))
    _require_positive(building, reading, op, plain, at)
    names = dict.fromkeys(n for f in formulas_in(op) for n in free_names(f))
    read = [reading.variable(n, _place_of(op, plain, at, n)) for n in names if n in building.variables]
    named = tuple((n, reading.values[n]) for n in names if n in reading.values)
    own = context if op.conditioned else ()
    if len(own) > 1:
        building.findings.refuse(
            "DGM478",
            f"the net of `{op.name}` reads one value after the bar, and here stand {len(own)}",
            at,
            help=("join them: `| [a, b]`",),
        )
    inputs = dict.fromkeys((*read, *own, *(v for _, v in named), *(v for trunk in trunks for v in trunk.inputs)))
    return Prior(at, node.name, op, tuple(inputs), context, named, trunks)


def _place_of(op: AbstractDistribution, written: AbstractExpr, at: Address, name: str) -> Address:
    """Where the first argument stands that reads `name`."""
    for i, arg in enumerate(written.args if isinstance(written, Call) else ()):
        if name in free_names(arg.value):
            return child(at, arg.name if arg.name is not None else i)
    return at


def _hoisted(building: Building, reading: Readable, written: AbstractExpr, at: Address) -> AbstractExpr:
    """A law whose formulas apply no net: typed ones stand under names; whole arguments that are nets stay."""
    if not isinstance(written, Call):
        return written
    found = []
    for i, arg in enumerate(written.args):
        value: AbstractExpr = arg.value
        place = child(at, arg.name if arg.name is not None else i)
        if isinstance(value, Call) and find("distribution", value.name) is not None:
            value = _hoisted(building, reading, value, place)
        elif not (isinstance(value, Call) and _untyped(building, value.name)):
            value = reading.hoisted(value, place)
        found.append(Argument(name=arg.name, value=value))
    return Call(name=written.name, args=tuple(found))


def _untyped(building: Building, name: str) -> bool:
    return name in building.named_nets and building.named_nets[name][1].type is None


def _caller(building: Building, reading: Readable, at: Address) -> Caller:
    """Makes distributions of this model, in which an untyped net of the file may be a parameter, and its data the rows
    of a law."""

    def net(caller: Caller, role: str, expression: AbstractExpr, place: Address) -> AbstractOp:
        call = Call(name=expression.id) if isinstance(expression, Name) else expression
        assert isinstance(call, Call)
        address, node = building.named_nets[call.name]
        inputs = reading.arguments(call, place)
        label = f"{node.name}({', '.join(node.args)})"
        return AppliedNet(
            name=node.name, of=net_operation(building, address, node), address=address, inputs=inputs, label=label
        )

    def data(caller: Caller, role: str, expression: AbstractExpr, place: Address) -> AbstractOp:
        assert isinstance(expression, Name)
        declared = building.scope.data[expression.id]
        plain = Caller(Findings(), building.scope.constants, building.scope.functions)  # its mistakes are said there
        of = plain.operation("data", declared.value, child(expression.id, "value"))
        return NamedData(of=of, label=expression.id)

    named = {("net", name): net for name in building.named_nets if _untyped(building, name)}
    named |= {("data", name): data for name in building.scope.data}
    return replace(building.caller(reading.open_names()), own={}, named=named)


# ---- nets -----------------------------------------------------------------------------------------------------------


def _trunks(
    building: Building,
    op: AbstractDistribution,
    written: AbstractExpr,
    at: Address,
    context: tuple[ValueId, ...],
    prefix: str = "",
) -> Iterator[Trunk]:
    """The nets among the parameters of a distribution, and of those that it holds."""
    if not isinstance(op, AbstractParametric):
        return
    args = written.args if isinstance(written, Call) else ()
    nets = {name: value for name, value in op.parameters().items() if isinstance(value, AbstractNet)}
    alone = len(nets) == 1 and bool(args) and args[0].name is None and _rest_is_fixed(op, args[1:])
    for name, net in nets.items():
        heads = op.heads() if alone and "/" not in name else (name,)
        own = child(at, f"{prefix}net" if alone else f"{prefix}{name}")
        yield _trunk(building, net, own, at, context, tuple(f"{prefix}{head}" for head in heads))


def _rest_is_fixed(op: AbstractParametric, args: tuple[Argument, ...]) -> bool:
    """Whether the arguments after the first are no parameters that a net could give."""
    return all(arg.name is not None and arg.name not in op.heads() for arg in args)


def _trunk(
    building: Building,
    net: AbstractNet,
    own: Address,
    at: Address,
    context: tuple[ValueId, ...],
    parameters: tuple[str, ...],
) -> Trunk:
    if isinstance(net, AppliedNet):
        return Trunk(net.address, net.of, net.inputs, parameters)
    if not context:
        building.findings.refuse(
            "DGM726",
            "a net written in place reads what stands after the bar, and here stands nothing",
            at,
            label="nothing to read",
            help=(
                "write numbers, or `learn` the parameters",
                f"or let the law depend on something: `generate z | {_given(building)} ~ …`",
            ),
        )
    return Trunk(own, net, context, parameters)


def _given(building: Building) -> str:
    """The variables that are given; an example where none is."""
    return ", ".join(v.name for v in building.variables.values() if v.role == "given") or "c"


# ---- scales and rates -----------------------------------------------------------------------------------------------


def _require_positive(
    building: Building, reading: Readable, op: AbstractDistribution, law: AbstractExpr, at: Address
) -> None:
    """Every scale and rate that is a formula proved positive, whatever the values that it reads."""
    read = {n.name: n.support for n in building.variables.values() if n.support is not None}
    read |= {n.name: n.type.support for n in building.learned.values() if isinstance(n.type, Type)}
    read |= {name: t.support for name, v in reading.values.items() if isinstance(t := building.values[v].type, Type)}
    if not all(name in read for formula in formulas_in(op) for name in free_names(formula)):
        return
    found = list(unproved_scales(op, law, at, read, _declared(building)))
    for diagnostic in found:
        building.findings.add(diagnostic)
    if found:
        raise Reported


def _declared(building: Building) -> Mapping[str, str]:
    """How each name that a formula may read is declared: ``learn a``."""
    declared = {n.name: f"{n.role} {n.name}" for n in building.variables.values()}
    return declared | {name: f"learn {name}" for name in building.learned}
