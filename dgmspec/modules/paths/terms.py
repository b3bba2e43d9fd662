"""What every loss along a path rests on: its plan and tables, the time of each row, the arrow's net in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.types import Type
from dgmspec.modules.expressions import Prepared, prepare
from dgmspec.modules.paths.denoiser import AnyDenoiser, AnyPlan, Denoiser, denoiser, plan_of
from dgmspec.modules.paths.process import Process, process_of
from dgmspec.modules.paths.unsolved import Reversed
from dgmspec.modules.twin import EXACT, Parameters, StepContext, TermTwin
from dgmspec.ops.paths.learned import AbstractLearnedPath
from dgmspec.ops.paths.losses import AbstractPathLoss, Dsm
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.ops.paths.quantiles import quantiles
from dgmspec.ops.paths.settings import Importance, Uniform
from dgmspec.ops.paths.unsolved import Unsolved

__all__ = ["by_coordinate", "draw_times", "net_of", "path_term", "reversed_of"]

_TIMES = f"times{EXACT}"


@dataclass(frozen=True)
class _Plan:
    """The step's plan, and the weight that is a formula."""

    step: AnyPlan | Process
    weight: Prepared | None


def _plan(op: AbstractPathLoss, step: AbstractLearnedPath, event: Type) -> _Plan:
    if isinstance(step, Unsolved):
        return _Plan(process_of(step, event, sloped=True), None)
    assert isinstance(step, AbstractNoising)
    weight = op.weight if isinstance(op, Dsm) and isinstance(op.weight, AbstractExpr) else None
    return _Plan(plan_of(step, event), None if weight is None else prepare(weight))


def _tables(op: AbstractPathLoss, step: AbstractLearnedPath, event: Type) -> dict[str, Tensor]:
    """The quantiles of the time, or the times of a path that has certain ones only."""
    if isinstance(step, Unsolved):
        return {_TIMES: torch.tensor(step.quantiles(event.shape), dtype=torch.float64)}
    assert isinstance(step, AbstractNoising)
    path = step.path(event.shape)
    knots = path.levels or quantiles(op, step, event.shape)
    return {_TIMES: torch.tensor(knots, dtype=torch.float64)}


def draw_times(step: AbstractLearnedPath, p: Parameters, u: Tensor) -> tuple[Tensor, Tensor]:
    """A time for each uniform draw (batch,), and how much its row counts against a uniform time."""
    if not isinstance(step.drawn_times, Uniform):
        count = u.shape[0]
        u = (torch.arange(count, dtype=u.dtype, device=u.device) + u) / count
    knots = p[_TIMES]
    if step.discrete:
        place = (u * len(knots)).long().clamp(max=len(knots) - 1)
        return knots[place].to(u.dtype), torch.ones_like(u)
    parts = len(knots) - 1
    scaled = u.double() * parts
    place = scaled.long().clamp(0, parts - 1)
    width = knots[place + 1] - knots[place]
    t = knots[place] + (scaled - place) * width
    if not isinstance(step.drawn_times, Importance):
        return t.to(u.dtype), torch.ones_like(u)
    return t.to(u.dtype), (width * parts / (knots[-1] - knots[0])).to(u.dtype)


def net_of(step: AbstractNoising, p: Parameters, ctx: StepContext) -> AnyDenoiser:
    """The arrow with its parameters; while training, without the context of the rows that drop it."""
    rest = (ctx.given, ctx.given_type, ctx.training, _dropped(step, ctx))
    return denoiser(step, p, ctx.event, ctx.plan.step, *rest)


def by_coordinate(step: AbstractNoising, p: Parameters, ctx: StepContext) -> Denoiser:
    """One along a path with numbers for coefficients, the only one that the loss has been admitted to."""
    net = net_of(step, p, ctx)
    assert isinstance(net, Denoiser)
    return net


def reversed_of(step: Unsolved, p: Parameters, ctx: StepContext) -> Reversed:
    """The same of an arrow whose law has no formula."""
    rest = (ctx.given, ctx.given_type, ctx.training, _dropped(step, ctx))
    return Reversed(step, p, ctx.event, ctx.plan.step, *rest)


def _dropped(step: AbstractLearnedPath, ctx: StepContext) -> Tensor | None:
    """The rows whose context the net does not see."""
    return ctx.noise["drop"] < step.drop if step.drop and ctx.training else None


def path_term(function: Callable[..., Tensor]) -> TermTwin:
    """The twin of a loss along a path, ``function(op, step, p, x, ctx) -> (batch,)``."""
    return TermTwin(function, _tables, _plan)
