"""Torch twins of the losses along a path: one number a row from clean values, a time and noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.types import Type
from dgmspec.modules.expressions import Prepared, as_tensor, prepare
from dgmspec.modules.paths.chain import term
from dgmspec.modules.paths.coefficients import At
from dgmspec.modules.paths.denoiser import AnyDenoiser, AnyPlan, Denoiser, denoiser, plan_of
from dgmspec.modules.paths.simulation import Process, process_of
from dgmspec.modules.paths.unsolved import Reversed, implicit
from dgmspec.modules.paths.unsolved import noised as simulated
from dgmspec.modules.traces import estimate, exact_trace
from dgmspec.modules.twin import EXACT, Parameters, ScoreContext, ScoreTwin, StepContext, TermTwin, sum_event
from dgmspec.ops.paths.chain import Markov
from dgmspec.ops.paths.learned import AbstractLearnedPath
from dgmspec.ops.paths.losses import AbstractPathLoss, Dsm, Ism, Ssm, Vlb
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.ops.paths.quantiles import quantiles
from dgmspec.ops.paths.settings import Importance, Uniform
from dgmspec.ops.paths.unsolved import Unsolved

__all__ = ["SCORES", "TWINS"]

_TIMES = f"times{EXACT}"


def dsm(op: Dsm, step: AbstractNoising, p: Parameters, x: Tensor, ctx: StepContext) -> Tensor:
    """(batch,): factor · ½ ‖ε̂ - ε‖²."""
    net, noise = _denoiser(step, p, ctx), ctx.noise["noise"]
    t, counted = _times(step, p, ctx.noise["time"])
    here = net.at(t, x.dtype)
    found = net(here.noised(net.data(x), noise), t, here)
    error = found.noise - here.told(noise)
    if op.weight == "likelihood":
        squares = net.likelihood_squares(t, here, error)
    elif op.weight == "simple":
        squares = error**2
    else:
        assert isinstance(here, At), "other weights are numbers"
        squares = _factor(op, net.op.time, here, t, ctx.plan.weight) * error**2
    return 0.5 * sum_event(squares, ctx.event) * counted


def _times(step: AbstractLearnedPath, p: Parameters, u: Tensor) -> tuple[Tensor, Tensor]:
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


def _factor(op: Dsm, time: str, here: At, t: Tensor, weight: Prepared | None) -> Tensor:
    """What multiplies the squared error of the noise."""
    if op.weight == "snr":
        return (-here.log_snr).exp().clamp(min=1.0)
    if op.weight == "min_snr":
        return (math.log(op.gamma) - here.log_snr).exp().clamp(max=1.0)
    assert weight is not None
    env = {"alpha": here.alpha, "sigma": here.sigma, "snr": here.log_snr.exp()}
    times = t.reshape(-1, *(1,) * (here.sigma.dim() - 1))
    return as_tensor(weight({**env, time: times}, here.sigma), here.sigma) / here.sigma**2


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


def _denoiser(step: AbstractNoising, p: Parameters, ctx: StepContext) -> AnyDenoiser:
    """The arrow with its parameters; while training, without the context of the rows that drop it."""
    dropped = ctx.noise["drop"] < step.drop if step.drop and ctx.training else None
    return denoiser(step, p, ctx.event, ctx.plan.step, ctx.given, ctx.given_type, ctx.training, dropped)


def _by_coordinate(step: AbstractNoising, p: Parameters, ctx: StepContext) -> Denoiser:
    """One along a path with numbers for coefficients, the only one that the loss has been admitted to."""
    net = _denoiser(step, p, ctx)
    assert isinstance(net, Denoiser)
    return net


def _tables(op: AbstractPathLoss, step: AbstractLearnedPath, event: Type) -> dict[str, Tensor]:
    """The quantiles of the time, or the times of a path that has certain ones only."""
    if isinstance(step, Unsolved):
        return {_TIMES: torch.tensor(step.quantiles(event.shape), dtype=torch.float64)}
    assert isinstance(step, AbstractNoising)
    path = step.path(event.shape)
    knots = path.levels or quantiles(op, step, event.shape)
    return {_TIMES: torch.tensor(knots, dtype=torch.float64)}


def ism(op: Ism, step: AbstractLearnedPath, p: Parameters, x: Tensor, ctx: StepContext) -> Tensor:
    """(batch,): σ² (½ ‖s‖² + tr ∂s/∂x) at x_t."""
    if isinstance(step, Unsolved):
        return _simulated(op, step, p, x, ctx)
    assert isinstance(step, AbstractNoising)
    net = _by_coordinate(step, p, ctx)
    t, counted = _times(step, p, ctx.noise["time"])
    here = net.at(t, x.dtype)
    x = here.noised(net.data(x), ctx.noise["noise"])
    # σ s = -ε̂ and σ² ∂s = -σ ∂ε̂; σ stands inside, since it may differ from coordinate to coordinate.
    scaled, trace = exact_trace(lambda at: -here.sigma * net(at, t, here).noise, x)
    return (0.5 * sum_event((scaled / here.sigma) ** 2, ctx.event) + trace) * counted


def ssm(op: Ssm, step: AbstractLearnedPath, p: Parameters, x: Tensor, ctx: StepContext) -> Tensor:
    """(batch,): the same with the trace, or the trace and the square, along random directions."""
    if isinstance(step, Unsolved):
        return _simulated(op, step, p, x, ctx)
    assert isinstance(step, AbstractNoising)
    net, probe = _by_coordinate(step, p, ctx), ctx.noise["probe"]
    t, counted = _times(step, p, ctx.noise["time"])
    here = net.at(t, x.dtype)
    x = here.noised(net.data(x), ctx.noise["noise"])
    scaled, trace, _ = estimate(lambda at: -here.sigma * net(at, t, here).noise, x, probe)
    return (_sliced(op, scaled / here.sigma, probe) + trace) * counted


def _simulated(op: Ism | Ssm, step: Unsolved, p: Parameters, x: Tensor, ctx: StepContext) -> Tensor:
    """(batch,): ½ sᵀ W s + ∇·(W s) at simulated states."""
    dropped = ctx.noise["drop"] < step.drop if step.drop and ctx.training else None
    net = Reversed(step, p, ctx.event, ctx.plan.step, ctx.given, ctx.given_type, ctx.training, dropped)
    t, _ = _times(step, p, ctx.noise["time"])
    found, trace, weight = implicit(net, simulated(step, net.law, x, t, ctx.noise), t, ctx.noise.get("probe"))
    # √W s, which is 0 where no noise moves the state.
    score = found / weight.clamp(min=torch.finfo(weight.dtype).tiny).sqrt()
    square = _sliced(op, score, ctx.noise["probe"]) if isinstance(op, Ssm) else 0.5 * sum_event(score**2, ctx.event)
    return square + trace


def _sliced(op: Ssm, score: Tensor, probe: Tensor) -> Tensor:
    """½ ‖s‖², whole or along the random directions."""
    score = score.reshape(score.shape[0], -1)
    whole = score.square().sum(1) if op.variance_reduced else (probe @ score.unsqueeze(2)).square().squeeze(2).mean(1)
    return 0.5 * whole


# ---- without an arrow -----------------------------------------------------------------------------------------------


def dsm_of(op: Dsm, p: Parameters, x: Tensor, ctx: ScoreContext) -> tuple[Tensor, dict[str, Tensor]]:
    """(batch,): ½ ‖σ s(x + σ ε) + ε‖²."""
    assert op.sigma is not None
    noise = ctx.noise["noise"]
    return 0.5 * sum_event((op.sigma * ctx.law.score(x + op.sigma * noise) + noise) ** 2, ctx.event), {}


def ism_of(op: Ism, p: Parameters, x: Tensor, ctx: ScoreContext) -> tuple[Tensor, dict[str, Tensor]]:
    """(batch,): ½ ‖s‖² + tr ∂s/∂x."""
    score, trace = ctx.law.score_and_trace(x)
    return 0.5 * sum_event(score**2, ctx.event) + trace, {}


def ssm_of(op: Ssm, p: Parameters, x: Tensor, ctx: ScoreContext) -> tuple[Tensor, dict[str, Tensor]]:
    """(batch,): the same with the trace, or the trace and the square, along random directions."""
    probe = ctx.noise["probe"]
    score, trace, _ = estimate(ctx.law.score, x, probe)
    return _sliced(op, score, probe) + trace, {}


def vlb(op: Vlb, step: AbstractNoising, p: Parameters, x: Tensor, ctx: StepContext) -> Tensor:
    """(batch,): T · (L_{t-1} or L_0) + L_T; in continuous time (T - t_0) ½ g²/σ² ‖ε̂ - ε‖² + L_0 + L_T."""
    net, noise = _by_coordinate(step, p, ctx), ctx.noise["noise"]
    x, (t, counted) = net.data(x), _times(step, p, ctx.noise["time"])
    if not isinstance(step, Markov):
        begin, here = step.start(ctx.event.shape), net.at(t, x.dtype)
        found = net(here.noised(x, noise), t, here)
        lost = net.likelihood_squares(t, here, found.noise - noise)
        first = net.at(torch.full((1,), begin, dtype=torch.float64, device=x.device), x.dtype)
        entropy = (0.5 * math.log(2 * math.pi * math.e) - first.log_snr / 2).expand_as(x)
        ends = sum_event(_end(net, step, x) + entropy, ctx.event)
        return counted * (net.path.high - begin) * 0.5 * sum_event(lost, ctx.event) + ends
    kept = term(net, step, x, t, noise, op.trains == "variance")
    return (step.high - step.low + 1) * kept + sum_event(_end(net, step, x), ctx.event)


def _end(net: Denoiser, step: AbstractNoising, x: Tensor) -> Tensor:
    """KL(q(x_T | x_0) ‖ p(x_T)), by the coordinate."""
    last = net.at(torch.full((1,), net.path.high, dtype=torch.float64, device=x.device), x.dtype)
    if step.end is None:
        return 0.5 * (last.alpha * x / last.sigma) ** 2
    loc, scale = (torch.tensor(v, dtype=x.dtype, device=x.device).reshape(_sides(v, x)) for v in step.end)
    ratio, gap = last.sigma / scale, (last.alpha * x + last.mean - loc) / scale
    return 0.5 * (ratio**2 + gap**2 - 1) - ratio.log()


def _sides(values: tuple[float, ...], x: Tensor) -> tuple[int, ...]:
    """One number for the whole event, or one for each coordinate of it."""
    return (1,) * x.dim() if len(values) == 1 else (1, *x.shape[1:])


TWINS: dict[Any, TermTwin] = {
    cls: TermTwin(function, _tables, _plan) for cls, function in ((Dsm, dsm), (Ism, ism), (Ssm, ssm), (Vlb, vlb))
}
SCORES: dict[Any, ScoreTwin] = {Dsm: ScoreTwin(dsm_of), Ism: ScoreTwin(ism_of), Ssm: ScoreTwin(ssm_of)}
