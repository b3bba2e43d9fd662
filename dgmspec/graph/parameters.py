"""Every parameter of a typed graph by its full address: what the state dict holds and what `check` counts."""

from __future__ import annotations

import math
from collections.abc import Iterator

from dgmspec.core.address import Address, child
from dgmspec.core.losses import AbstractArrowLoss, AbstractScoreLoss
from dgmspec.core.nets import NetUse
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.types import REAL, MaybeType, Type
from dgmspec.graph.graph import Graph, LossTerm, NetNode, Prior, StepNode, Trunk, ValueId
from dgmspec.ops.distributions import AbstractParametric
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


def read_type(graph: Graph, value: ValueId) -> MaybeType:
    """The type of a value as nets read it."""
    found = graph.type_of(value)
    return as_read(graph, value, found) if isinstance(found, Type) else found


def as_read(graph: Graph, value: ValueId, type_: Type) -> Type:
    """The same of a value of this type: what stands for a label, where its posterior says so."""
    law = relaxed(graph, value)
    return type_ if law is None else Type(REAL, law.op.features(type_))


def relaxed(graph: Graph, value: ValueId) -> Prior | None:
    """The posterior of a variable of which nets read something else than its value."""
    variable = graph.variables.get(graph.values[value].variable or "")
    law = variable.posterior if variable is not None else None
    return law if law is not None and law.op.relaxes else None


def net_types(graph: Graph, node: NetNode) -> tuple[tuple[Type, ...], Type]:
    """The types of a named net's arguments and of its result."""
    inputs, output = tuple(read_type(graph, v) for v in node.inputs), graph.type_of(node.target)
    assert isinstance(output, Type), f"{node.address} has no type"
    return tuple(t for t in inputs if isinstance(t, Type)), output


def trunk_result(law: Prior, trunk: Trunk, event: Type) -> Type:
    """What the net of a law gives: the numbers of its heads end to end, or as more channels where it gives images."""
    assert isinstance(law.op, AbstractParametric)
    count = sum(math.prod(law.op.shape_of(name, event)) for name in trunk.parameters)
    image = trunk.op != "external" and trunk.op.reads == "image" and len(event.shape) in (2, 3)
    if image and count % event.size == 0:
        channels, height, width = (1, *event.shape)[-3:]
        return Type(REAL, (count // event.size * channels, height, width))
    return Type(REAL, (count,))


def trunk_types(graph: Graph, law: Prior, trunk: Trunk) -> tuple[tuple[Type, ...], Type]:
    """The types of what the net of a law reads, and of what it gives."""
    inputs = tuple(read_type(graph, value) for value in trunk.inputs)
    event = graph.type_of(graph.variables[law.variable].value)
    assert isinstance(event, Type), f"{law.address} has no type"
    return tuple(t for t in inputs if isinstance(t, Type)), trunk_result(law, trunk, event)


def own_given(graph: Graph, law: Prior) -> Type | None:
    """The type of what a law's own net reads beside its event: of the value after the bar, if there is one."""
    if not law.op.conditioned or not law.context:
        return None
    found = read_type(graph, law.context[0])
    assert isinstance(found, Type), f"{law.address} has no types"
    return found


def own_parameters(graph: Graph, law: Prior) -> tuple[ParamSpec, ...]:
    """The parameters that a law owns itself."""
    event = graph.type_of(graph.variables[law.variable].value)
    return law.op.own_parameters(event, own_given(graph, law)) if isinstance(event, Type) else ()


def _kept(graph: Graph, term: LossTerm) -> tuple[ParamSpec, ...]:
    """What a loss term about a variable keeps from step to step."""
    variable = graph.variables.get(term.binds or "")
    event = None if variable is None else graph.type_of(variable.value)
    return term.op.kept(event) if isinstance(term.op, AbstractScoreLoss) and isinstance(event, Type) else ()


def parameters(graph: Graph) -> dict[Address, ParamSpec]:
    """The parameters of a typed graph's steps, nets and laws, in the graph's order; a shared net's stand once.

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
    for lost in graph.loss.terms.values() if graph.loss else ():
        found |= {child(lost.address, spec.name): spec for spec in _kept(graph, lost)}
    for law in graph.laws:
        found |= {child(law.address, spec.name): spec for spec in own_parameters(graph, law)}
        for trunk in law.trunks:
            if trunk.op != "external":
                own = trunk.op.net_parameters(net_use(*trunk_types(graph, law, trunk)))
                found |= {child(trunk.address, spec.name): spec for spec in own}
    for at, term, step in arrow_terms(graph):
        own = term.term_parameters(step.op, step.address, *step_types(graph, step))
        found |= {child(at, spec.name): spec for spec in own}
    return found


def arrow_terms(graph: Graph) -> Iterator[tuple[Address, AbstractArrowLoss, StepNode]]:
    """The loss's terms about one step, each with its address and its step."""
    for term in graph.loss.terms.values() if graph.loss else ():
        if isinstance(term.op, AbstractArrowLoss):
            steps = [s for s in graph.steps.values() if s.arrow == term.binds and term.op.fits(s.op)]
            yield from ((term.address, term.op, step) for step in steps[:1])
