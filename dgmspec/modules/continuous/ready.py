"""The closures of a velocity, made once for the type of its state: its formula, and the nets and gradients it reads."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dgmspec.algebra.nodes import AbstractExpr, Name
from dgmspec.algebra.shapes import shape_of
from dgmspec.core.nets import AbstractNet
from dgmspec.core.types import Shape, Type
from dgmspec.modules.expressions import Prepared, prepare
from dgmspec.modules.registry import net_twin, resolve_held
from dgmspec.ops.authored import OwnNet, Reading
from dgmspec.ops.continuous.moving import Traced, chained
from dgmspec.ops.continuous.ode import Ode
from dgmspec.ops.continuous.placed import Placed
from dgmspec.ops.nets import AbstractLayered, AbstractOrdered, External

__all__ = ["NetGradient", "NetReading", "Ready", "ready"]


@dataclass(frozen=True)
class NetReading:
    """One use of a net: what it reads besides the time; where its trace goes, about which of its arguments, and which
    coordinates of the state these are (all where None); whether it follows a scan of the image turned upside down."""

    symbol: str
    net: OwnNet
    args: tuple[Prepared, ...]
    sizes: tuple[int, ...]
    timed: bool
    context: bool
    shape: Shape
    turned: bool = False
    state: int | None = None
    trace: str = ""
    coordinates: tuple[int, ...] | None = None
    names: tuple[str, ...] = ()
    """Of a chain of layers whose trace follows from them: theirs, in order."""
    skips: tuple[int | None, ...] = ()

    @property
    def first(self) -> str:
        """Where the first layer's columns for the state stand, cut out once a solve."""
        return f"state's columns of {self.symbol}"

    @property
    def others(self) -> str:
        """Where the first layer's other columns stand."""
        return f"other columns of {self.symbol}"

    @property
    def core(self) -> str:
        """Where the part of its closed trace that is made once stands."""
        return f"core of {self.symbol}"


@dataclass(frozen=True)
class NetGradient:
    """A gradient in the formula, under `symbol`: that of `energy` by the state, which reads some nets."""

    symbol: str
    energy: Prepared
    readings: tuple[NetReading, ...]
    trace: str = ""
    """Where the trace of its Jacobian goes, where that follows from the layers of the one net in it."""


@dataclass(frozen=True)
class Ready:
    """The closures of one velocity at the type of its state."""

    value: Prepared
    readings: tuple[NetReading, ...]
    gradients: tuple[NetGradient, ...]
    divergence: Prepared | None
    vanishes: bool
    norm: str
    ends: tuple[float | Prepared, float | Prepared]
    """When the arrow starts and ends: numbers, or closures over learned ones."""


def ready(op: Ode, event: Type) -> Ready:
    """The closures of an ode's velocity."""
    found, velocity = op.at(event), op.velocity
    traces = {traced.symbol: traced for traced in found.plan.traces}
    gradients = []
    for g in found.gradients:
        trace = traces.get(g.symbol)
        inner = tuple(_reading(found, used, trace) for used in g.readings)
        gradients.append(NetGradient(g.symbol, prepare(g.energy), inner, trace.name if trace else ""))
    formula = found.plan.formula
    return Ready(
        prepare(found.value),
        tuple(_reading(found, used, traces.get(used.symbol)) for used in velocity.readings),
        tuple(gradients),
        None if formula is None else prepare(formula),
        found.plan.vanishes,
        op.norm(event),
        (_end(op.low), _end(op.high)),
    )


def _reading(found: Placed, used: Reading, trace: Traced | None) -> NetReading:
    """One use of a net; `trace` is that of its value, or of a gradient that it is in."""
    velocity = found.velocity
    net, rest = velocity.net(used.net), velocity.inputs(used)
    if not isinstance(net.op, External):
        net_twin(net.op)
        resolve_held(net.op)
    shapes = [shape_of(arg, found.shapes) for arg in rest]
    own = trace is not None and trace.symbol == used.symbol
    state = trace.place if trace is not None and own else rest.index(Name(id=velocity.state)) if trace else None
    return NetReading(
        used.symbol,
        net,
        tuple(map(prepare, rest)),
        tuple(map(math.prod, shapes)),
        len(rest) < len(used.args),
        net.name in velocity.in_place,
        net.size.at(found.shapes),
        bool(shapes) and _turned(net.op, shapes[0]),
        state,
        trace.name if trace is not None and own else "",
        trace.coordinates if trace is not None else None,
        *(_links(net.op) if trace is not None and chained(net) else ()),
    )


def _turned(op: AbstractNet, shape: Shape) -> bool:
    """Whether a net of images follows a scan backwards, which is the forward one of the image turned upside down."""
    order = op.own_order(shape) if isinstance(op, AbstractOrdered) and op.reads == "image" else None
    return order is not None and order.scan is not None and order.scan.backwards


def _end(written: float | AbstractExpr) -> float | Prepared:
    return prepare(written) if isinstance(written, AbstractExpr) else written


def _links(op: AbstractNet) -> tuple[tuple[str, ...], tuple[int | None, ...]]:
    """The layers' names and what they skip from, none where none does."""
    assert isinstance(op, AbstractLayered)
    links = op.links()
    skips = tuple(link.skip for link in links)
    return ("0", *(link.name for link in links)), (None, *skips) if any(s is not None for s in skips) else ()
