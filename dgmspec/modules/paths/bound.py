"""Torch twin of the variational bound along a path: one number a row from clean values, a time and noise."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from dgmspec.modules.paths.chain import term
from dgmspec.modules.paths.denoiser import Denoiser
from dgmspec.modules.paths.terms import by_coordinate, draw_times, path_term
from dgmspec.modules.twin import Parameters, StepContext, TermTwin, sum_event
from dgmspec.ops.paths.bound import Vlb
from dgmspec.ops.paths.chain import Markov
from dgmspec.ops.paths.noising import AbstractNoising

__all__ = ["TWINS"]


def vlb(op: Vlb, step: AbstractNoising, p: Parameters, x: Tensor, ctx: StepContext) -> Tensor:
    """(batch,): T · (L_{t-1} or L_0) + L_T; in continuous time (T - t_0) ½ g²/σ² ‖ε̂ - ε‖² + L_0 + L_T."""
    net, noise = by_coordinate(step, p, ctx), ctx.noise["noise"]
    x, (t, counted) = net.data(x), draw_times(step, p, ctx.noise["time"])
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


TWINS: dict[Any, TermTwin] = {Vlb: path_term(vlb)}
