"""Torch twins of the losses that match scores: one number a row, along a path from clean values, a time and noise."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from dgmspec.modules.expressions import Prepared, as_tensor
from dgmspec.modules.paths.coefficients import At
from dgmspec.modules.paths.terms import by_coordinate, draw_times, net_of, path_term, reversed_of
from dgmspec.modules.paths.unsolved import implicit, noised
from dgmspec.modules.traces import estimate, exact_trace
from dgmspec.modules.twin import (
    Parameters,
    ScoreContext,
    ScoreTwin,
    StepContext,
    TermTwin,
    by_row,
    flat_rows,
    sum_event,
)
from dgmspec.ops.paths.learned import AbstractLearnedPath
from dgmspec.ops.paths.losses import Dsm, Ism, Ssm
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.ops.paths.unsolved import Unsolved

__all__ = ["SCORES", "TWINS"]


def dsm(op: Dsm, step: AbstractNoising, p: Parameters, x: Tensor, ctx: StepContext) -> Tensor:
    """(batch,): factor · ½ ‖ε̂ - ε‖²."""
    net, noise = net_of(step, p, ctx), ctx.noise["noise"]
    t, counted = draw_times(step, p, ctx.noise["time"])
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


def _factor(op: Dsm, time: str, here: At, t: Tensor, weight: Prepared | None) -> Tensor:
    """What multiplies the squared error of the noise."""
    if op.weight == "snr":
        return (-here.log_snr).exp().clamp(min=1.0)
    if op.weight == "min_snr":
        return (math.log(op.gamma) - here.log_snr).exp().clamp(max=1.0)
    assert weight is not None
    env = {"alpha": here.alpha, "sigma": here.sigma, "snr": here.log_snr.exp()}
    times = by_row(t, here.sigma)
    return as_tensor(weight({**env, time: times}, here.sigma), here.sigma) / here.sigma**2


def ism(op: Ism, step: AbstractLearnedPath, p: Parameters, x: Tensor, ctx: StepContext) -> Tensor:
    """(batch,): σ² (½ ‖s‖² + tr ∂s/∂x) at x_t."""
    if isinstance(step, Unsolved):
        return _simulated(op, step, p, x, ctx)
    assert isinstance(step, AbstractNoising)
    net = by_coordinate(step, p, ctx)
    t, counted = draw_times(step, p, ctx.noise["time"])
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
    net, probe = by_coordinate(step, p, ctx), ctx.noise["probe"]
    t, counted = draw_times(step, p, ctx.noise["time"])
    here = net.at(t, x.dtype)
    x = here.noised(net.data(x), ctx.noise["noise"])
    scaled, trace, _ = estimate(lambda at: -here.sigma * net(at, t, here).noise, x, probe)
    return (_sliced(op, scaled / here.sigma, probe) + trace) * counted


def _simulated(op: Ism | Ssm, step: Unsolved, p: Parameters, x: Tensor, ctx: StepContext) -> Tensor:
    """(batch,): ½ sᵀ W s + ∇·(W s) at simulated states."""
    net, (t, _) = reversed_of(step, p, ctx), draw_times(step, p, ctx.noise["time"])
    found, trace, weight = implicit(net, noised(step, net.law, x, t, ctx.noise), t, ctx.noise.get("probe"))
    # √W s, which is 0 where no noise moves the state.
    score = found / weight.clamp(min=torch.finfo(weight.dtype).tiny).sqrt()
    square = _sliced(op, score, ctx.noise["probe"]) if isinstance(op, Ssm) else 0.5 * sum_event(score**2, ctx.event)
    return square + trace


def _sliced(op: Ssm, score: Tensor, probe: Tensor) -> Tensor:
    """½ ‖s‖², whole or along the random directions."""
    score = flat_rows(score)
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


TWINS: dict[Any, TermTwin] = {Dsm: path_term(dsm), Ism: path_term(ism), Ssm: path_term(ssm)}
SCORES: dict[Any, ScoreTwin] = {Dsm: ScoreTwin(dsm_of), Ism: ScoreTwin(ism_of), Ssm: ScoreTwin(ssm_of)}
