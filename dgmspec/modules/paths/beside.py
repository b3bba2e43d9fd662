"""What the law of a process reads beside its state and the time: learned numbers, and the values of nets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.parts import Parts
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.address import Address
from dgmspec.core.types import Shape, Support, Type
from dgmspec.modules.continuous.constants import seen_value
from dgmspec.modules.expressions import Prepared, as_tensor, prepare
from dgmspec.modules.initial import constrain, learned_value
from dgmspec.modules.nets import below, context_of
from dgmspec.modules.nets.applied import net_value
from dgmspec.modules.nets.external import checked
from dgmspec.modules.paths.process import Field, Process, Time, environment
from dgmspec.modules.registry import net_twin, resolve_held
from dgmspec.modules.twin import Parameters, StepContext, rows_of
from dgmspec.ops.authored import OwnNet, Reading
from dgmspec.ops.continuous import Seen
from dgmspec.ops.nets import External
from dgmspec.ops.paths.simulation import Simulation

__all__ = ["Beside", "beside_of"]


@dataclass(frozen=True)
class _Value:
    """The value of a net under a name: what it is applied to beside the time, and whether it reads that and the arrow's
    context; the address of a net of the user's own."""

    symbol: str
    net: OwnNet
    args: tuple[Prepared, ...]
    shape: Shape
    timed: bool
    context: bool
    external: Address


@dataclass(frozen=True)
class _Slope:
    """The gradient of a number by the state, the nets in it inside."""

    symbol: str
    energy: Prepared
    values: tuple[_Value, ...]


@dataclass(frozen=True)
class _Reads:
    """What one formula reads: values in the order in which they read one another, then gradients."""

    values: tuple[_Value, ...]
    slopes: tuple[_Slope, ...]


@dataclass(frozen=True)
class Beside:
    """All of it made ready, for the parts of the state and the time `name` from `low` on for `span`; `seen` are
    variables of the arrow's context."""

    parts: Parts
    name: str
    low: float
    span: float
    numbers: tuple[tuple[str, Support], ...]
    seen: tuple[Seen, ...]
    drift: _Reads
    diffusion: _Reads

    def bound(self, law: Process, p: Parameters, ctx: StepContext, like: Tensor) -> Process:
        """The law under these parameters and this context."""
        run = _Run(self, p, ctx, context_of(ctx, like))
        slope = None if law.slope is None else run.field(law.slope, self.diffusion)
        return Process(run.field(law.drift, self.drift), run.field(law.spread, self.diffusion), slope, law.mixed)

    def share(self, t: Time, like: Tensor) -> Tensor:
        """A time as nets read it, from 0 to 1: (1,) or (batch,)."""
        found = (t - self.low) / self.span
        return found.reshape(-1) if isinstance(found, Tensor) else like.new_full((1,), found)


@dataclass(frozen=True)
class _Run:
    """One simulation."""

    ready: Beside
    p: Parameters
    ctx: StepContext
    context: Tensor | None

    def field(self, field: Field, reads: _Reads) -> Field:
        """A field of the law with all that its formula reads."""
        fixed = {name: learned_value(support, self.p[name]) for name, support in self.ready.numbers}
        if self.ready.seen:
            assert self.ctx.given is not None and self.context is not None
            fixed |= {seen.name: seen_value(self.ctx.given, self.context, seen) for seen in self.ready.seen}

        def run(x: Tensor, t: Time, beside: Any = None) -> Tensor:
            env = {**fixed, **environment(x, t, self.ready.parts, self.ready.name)}
            self._read(reads.values, x, t, env)
            for slope in reads.slopes:
                env[slope.symbol] = self._gradient(slope, x, t, env)
            return field(x, t, env)

        return run

    def _read(self, values: tuple[_Value, ...], x: Tensor, t: Time, env: dict[str, Any]) -> None:
        """Put values of nets into an environment."""
        for value in values:
            inputs = [as_tensor(arg(env, x), x) for arg in value.args]
            env[value.symbol] = self._external(value, inputs) if value.external else self._value(value, inputs, x, t)

    def _value(self, value: _Value, inputs: list[Tensor], x: Tensor, t: Time) -> Tensor:
        own = below(self.p, value.net.name)
        context = self.context if value.context else None
        time = self.ready.share(t, x) if value.timed else None
        return net_value(value.net, own, inputs, x, value.shape, context, self.ctx.training, time)

    def _external(self, value: _Value, inputs: list[Tensor]) -> Tensor:
        rows = rows_of(inputs)
        out = self.ctx.modules[value.external](*(v.expand(rows, *v.shape[1:]) for v in inputs))
        return constrain(value.net.support, checked(value.net.name, out, (rows, *value.shape)))

    def _gradient(self, slope: _Slope, x: Tensor, t: Time, env: Mapping[str, Any]) -> Tensor:
        """∂E/∂x of a number a row: of the sum over rows, each of which reads its own state alone."""

        def energy(at: Tensor) -> Tensor:
            inner = {**env, **environment(at, t, self.ready.parts, self.ready.name)}
            self._read(slope.values, at, t, inner)
            return as_tensor(slope.energy(inner, at), at).expand(at.shape[0]).sum()

        found: Tensor = torch.func.grad(energy)(x)
        return found


# ---- made ready -----------------------------------------------------------------------------------------------------


def beside_of(op: Simulation, event: Type) -> Beside | None:
    """What a law reads, made ready; None where it reads nothing but its state and the time."""
    if not op.learned and not op.applied:
        return None
    drift, diffusion = _reads(op, event, (op.drift,)), _reads(op, event, (op.diffusion,))
    if op.stratonovich:  # the drift of Itô's equation has the diffusion in it
        drift = _reads(op, event, (op.drift, op.diffusion))
    span = op.high - op.low
    return Beside(op.parts_of(event.shape), op.time, op.low, span, op.supports(), op.applied.seen, drift, diffusion)


def _reads(op: Simulation, event: Type, formulas: Iterable[AbstractExpr]) -> _Reads:
    """The values that formulas read, and those that these read."""
    names = {name for formula in formulas for name in free_names(formula)}
    found: list[_Value] = []
    for reading in reversed(op.applied.readings):
        if reading.symbol in names:
            names |= {name for arg in reading.args for name in free_names(arg)}
            found.append(_value(op, event, reading))
    slopes = tuple(
        _Slope(g.symbol, prepare(g.energy), tuple(_value(op, event, reading) for reading in g.readings))
        for g in op.applied.gradients
        if g.symbol in names
    )
    return _Reads(tuple(reversed(found)), slopes)


def _value(op: Simulation, event: Type, reading: Reading) -> _Value:
    net, rest = op.applied.net(reading.net), op.applied.inputs(reading)
    external = isinstance(net.op, External)
    if not external:
        net_twin(net.op)
        resolve_held(net.op)
    shape = op.beside(event.shape)[reading.symbol]
    context, at = net.name in op.applied.in_place, dict(op.shared)[net.name] if external else ""
    return _Value(reading.symbol, net, tuple(map(prepare, rest)), shape, len(rest) < len(reading.args), context, at)
