"""Torch twin of an `sde` from data to noise whose law has no formula: states simulated, the way back by the score.

With G = diag(g_i²) and (∇·G)_i = 2 g_i ∂g_i/∂x_i the reverse process is dx = (f - ∇·G - G s) dt + g dW, the probability
flow dx/dt = f - (∇·G + G s) / 2. The flow runs over √t, as that of a Gaussian path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.guidance import doubled, rows_beyond
from dgmspec.modules.paths.process import Process, Time, advance, process_of
from dgmspec.modules.paths.reading import AbstractReader
from dgmspec.modules.paths.rooted import Rooted
from dgmspec.modules.traces import estimate, exact_trace
from dgmspec.modules.twin import Parameters, StepContext, StepTwin, by_row
from dgmspec.ops.paths.samplers import AbstractPathSampler, PfOde, ReverseSde
from dgmspec.ops.paths.unsolved import Unsolved

__all__ = ["TWINS", "Reversed", "implicit", "noised", "on_the_way", "run_back"]


@dataclass(frozen=True)
class Reversed(AbstractReader[Unsolved, Process]):
    """The process with its learned score and its context: reads (x_t, t), times as in `Time`."""

    guidance: float = 0.0
    """How far the score goes beyond what the context says, as in `Journey`."""

    @property
    def law(self) -> Process:
        """The process."""
        return self.plan

    def score(self, x: Tensor, t: Time) -> Tensor:
        """The learned ∇ log p_t(x)."""
        if not self.guidance or self.given is None:
            return self._read(x, t, self.given, self.dropped)
        given, free = doubled(self.given, x.shape[0])
        return rows_beyond(self._read(torch.cat((x, x)), t, given, free), self.guidance)

    def _read(self, x: Tensor, t: Time, given: Tensor | None, dropped: Tensor | None) -> Tensor:
        op = self.op
        share = (torch.as_tensor(t, dtype=x.dtype, device=x.device).reshape(-1) - op.low) / (op.high - op.low)
        # The net reads √t, in which the law moves evenly at first too.
        found = self.read(x, share.sqrt().expand(x.shape[0]), given, dropped).reshape(x.shape)
        if op.learn == "score":
            return found
        weight = self.weight(x, t)
        # What no noise moves has no score, and none is read.
        return torch.where(weight > 0, -found / torch.where(weight > 0, weight, 1.0).sqrt(), 0.0)

    def weight(self, x: Tensor, t: Time) -> Tensor:
        """W = σ_0² + (t - t_0) G, about the variance of the noise, by the coordinate."""
        return self.op.settings.init_noise**2 + (t - self.op.low) * self.spread(x, t)

    def spread(self, x: Tensor, t: Time) -> Tensor:
        """G, by the coordinate."""
        return self.law.spread(x, t) ** 2

    def divergence(self, x: Tensor, t: Time) -> Tensor | float:
        """∇·G, by the coordinate."""
        return 4.0 * self.law.half_square(x, t)

    def reverse_drift(self, x: Tensor, t: Time) -> Tensor:
        """f - ∇·G - G s."""
        return self.law.drift(x, t) - self.divergence(x, t) - self.spread(x, t) * self.score(x, t)

    def velocity(self, x: Tensor, t: Time) -> Tensor:
        """f - (∇·G + G s) / 2."""
        return self.law.drift(x, t) - (self.divergence(x, t) + self.spread(x, t) * self.score(x, t)) / 2


# ---- losses ---------------------------------------------------------------------------------------------------------


def noised(op: Unsolved, law: Process, x: Tensor, t: Tensor, noise: Mapping[str, Tensor]) -> Tensor:
    """x_t at a time of its own for each row, in equally many steps."""
    *_, last = on_the_way(op, law, x, t, noise)
    return last


def on_the_way(op: Unsolved, law: Process, x: Tensor, t: Tensor, noise: Mapping[str, Tensor]) -> Iterator[Tensor]:
    """The states before the first of these steps and after each of them."""
    if op.settings.init_noise:
        x = x + op.settings.init_noise * noise["first"]
    yield x
    scheme, path = op.scheme(x.shape[1:]), noise["path"]
    h = by_row(t - op.low, x).to(x.dtype) / scheme.steps
    for i in range(scheme.steps):
        x = advance(scheme, law, x, op.low + i * h, h, path[:, i])
        yield x


def implicit(net: Reversed, x: Tensor, t: Tensor, probe: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """(W s, its divergence (batch,), W) at x_t.

    E [½ sᵀ W s + ∇·(W s)] differs from ½ E (s - ∇ log p)ᵀ W (s - ∇ log p) by a number that no net changes, W depending
    on the state or not.
    """
    rows = by_row(t, x).to(x.dtype)

    def weighed(at: Tensor) -> Tensor:
        return net.weight(at, rows) * net.score(at, rows)

    found = exact_trace(weighed, x) if probe is None else estimate(weighed, x, probe)[:2]
    return found[0], found[1], net.weight(x, rows)


# ---- the probability flow -------------------------------------------------------------------------------------------


def _forward(op: Unsolved, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    return _solved(op, p, x, ctx, along=True)


def _backward(op: Unsolved, p: Parameters, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    return _solved(op, p, y, ctx, along=False)


def _solved(op: Unsolved, p: Parameters, x: Tensor, ctx: StepContext, along: bool) -> tuple[Tensor, Tensor]:
    root = Rooted.of(op, ctx, op.low, op.high)

    def field(u: float | Tensor, y: Tensor, q: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        net = Reversed(op, q, ctx.event, ctx.plan, root.given(q), ctx.given_type, ctx.training)
        t, pace = (by_row(value, y).to(y.dtype) for value in root.time(u, y))
        return root.traced(lambda at: pace * net.velocity(at, t), y, q)

    return root.solved(field, x, root.known(p), along)


# ---- samplers -------------------------------------------------------------------------------------------------------


def run_back(
    op: AbstractPathSampler,
    net: Reversed,
    x: Tensor,
    noise: Callable[[], Tensor],
    told: Callable[[int], None] = lambda done: None,
    guidance: float = 0.0,
) -> Tensor:
    """The state at the earliest time in use from values `x` at the end of time."""
    assert isinstance(op, (ReverseSde, PfOde))
    net = replace(net, guidance=guidance)
    times = net.op.grid(op.steps, op.spacing, net.event.shape)
    for i, (t, s) in enumerate(pairwise(times)):
        if isinstance(op, ReverseSde):
            x = x - (t - s) * net.reverse_drift(x, t) + math.sqrt(t - s) * net.law.spread(x, t) * noise()
        else:
            first = net.velocity(x, t)
            y = x - (t - s) * first
            x = y if op.solver == "euler" else x - (t - s) * (first + net.velocity(y, s)) / 2
        told(i + 1)
    return x


def _plan(op: Unsolved, event: Type, given: Type | None) -> Process:
    return process_of(op, event, sloped=True)


TWINS = {Unsolved: StepTwin(_forward, _backward, plan=_plan, loop="bounded")}
