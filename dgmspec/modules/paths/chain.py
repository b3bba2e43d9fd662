"""The variational bound of a `markov`: its terms, and the step that draws x_T and adds them up.

log p(x_0) ≥ E[log p(x_T) - log q(x_T | x_0) - Σ KL(q(x_{t-1} | x_t, x_0) ‖ p(x_{t-1} | x_t)) + log p(x_0 | x_1)]

over t > 1, each x_t drawn from its kernel. The normals' means differ by α_s σ_{t|s}²/σ_t² (x_0 - x̂_0).
Ho, Jain and Abbeel 2020, equation 5.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dgmspec.modules.paths.denoiser import Denoiser
from dgmspec.modules.twin import Parameters, StepContext, sum_event
from dgmspec.ops.paths.arrows import Markov

__all__ = ["forward", "inverse", "noised", "term"]

_NUMBERS = 2**22
"""Numbers that are given to the net at once."""


def noised(net: Denoiser, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """x_t = α x_0 + m + σ ε."""
    here = net.at(t, x.dtype)
    return here.alpha * x + here.mean + here.sigma * noise


def term(net: Denoiser, step: Markov, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """(batch,): the divergence of time t, or -log p(x_0 | x_1) at the first."""
    found = net(noised(net, x, t, noise), t)
    first = (t == step.low).reshape(-1, *(1,) * (x.dim() - 1))
    here, before = found.at, net.at((t - 1).clamp(min=step.low), x.dtype)
    gap = (found.clean - x) ** 2
    # σ_{t|s}² = σ_t² (1 - e^{λ_t - λ_s}); at t = 1 there is no s, and the step is the whole kernel.
    share = torch.where(first, 1.0, -torch.expm1(here.log_snr - before.log_snr))
    forward = here.sigma**2 * share
    posterior = torch.where(first, 1.0, before.sigma**2 * share)
    variance = posterior if step.settings.variance == "posterior" else torch.where(first, 1.0, forward)
    ratio = posterior / variance
    kl = 0.5 * (ratio - 1 - ratio.log() + (before.alpha * share) ** 2 * gap / variance)
    start = 0.5 * (math.log(2 * math.pi) + forward.log() + gap / forward)
    return sum_event(torch.where(first, start, kl), net.event)


def forward(op: Markov, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """A draw of x_T, and the bound's terms but the prior's."""
    net = Denoiser(op, p, ctx.event, ctx.plan, ctx.given, ctx.given_type, ctx.training)
    noise, levels = ctx.noise["chain"], ctx.plan.path.levels
    total, at_once = x.new_zeros(x.shape[0]), max(1, _NUMBERS // max(x.numel(), 1))
    for first in range(0, len(levels), at_once):
        some = levels[first : first + at_once]
        t = torch.tensor(some, dtype=x.dtype, device=x.device).repeat(x.shape[0])
        rows = x.repeat_interleave(len(some), 0)
        c = None if ctx.given is None else ctx.given.repeat_interleave(len(some), 0)
        many = Denoiser(op, p, ctx.event, ctx.plan, c, ctx.given_type, ctx.training)
        drawn = noise[:, first : first + len(some)].reshape(rows.shape)
        total = total + term(many, op, rows, t, drawn).reshape(x.shape[0], -1).sum(1)
    end = net.at(torch.full((1,), levels[-1], dtype=torch.float64, device=x.device), x.dtype)
    last = noise[:, -1]
    entropy = 0.5 * (last**2 + math.log(2 * math.pi)) + end.sigma.log()
    return end.alpha * x + end.mean + end.sigma * last, sum_event(entropy, ctx.event) - total


def inverse(op: Markov, p: Parameters, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """Samples come step by step from `ancestral`, outside of the programs."""
    raise AssertionError("a chain is sampled by `ancestral`")
