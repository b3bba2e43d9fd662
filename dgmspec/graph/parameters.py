"""Every parameter of a typed graph by its full address: what the state dict holds and what `check` counts."""

from __future__ import annotations

from dgmspec.core.address import Address, child
from dgmspec.core.op import NetUse, ParamSpec
from dgmspec.core.types import Type
from dgmspec.graph.graph import Graph, NetNode, StepNode
from dgmspec.ops.nets import context_shape


def step_types(graph: Graph, step: StepNode) -> tuple[Type, Type | None]:
    """The event type before `step` as its operation is written, and the type of its context."""
    event = graph.type_of(step.target if step.inverse else step.source)
    given = None if step.context is None else graph.type_of(step.context)
    assert isinstance(event, Type) and (given is None or isinstance(given, Type)), f"{step.address} has no types"
    return event, given


def net_use(inputs: tuple[Type, ...], output: Type) -> NetUse:
    """What a named net reads and gives: its arguments' shapes, as `context_shape` has them, and its value's."""
    return NetUse(tuple(shape for t in inputs if (shape := context_shape(t)) is not None), output.shape)


def net_types(graph: Graph, node: NetNode) -> tuple[tuple[Type, ...], Type]:
    """The types of a named net's arguments and of its result."""
    inputs, output = tuple(graph.type_of(v) for v in node.inputs), graph.type_of(node.target)
    assert isinstance(output, Type), f"{node.address} has no type"
    return tuple(t for t in inputs if isinstance(t, Type)), output


def parameters(graph: Graph) -> dict[Address, ParamSpec]:
    """The parameters of a typed graph's steps and nets, in the graph's order; a shared net's stand once.

    Model-level ``learn``ed parameters are not operations' and stand in ``graph.learned``, whichever operations read
    them; nets supplied from Python bring their own.
    """
    found: dict[Address, ParamSpec] = {}
    learned = {node.address for node in graph.learned.values()}
    for step in graph.steps.values():
        specs = {spec.key(step.address): spec for spec in step.op.parameters(*step_types(graph, step))}
        found |= {key: spec for key, spec in specs.items() if key not in learned}
    for node in graph.nets.values():
        if node.op != "external":
            own = node.op.net_parameters(net_use(*net_types(graph, node)))
            found |= {child(node.address, spec.name): spec for spec in own}
    return found
