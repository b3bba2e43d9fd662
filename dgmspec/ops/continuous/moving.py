"""What moves with the state of a velocity: which coordinates each name reads, and about which of them nets have traces.

A net has a trace about an argument that lists coordinates of the state, all of them or a block, where its value has as
many numbers and nothing else that it is given reads them: so the blocks of a joint state are traced one by one. A net
that keeps an order of the coordinates (`made`, a causal `transformer`) has numbers that do not read their own, and
needs no derivative.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from operator import or_
from typing import Final

from dgmspec.algebra.fields import FOLLOWED, Moving
from dgmspec.algebra.nodes import AbstractExpr, Index, Name, Number, Vector
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.dependency import bit_indices
from dgmspec.core.masking import Precedence
from dgmspec.core.nets import AbstractNet
from dgmspec.core.types import REAL, Shape, Type
from dgmspec.ops.authored import OwnNet, Reading
from dgmspec.ops.authored.patterns import Reads, pattern, spread, union
from dgmspec.ops.continuous.velocity import Gradient, Velocity
from dgmspec.ops.nets import AbstractMasked, AbstractOrdered, Mlp, ResMlp

__all__ = ["CLOSED", "Traced", "chained", "closed", "layered", "potential", "reads_and_traces"]

CLOSED: Final = 2
"""Hidden layers up to which the trace of an mlp has a closed form."""


@dataclass(frozen=True)
class Traced:
    """A trace that has a name in the formula: of the net's value `symbol` about its argument `place` (the time left
    out), or of a gradient, which has no place. It costs `derivatives` of that net."""

    name: str
    symbol: str
    derivatives: int
    place: int | None = None
    coordinates: tuple[int, ...] | None = None
    """Those that it is about; None where these are all in order."""


def reads_and_traces(
    velocity: Velocity, gradients: Sequence[Gradient], event: Type, shapes: Mapping[str, Shape]
) -> tuple[dict[str, Moving], list[Traced]]:
    """The names that move with the state, the state itself left out, and all traces that could be had."""
    followed = event.size <= FOLLOWED
    everything = (1 << event.size) - 1 if followed else 1
    known: dict[str, Reads] = {name: (shape, 0) for name, shape in shapes.items()}
    known[velocity.state] = event.shape, tuple(1 << i for i in range(event.size)) if followed else 1
    found: dict[str, Moving] = {}
    traces: list[Traced] = []
    for gradient in gradients:
        known[gradient.symbol] = event.shape, everything
        own = [_of_gradient(velocity, gradient, event.size)] if potential(velocity, gradient) else []
        found[gradient.symbol] = Moving(everything, traces={t.coordinates: Name(id=t.name) for t in own})
        traces += own
    for reading in velocity.readings:
        if reading.symbol not in velocity.moving:
            continue
        cells = [pattern(arg, known) for arg in velocity.inputs(reading)]
        shape = shapes[reading.symbol]
        rows, hollow = _rows(velocity, reading, shape, cells, event)
        known[reading.symbol] = shape, rows
        own = [] if hollow else list(_blocks(velocity, reading, shape, cells, event))
        found[reading.symbol] = Moving(rows, hollow, {t.coordinates: Name(id=t.name) for t in own})
        traces += own
    return found, traces


# ---- nets that keep an order ----------------------------------------------------------------------------------------


def _rows(
    velocity: Velocity, reading: Reading, shape: Shape, cells: Sequence[Reads], event: Type
) -> tuple[int | tuple[int, ...], bool]:
    """What each number of a net's value reads, and whether none reads its own coordinate."""
    everything = reduce(or_, map(union, cells), 0)
    order = _order(velocity.net(reading.net).op, cells[0][0], shape) if cells else None
    if order is None:
        return everything, False
    beside = reduce(or_, map(union, cells[1:]), 0)
    arrays = shape in (event.shape, (prod(shape) // event.size, *event.shape))
    if event.size > FOLLOWED:
        whole = velocity.inputs(reading)[0] == Name(id=velocity.state)
        return everything, arrays and whole and not beside
    own = spread(cells[0], cells[0][0])
    rows = [reduce(or_, (own[j] for j in bit_indices(row)), beside) for row in order.before]
    numbers = tuple(rows[n % len(rows)] for n in range(prod(shape)))
    return numbers, arrays and not any(row >> n % event.size & 1 for n, row in enumerate(numbers))


def _order(op: AbstractNet, read: Shape, given: Shape) -> Precedence | None:
    """The order in which the numbers that a net gives for each coordinate of its first argument depend on these."""
    if not isinstance(op, AbstractMasked) or not (isinstance(op, AbstractOrdered) or read == given):
        return None
    return op.own_order(read)


# ---- traces of nets -------------------------------------------------------------------------------------------------


def _of_gradient(velocity: Velocity, gradient: Gradient, size: int) -> Traced:
    op = velocity.net(gradient.readings[0].net).op
    short = isinstance(op, Mlp) and len(op.hidden) == 1
    return Traced(f"trace_of_{gradient.symbol}", gradient.symbol, 0 if short else size)


def _blocks(
    velocity: Velocity, reading: Reading, shape: Shape, cells: Sequence[Reads], event: Type
) -> Iterator[Traced]:
    """The traces of a net's value about each of its arguments that lists coordinates which nothing else of it reads."""
    net, args = velocity.net(reading.net), velocity.inputs(reading)
    for place, arg in enumerate(args):
        listed = _listed(velocity, arg, event)
        others = reduce(or_, (union(cell) for i, cell in enumerate(cells) if i != place), 0)
        if listed is None or shape != cells[place][0] or others & union(cells[place]):
            continue
        everywhere = list(listed) == list(range(event.size))
        derivatives = 0 if chained(net) and closed(net.op) else len(listed)
        name = f"trace_{place}_of_{reading.symbol}"
        yield Traced(name, reading.symbol, derivatives, place, None if everywhere else tuple(listed))


def _listed(velocity: Velocity, arg: AbstractExpr, event: Type) -> Sequence[int] | None:
    """The coordinates that an argument lists, each once; None where it is something else."""
    if arg == Name(id=velocity.state):
        return range(event.size)
    items = arg.items if isinstance(arg, Vector) else (arg,)
    found: list[int] = []
    for item in items:
        match item:
            case Index(of=Name(id=velocity.state), index=Number(value=int(i))) if len(event.shape) == 1:
                found.append(i)
            case _:
                return None
    return tuple(found) if len(set(found)) == len(found) else None


def layered(op: AbstractNet) -> bool:
    """Whether a net is linear layers with activations between them alone, whose Jacobian follows from one pass."""
    return isinstance(op, (Mlp, ResMlp)) and not op.normed() and op.input_embedding() is None


def chained(net: OwnNet) -> bool:
    """Whether a net's value is what its layers give, so that its Jacobian follows from them."""
    return net.support == REAL and layered(net.op)


def closed(op: AbstractNet) -> bool:
    """Whether the trace of a layered net has a closed form: no skips, and at most two hidden layers."""
    return isinstance(op, Mlp) and len(op.hidden) <= CLOSED


def potential(velocity: Velocity, gradient: Gradient) -> bool:
    """Whether a gradient is that of an mlp of the state, whose second derivatives follow from its layers."""
    if [Name(id=reading.symbol) for reading in gradient.readings] != [gradient.energy]:
        return False
    (reading,) = gradient.readings
    net = velocity.net(reading.net)
    number = not net.size.like and net.size.shape == () and net.support == REAL
    moving = [arg for arg in reading.args if velocity.moving.intersection(free_names(arg))]
    alone = moving == [Name(id=velocity.state)]
    return number and alone and layered(net.op) and isinstance(net.op, Mlp) and len(net.op.hidden) > 0
