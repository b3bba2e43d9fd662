"""The probability flow of a state whose coordinates mix, dx/dt = A x + b - G Gᵀ s / 2, with its log-det; and the step
that draws parts of the state at the start.

tr A is in closed form; the net's trace is exact, or estimated along fixed directions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgmspec.modules.paths.denoiser import JointDenoiser, step_plan, step_tables
from dgmspec.modules.paths.rooted import Rooted
from dgmspec.modules.twin import Parameters, StepContext, StepTwin, flat_rows
from dgmspec.ops.paths.joint import JointSde, Started

__all__ = ["TWINS"]


def forward(op: JointSde, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """From the earliest time in use to the end."""
    return _solved(op, p, x, ctx, along=True)


def backward(op: JointSde, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """From the end to the earliest time in use."""
    return _solved(op, p, x, ctx, along=False)


def _solved(op: JointSde, p: Parameters, x: Tensor, ctx: StepContext, along: bool) -> tuple[Tensor, Tensor]:
    path = ctx.plan.path
    root = Rooted.of(op, ctx, path.low, path.high)
    return root.solved(_Field(op, root), x, root.known(p), along)


@dataclass(frozen=True)
class _Field:
    """(u, x, values) -> (dx/du, trace): what a solver runs."""

    op: JointSde
    root: Rooted

    def __call__(self, u: float | Tensor, x: Tensor, p: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        root, ctx = self.root, self.root.ctx
        net = JointDenoiser(self.op, p, ctx.event, ctx.plan, root.given(p), ctx.given_type, ctx.training)
        t, clock = root.time(u, x)
        pace = clock.to(x.dtype).reshape(-1, 1)
        here, flow = net.at(t, x.dtype), net.rates(t, x.dtype)

        def learned(at: Tensor) -> Tensor:
            pushed: Tensor = -pace * flow.pull(net(at, t, here).score) / 2
            return pushed

        value, *traces = root.traced(learned, x, p)
        return (pace * flow.drift(x) + value, *(trace + pace.flatten() * flow.trace for trace in traces))


# ---- the start ------------------------------------------------------------------------------------------------------


def start(op: Started, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """Draws in their places, the given numbers in theirs."""
    noise = ctx.noise["start"]
    _, loc, scale = _law(op, noise)
    both = torch.cat((flat_rows(x), loc + scale * noise), 1)
    return both[:, _inverse(_places(op))], -_log_density(noise, scale)


def drop(op: Started, p: Parameters, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """The given numbers alone."""
    places = _places(op)
    given = op.size - len(op.drawn)
    x = y[:, places[:given]].reshape(y.shape[0], *op.given)
    if not ctx.counted:
        return x, y.new_zeros(())
    _, loc, scale = _law(op, y)
    return x, _log_density((y[:, places[given:]] - loc) / scale, scale)


def _places(op: Started) -> list[int]:
    """Where the given numbers stand in the state, then the drawn ones."""
    drawn = [place for place, _, _ in op.drawn]
    return [i for i in range(op.size) if i not in drawn] + drawn


def _inverse(places: list[int]) -> list[int]:
    return [places.index(i) for i in range(len(places))]


def _law(op: Started, like: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.tensor(op.drawn, dtype=like.dtype, device=like.device).unbind(1))


def _log_density(noise: Tensor, scale: Tensor) -> Tensor:
    """(batch,): log q of loc + scale · noise."""
    return -(0.5 * (noise**2 + math.log(2 * math.pi)) + scale.log()).sum(1)


TWINS: dict[Any, StepTwin] = {
    JointSde: StepTwin(forward, backward, tables=step_tables, plan=step_plan, loop="bounded"),
    Started: StepTwin(start, drop),
}
