"""Twin of the author's steps: the event divided, the lines in turn with their nets, the parts joined again."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dgmspec.algebra.nodes import Name
from dgmspec.core.types import Shape, Type
from dgmspec.modules.authored.lines import backward, forward, prepared
from dgmspec.modules.expressions import Prepared, as_tensor
from dgmspec.modules.expressions import prepare as prepare_expression
from dgmspec.modules.initial import constrain, learned_value
from dgmspec.modules.nets import below, context_of, evaluate
from dgmspec.modules.registry import net_twin
from dgmspec.modules.twin import Parameters, StepContext, StepTwin, flat_rows, sum_event
from dgmspec.ops.authored import AuthoredStep, Definition, Reading

Result = tuple[Tensor, Tensor]


def _tables(op: AuthoredStep, event: Type, given: Type | None) -> dict[str, Tensor]:
    """Under a mask the coordinates of each part, in the part's shape; where the parts do not follow one another, also
    all of them in turn (`order`), and the way back.

    The event's lines and the arguments of its nets are prepared on the way, before anything is traced.
    """
    prepared(op.definition, event.support)
    _arguments(op.definition)
    for net in op.definition.nets:
        net_twin(net.op)
    if op.mask is None:
        return {}
    divided = op.divided(event.shape).items()
    tables = {f"at/{name}": torch.tensor(at, dtype=torch.long).reshape(shape) for name, (at, shape) in divided}
    order = torch.cat([table.flatten() for table in tables.values()])
    if not torch.equal(order, torch.arange(event.size)):
        tables |= {"order": order, "back": order.argsort()}
    return tables


def step_forward(op: AuthoredStep, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    return _run(op, p, x, ctx, inverse=False)


def step_inverse(op: AuthoredStep, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    return _run(op, p, y, ctx, inverse=True)


def _run(op: AuthoredStep, p: Parameters, x: Tensor, ctx: StepContext, inverse: bool) -> Result:
    definition, shapes = op.definition, _shapes(op, p, ctx.event)
    env: dict[str, Tensor] = {own.name: learned_value(own.support, p[own.name]) for own in definition.constants}
    env |= _split(p, x, shapes)
    total = x.new_zeros(())
    lines = list(zip(definition.lines, prepared(definition, ctx.event.support), strict=True))
    for line, ready in reversed(lines) if inverse else lines:
        for reading in (r for r in line.readings if r.symbol not in env):
            _read(op, reading, p, env, shapes, x, ctx)
        old = env[line.target]
        new, slope = (backward if inverse else forward)(ready, old, env)
        env[line.target] = new.expand_as(old)
        total = total + sum_event(slope.expand_as(old), Type(ctx.event.support, shapes[line.target]))
    return _join(p, [env[name] for name in definition.parts], x), total


# ---- parts ----------------------------------------------------------------------------------------------------------


def _shapes(op: AuthoredStep, p: Parameters, event: Type) -> dict[str, Shape]:
    """The shape of each part, from what is at hand while a graph is traced."""
    names = op.definition.parts
    if op.mask is not None:
        return {name: tuple(p[f"at/{name}"].shape) for name in names}
    if op.counts:
        return {name: (count, *event.shape[1:]) for name, count in zip(names, op.counts, strict=True)}
    return {names[0]: event.shape}


def _split(p: Parameters, x: Tensor, shapes: dict[str, Shape]) -> dict[str, Tensor]:
    """The parts by name, (batch, *shape) each."""
    flat = flat_rows(x)
    if "order" in p:
        flat = flat.index_select(1, p["order"])
    sizes = [math.prod(shape) for shape in shapes.values()]
    pieces = torch.split(flat, sizes, 1)
    return {
        name: piece.reshape(x.shape[0], *shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)
    }


def _join(p: Parameters, parts: list[Tensor], x: Tensor) -> Tensor:
    flat = torch.cat([flat_rows(part) for part in parts], 1) if len(parts) > 1 else parts[0]
    if "back" in p:
        flat = flat.index_select(1, p["back"])
    return flat.reshape(x.shape)


# ---- nets -----------------------------------------------------------------------------------------------------------

_ARGUMENTS: dict[tuple[str, str], tuple[Prepared, ...]] = {}
"""The arguments of each reading, by the definition's key and the reading's name."""


def _arguments(definition: Definition) -> None:
    for reading in definition.readings:
        _ARGUMENTS[definition.key, reading.symbol] = tuple(map(prepare_expression, reading.args))


def _read(
    op: AuthoredStep,
    reading: Reading,
    p: Parameters,
    env: dict[str, Tensor],
    shapes: dict[str, Shape],
    x: Tensor,
    ctx: StepContext,
) -> None:
    """The value of a net put into the environment, read from its arguments and the context.

    A net of images meets a part that is none as the event with zeros elsewhere, and gives an event read at the part.
    """
    definition, event = op.definition, ctx.event.shape
    net = definition.net(reading.net)
    if (definition.key, reading.symbol) not in _ARGUMENTS:
        _arguments(definition)
    inputs = []
    for written, argument in zip(reading.args, _ARGUMENTS[definition.key, reading.symbol], strict=True):
        value = as_tensor(argument(env, x), x)
        value = value.expand(x.shape[0], *value.shape[1:])
        if isinstance(written, Name) and op.whole(net, written.id, event, shapes):
            at = p[f"at/{written.id}"]
            value = x.new_zeros(x.shape[0], math.prod(event)).index_copy(1, at, value).reshape(x.shape[0], *event)
        inputs.append(value)
    out = evaluate(net.op, below(p, net.name), inputs, context_of(ctx, x), ctx.training)
    if net.size.like and op.whole(net, net.size.like, event, shapes):
        out = out.flatten(1).index_select(1, p[f"at/{net.size.like}"])
    env[reading.symbol] = constrain(net.support, out.reshape(x.shape[0], *net.size.at(shapes)))


TWINS = {AuthoredStep: StepTwin(step_forward, step_inverse, _tables, loop="bounded")}
