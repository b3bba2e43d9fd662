"""The variational bound of a `markov`: its terms, and the step that draws x_T and adds them up.

log p(x_0) ≥ E[log p(x_T) - log q(x_T | x_0) - Σ KL(q(x_{t-1} | x_t, x_0) ‖ p(x_{t-1} | x_t)) + log p(x_0 | x_1)]

over t > 1, each x_t drawn from its kernel. The normals' means differ by α_s σ_{t|s}²/σ_t² (x_0 - x̂_0). Of whole
numbers p(x_0 | x_1) is the mass of their cell. Ho, Jain and Abbeel 2020, equations 5 and 13.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dgmspec.core.types import Support, SupportKind
from dgmspec.modules.paths.coefficients import At
from dgmspec.modules.paths.denoiser import Denoiser, Predicted, step_plan, step_tables
from dgmspec.modules.twin import Parameters, StepContext, StepTwin, by_row, sum_event
from dgmspec.ops.paths.chain import Markov

__all__ = ["TWINS", "cell", "spreads", "term"]

_NUMBERS = 2**22
"""Numbers that are given to the net at once."""


def spreads(step: Markov, found: Predicted[At], t: At, s: At) -> tuple[Tensor, Tensor]:
    """The variances of q(x_s | x_t, x_0) and of the reverse step p(x_s | x_t), with t and s as rows.

    σ_{t|s}² = σ_t² (1 - e^{λ_t - λ_s}) is the forward one, σ_s² (1 - e^{λ_t - λ_s}) the posterior's; a learned one lies
    between their logarithms (Nichol and Dhariwal 2021, equation 15).
    """
    share = -torch.expm1(t.log_snr - s.log_snr)
    posterior = s.sigma**2 * share
    if found.between is not None:
        return posterior, _between(found.between, posterior, t.sigma**2 * share)
    return posterior, posterior if step.settings.variance == "posterior" else t.sigma**2 * share


def _between(share: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return (share * high.log() + (1 - share) * low.log()).exp()


def term(net: Denoiser, step: Markov, x: Tensor, t: Tensor, noise: Tensor, still: bool = False) -> Tensor:
    """(batch,): the divergence of time t, or -log p(x_0 | x_1) at the first; `still` lets no gradient to the means."""
    here = net.at(t, x.dtype)
    found = net(here.noised(x, noise), t, here)
    if still:
        found = found._replace(clean=found.clean.detach())
    first = by_row(t == step.low, x)
    # At t = 1 there is no s: of the second step, which every chain has, the numbers are finite.
    later = net.at(t.clamp(min=step.low + 1), x.dtype)
    before = net.at(t.clamp(min=step.low + 1) - 1, x.dtype)
    posterior, variance = spreads(step, found, later, before)
    ratio, weight = posterior / variance, before.alpha * -torch.expm1(later.log_snr - before.log_snr)
    kl = 0.5 * (ratio - 1 - ratio.log() + weight**2 * (found.clean - x) ** 2 / variance)
    return sum_event(torch.where(first, _start(net, found, x, posterior), kl), net.event)


def _start(net: Denoiser, found: Predicted[At], x: Tensor, second: Tensor) -> Tensor:
    """-log p(x_0 | x_1): the step is the whole kernel, and a learned variance lies between it and that of `second`."""
    variance = found.at.sigma**2
    if found.between is not None:
        variance = _between(found.between, second, variance)
    if net.event.support.kind is SupportKind.INTEGER:
        return -cell(x, found.clean, variance.sqrt(), net.event.support)
    return 0.5 * (math.log(2 * math.pi) + variance.log() + (found.clean - x) ** 2 / variance)


def cell(x: Tensor, mean: Tensor, deviation: Tensor, support: Support) -> Tensor:
    """The log-mass of a normal law in the cell of x, the first and the last cell open to the side.

    log(Φ(b) - Φ(a)) = log Φ(b) + log(1 - exp(log Φ(a) - log Φ(b))), on the side of 0 where neither is near 1.
    """
    half = 1 / (support.high - support.low + 1)
    low, high = (x - half - mean) / deviation, (x + half - mean) / deviation
    turned = low + high > 0
    a, b = torch.where(turned, -high, low), torch.where(turned, -low, high)
    lower, upper = torch.special.log_ndtr(a), torch.special.log_ndtr(b)
    eps = torch.finfo(x.dtype).eps
    inside = upper + torch.log(-torch.expm1((lower - upper).clamp(max=-eps)))
    first, last = x < 2 * half - 1, x > 1 - 2 * half
    found = torch.where(last, torch.special.log_ndtr(-low), inside)
    return torch.where(first, torch.special.log_ndtr(high), found)


def forward(op: Markov, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """A draw of x_T, and the bound's terms but the prior's."""
    net = Denoiser(op, p, ctx.event, ctx.plan, ctx.given, ctx.given_type, ctx.training)
    noise, levels, x = ctx.noise["chain"], ctx.plan.path.levels, net.data(x)
    total, at_once = x.new_zeros(x.shape[0]), max(1, _NUMBERS // max(x.numel(), 1))
    for first in range(0, len(levels), at_once):
        some = levels[first : first + at_once]
        t = torch.tensor(some, dtype=x.dtype, device=x.device).repeat(x.shape[0])
        rows = x.repeat_interleave(len(some), 0)
        c = None if ctx.given is None else ctx.given.repeat_interleave(len(some), 0)
        many = Denoiser(op, p, ctx.event, ctx.plan, c, ctx.given_type, ctx.training)
        drawn = noise[:, first : first + len(some)].reshape(rows.shape)
        total = total + term(many, op, rows, t, drawn).reshape(x.shape[0], len(some)).sum(1)
    end = net.at(torch.full((1,), levels[-1], dtype=torch.float64, device=x.device), x.dtype)
    last = noise[:, -1]
    entropy = 0.5 * (last**2 + math.log(2 * math.pi)) + end.sigma.log()
    return end.alpha * x + end.mean + end.sigma * last, sum_event(entropy, ctx.event) - total


def inverse(op: Markov, p: Parameters, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """Samples come step by step from `ancestral`, outside of the programs."""
    raise AssertionError("a chain is sampled by `ancestral`")


TWINS = {Markov: StepTwin(forward, inverse, tables=step_tables, plan=step_plan)}
