"""The velocity of one solve as torch: its value, its trace and other rates along a path, at one state and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dgmspec.modules.continuous.constants import CONTEXT, END, NORM, PROBES, START, Time, Values, weights_of
from dgmspec.modules.continuous.ready import NetGradient, NetReading, Ready
from dgmspec.modules.expressions import Value, as_tensor
from dgmspec.modules.initial import constrain
from dgmspec.modules.nets import below, evaluate
from dgmspec.modules.nets.external import run
from dgmspec.modules.nets.layered import gated, gates_of
from dgmspec.modules.registry import embedding_twin
from dgmspec.modules.traces import (
    Chain,
    closed_norm,
    estimate,
    exact_trace,
    forward,
    gradient_and_laplacian,
    product,
    tangent_trace,
    value_and_trace,
)
from dgmspec.modules.twin import Modules, Parameters, flat_rows, rows_of
from dgmspec.ops.continuous.ode import Ode
from dgmspec.ops.nets import AbstractLayered, External
from dgmspec.ops.nets.layered import Mlp, ResMlp

__all__ = ["Evaluation"]


@dataclass(frozen=True)
class Evaluation:
    """The velocity of one solve; `training` as for nets."""

    op: Ode
    known: Ready
    training: bool
    modules: Modules

    def ends(self, p: Values) -> tuple[Time, Time]:
        """When the arrow starts and ends: floats, or one number each where an end is learned."""
        if START in p:
            return p[START], p[END]
        start, end = self.known.ends
        assert isinstance(start, float) and isinstance(end, float)
        return start, end

    def _part(self, t: Time, p: Values) -> Time:
        """A time as nets read it: from 0 at the earlier end to 1 at the later one."""
        start, end = self.ends(p)
        if isinstance(start, Tensor) and isinstance(end, Tensor):
            return (t - torch.minimum(start, end)) / (end - start).abs()
        assert isinstance(start, float) and isinstance(end, float)
        return (t - min(start, end)) / abs(end - start)

    def value(self, t: Time, y: Tensor, p: Values) -> Tensor:
        """dy/dt, of the shape of y."""
        return self._value(self._environment(t, y, p), y)

    def value_and_trace(self, t: Time, y: Tensor, p: Values) -> tuple[Tensor, Tensor]:
        """dy/dt and its trace, (batch,), from the formula of the trace, nets' traces put in."""
        assert self.known.divergence is not None, "a trace by formula"
        env = self._environment(t, y, p, traced=True)
        trace = as_tensor(self.known.divergence(env, y), y)
        return self._value(env, y), trace if trace.shape[:1] == y.shape[:1] else trace.expand(y.shape[0])

    def value_and_norm(self, t: Time, y: Tensor, p: Values) -> tuple[Tensor, Tensor]:
        """dy/dt and ‖∂(dy/dt)/∂y‖², (batch,), of a velocity that is one shallow net."""
        (used,) = self.known.readings
        chain = self._chain(used, below(p, used.net.name), t, y, p, {})
        value, slopes = forward(chain, flat_rows(y))
        return value.to(y.dtype).reshape(y.shape), closed_norm(p[NORM], slopes, y.shape[0]).to(y.dtype)

    def _value(self, env: Mapping[str, Value], y: Tensor) -> Tensor:
        value = as_tensor(self.known.value(env, y), y)
        return value if value.shape == y.shape else value.expand_as(y)

    def _environment(self, t: Time, y: Tensor, p: Values, traced: bool = False) -> dict[str, Value]:
        """Every name of the formula, the nets' values among them."""
        velocity = self.op.velocity
        env: dict[str, Value] = {own.name: p[own.name] for own in velocity.learned}
        env |= {seen.name: p[seen.name] for seen in velocity.seen}
        env[velocity.state] = y
        if velocity.time:
            env[velocity.time] = t.reshape(-1) if isinstance(t, Tensor) else t
        for used in self.known.readings:
            self._read(used, t, y, p, env, traced)
        for found in self.known.gradients:
            if traced and found.trace:
                self._potential(found, t, y, p, env)
            else:
                env[found.symbol] = self._gradient(found, t, y, p, env)
        return env

    def _read(self, used: NetReading, t: Time, y: Tensor, p: Values, env: dict[str, Value], traced: bool) -> None:
        """The value of a net put into the environment, and its trace where that is asked for."""
        if traced and used.trace:
            own = below(p, used.net.name)
            value, trace = (self._layered if used.names else self._differentiated)(used, own, t, y, p, env)
            env[used.symbol] = value.to(y.dtype)
            env[used.trace] = trace.to(y.dtype)
            return
        inputs = [as_tensor(arg(env, y), y) for arg in used.args]
        env[used.symbol] = self._evaluated(used, t, y, p, inputs)

    def _evaluated(self, used: NetReading, t: Time, y: Tensor, p: Values, inputs: list[Tensor]) -> Tensor:
        """The value of a net, (batch, *shape), of what it is given beside the time."""
        context = p.get(CONTEXT) if used.context else None
        time = self._time(t, y, p) if used.timed else None
        rows = rows_of(v for v in (*inputs, context, time) if v is not None)
        inputs = [v.expand(rows, *v.shape[1:]) for v in inputs] or [y.new_zeros(rows, 0)]
        if used.turned:
            inputs[0] = inputs[0].flip(1, 2, 3)
        own = below(p, used.net.name)
        if isinstance(used.net.op, External):
            out = run(used.net.name, self.modules[self.op.velocity.at(used.net.name)], own, inputs, used.shape)
            return constrain(used.net.support, out)
        out = evaluate(used.net.op, own, inputs, context, self.training, time)
        out = out.reshape(out.shape[0], *used.shape)
        if used.turned:  # of each image that it gives
            out = out.reshape(out.shape[0], -1, *inputs[0].shape[1:]).flip(2, 3, 4).reshape(out.shape)
        return constrain(used.net.support, out)

    def _layered(
        self, used: NetReading, own: Parameters, t: Time, y: Tensor, p: Values, env: Mapping[str, Value]
    ) -> tuple[Tensor, Tensor]:
        """The value of a layered net, and its trace about the state or a block of it from its layers."""
        assert used.state is not None
        chain = self._chain(used, own, t, y, p, env)
        block = y if used.coordinates is None else as_tensor(used.args[used.state](env, y), y)
        flat = block if block.dim() == 2 else flat_rows(block)
        if used.core in p and self.op.estimator is None:
            value, trace = value_and_trace(chain, p[used.core], flat)
        else:
            value, slopes = forward(chain, flat)
            if self.op.estimator is None:
                trace = tangent_trace(chain, slopes, y.shape[0])
            else:
                e = _probes(used, p)
                trace = (product(chain, slopes, e) * e).sum(2).mean(1)
        return _shaped(value, block), trace

    def _differentiated(
        self, used: NetReading, own: Parameters, t: Time, y: Tensor, p: Values, env: Mapping[str, Value]
    ) -> tuple[Tensor, Tensor]:
        """The same of any net, by products with its Jacobian about the state or the block."""
        assert used.state is not None
        inputs, place = [as_tensor(arg(env, y), y) for arg in used.args], used.state

        def value(block: Tensor) -> Tensor:
            return self._evaluated(used, t, y, p, [*inputs[:place], block, *inputs[place + 1 :]])

        if self.op.estimator is None:
            return exact_trace(value, inputs[place])
        return estimate(value, inputs[place], _probes(used, p))[:2]

    def _chain(
        self, used: NetReading, own: Parameters, t: Time, y: Tensor, p: Values, env: Mapping[str, Value]
    ) -> Chain:
        """A layered net as a chain of the state: what else its first layer reads goes into that layer's offset."""
        op = used.net.op
        assert isinstance(op, AbstractLayered) and used.state is not None
        weights, biases = weights_of(used, own, p), tuple(own[f"{name}/bias"] for name in used.names)
        offset = self._offset(used, own, t, y, p, env)
        offsets = (biases[0] if offset is None else offset, *biases[1:])
        if isinstance(op, Mlp) and op.gates:
            return _gated(op, own, weights, offsets, self._time(t, y, p).reshape(-1, 1))
        step = op.step if isinstance(op, ResMlp) else 1.0
        return Chain(op.activation, weights, offsets, (), used.skips, step)  # type: ignore[attr-defined]  # all have one

    def _offset(
        self, used: NetReading, own: Parameters, t: Time, y: Tensor, p: Values, env: Mapping[str, Value]
    ) -> Tensor | None:
        """What the first layer adds to the state's part, where it reads more than the state."""
        if used.others not in p:
            return None
        op, bias, others = used.net.op, own["0/bias"], p[used.others]
        assert isinstance(op, AbstractLayered)
        joins = used.timed and not (isinstance(op, Mlp) and op.gates)
        if isinstance(t, float) and joins and others.shape[1] == 1 and op.time_embedding() is None:
            part = self._part(t, p)
            if isinstance(part, float):
                return torch.add(bias, others.squeeze(1), alpha=part)
        beside = [flat_rows(as_tensor(arg(env, y), y)) for i, arg in enumerate(used.args) if i != used.state]
        if used.context and CONTEXT in p:
            beside.append(flat_rows(p[CONTEXT]))
        if joins:
            beside.append(self._time_features(op, own, t, y, p))
        rows = rows_of(beside)
        joined = beside[0] if len(beside) == 1 else torch.cat([v.expand(rows, v.shape[1]) for v in beside], 1)
        return torch.addmm(bias, joined, others.t())

    def _time(self, t: Time, y: Tensor, p: Values) -> Tensor:
        """The time as nets read it: (1,) or (batch,)."""
        part = self._part(t, p)
        return part.reshape(-1) if isinstance(part, Tensor) else y.new_full((1,), part)

    def _time_features(self, op: AbstractLayered, own: Parameters, t: Time, y: Tensor, p: Values) -> Tensor:
        time, embedding = self._time(t, y, p).reshape(-1, 1), op.time_embedding()
        return time if embedding is None else embedding_twin(embedding).apply(embedding, below(own, "time"), time)

    def _potential(self, found: NetGradient, t: Time, y: Tensor, p: Values, env: dict[str, Value]) -> None:
        """The gradient of a net put into the environment, and the trace of its Jacobian or the estimate of that."""
        (used,) = found.readings
        chain = self._chain(used, below(p, used.net.name), t, y, p, env)
        probes = p[PROBES] if self.op.estimator is not None else None
        value, trace = gradient_and_laplacian(chain, flat_rows(y), probes)
        env[found.symbol], env[found.trace] = _shaped(value.to(y.dtype), y), trace.to(y.dtype)

    def _gradient(self, found: NetGradient, t: Time, y: Tensor, p: Values, env: Mapping[str, Value]) -> Tensor:
        """∂E/∂y of a number a row: of the sum over rows, each of which reads its own state alone."""
        state = self.op.velocity.state

        def energy(at: Tensor) -> Tensor:
            inner: dict[str, Value] = {**env, state: at}
            for used in found.readings:
                self._read(used, t, at, p, inner, traced=False)
            return as_tensor(found.energy(inner, at), at).expand(at.shape[0]).sum()

        gradient: Tensor = torch.func.grad(energy)(y)
        return gradient


def _gated(op: Mlp, own: Parameters, weights: tuple[Tensor, ...], offsets: tuple[Tensor, ...], t: Tensor) -> Chain:
    """A net with gates of the time on its hidden layers: ``z = g (W a) + (g b + s)``."""
    gates = gates_of(op, own, t)
    moved = [gated(offset, gate) for offset, gate in zip(offsets, gates, strict=False)]
    factors = (*(factor for factor, _ in gates), torch.ones_like(offsets[-1]))
    return Chain(op.activation, weights, (*moved, *offsets[len(gates) :]), factors)


def _probes(used: NetReading, p: Values) -> Tensor:
    """The probes, (batch, k, numbers), of the coordinates that a net's trace is about."""
    return p[PROBES] if used.coordinates is None else p[PROBES][:, :, list(used.coordinates)]


def _shaped(value: Tensor, y: Tensor) -> Tensor:
    """A flat value in the shape of the state; views that change nothing would each be a node of the graph."""
    return value if value.shape == y.shape else value.reshape(y.shape)
