"""The probability flow of a state whose coordinates mix, dx/dt = A x + b - G Gᵀ s / 2, with its log-det; and the step
that draws parts of the state at the start.

tr A is in closed form; the net's trace is exact, or estimated along fixed directions. The solver runs over √t, in which
the scores, which may grow like 1/√t towards the start, move evenly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dgmspec.modules.continuous.ode import solver_of
from dgmspec.modules.paths.denoiser import JointDenoiser, step_plan, step_tables
from dgmspec.modules.solvers import SolverError, integrate
from dgmspec.modules.traces import estimate, exact_trace, probes
from dgmspec.modules.twin import Parameters, StepContext, StepTwin
from dgmspec.ops.continuous import Hutchinson
from dgmspec.ops.paths.joint import JointSde, Started

__all__ = ["TWINS"]

_PROBES, _CONTEXT = "probes", "context"


def forward(op: JointSde, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """From the earliest time in use to the end."""
    return _solved(op, p, x, ctx, along=True)


def backward(op: JointSde, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """From the end to the earliest time in use."""
    return _solved(op, p, x, ctx, along=False)


def _solved(op: JointSde, p: Parameters, x: Tensor, ctx: StepContext, along: bool) -> tuple[Tensor, Tensor]:
    how = op.settings.likelihood
    trace, path = how.trace_of(ctx.event), ctx.plan.path
    known: dict[str, Tensor] = dict(p)
    if ctx.given is not None:
        known[_CONTEXT] = ctx.given
    if ctx.counted and isinstance(trace, Hutchinson):
        known[_PROBES] = probes(trace.probes, ctx.noise["probe"])
    early = math.sqrt((op.start(ctx.event.shape) - path.low) / (path.high - path.low))
    begin, end = (early, 1.0) if along else (1.0, early)
    field = _Field(op, ctx, trace if ctx.counted else None)
    try:
        found = integrate(field, x, begin, end, known, solver_of(how.solver), rates=int(ctx.counted))
    except SolverError as error:
        raise error.at(ctx.address) from error
    return found.y, found.integrals[0] if ctx.counted else x.new_zeros(())


class _Field:
    """(u, x, values) -> (dx/du, trace) with t = low + span · u²: what a solver runs."""

    def __init__(self, op: JointSde, ctx: StepContext, trace: object) -> None:
        self.op, self.ctx, self.trace = op, ctx, trace
        self.low, self.span = ctx.plan.path.low, ctx.plan.path.high - ctx.plan.path.low

    def __call__(self, u: float | Tensor, x: Tensor, p: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        ctx = self.ctx
        net = JointDenoiser(self.op, p, ctx.event, ctx.plan, p.get(_CONTEXT), ctx.given_type, ctx.training)
        u = u.reshape(-1) if isinstance(u, Tensor) else torch.full((1,), u, dtype=torch.float64, device=x.device)
        t = self.low + self.span * u.double() ** 2
        pace = (2 * self.span * u.double()).to(x.dtype).reshape(-1, 1)
        here, flow = net.at(t, x.dtype), net.rates(t, x.dtype)

        def learned(at: Tensor) -> Tensor:
            pushed: Tensor = -pace * flow.pull(net(at, t, here).score) / 2
            return pushed

        linear = pace * flow.drift(x)
        if self.trace is None:
            return (linear + learned(x),)
        found = estimate(learned, x, p[_PROBES])[:2] if isinstance(self.trace, Hutchinson) else exact_trace(learned, x)
        return linear + found[0], found[1] + pace.flatten() * flow.trace


# ---- the start ------------------------------------------------------------------------------------------------------


def start(op: Started, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """Draws in their places, the given numbers in theirs."""
    noise = ctx.noise["start"]
    _, loc, scale = _law(op, noise)
    both = torch.cat((x.reshape(x.shape[0], -1), loc + scale * noise), 1)
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
