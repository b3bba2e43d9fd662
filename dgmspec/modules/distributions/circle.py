"""The von Mises law, by the Fourier series of its distribution function.

With ρ_j = I_j(κ) / I_0(κ), ``F(x) = 1/2 + x / 2π + Σ_j ρ_j sin(j x) / (j π)``, and ``1 + 2 Σ_j ρ_j = exp(κ) / I_0(κ)``.
The ratios fall off like exp(-j² / 2κ); they come from their three-term recurrence run downwards, which is stable.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from dgmspec.core.types import interval
from dgmspec.modules.distributions.values import Values, open_unit, total, value_of
from dgmspec.modules.scalar.circle import wrap
from dgmspec.modules.solve import solve
from dgmspec.modules.twin import DistributionTwin, StepContext
from dgmspec.ops.distributions import VonMises

_RATIOS: Final[dict[float, tuple[float, ...]]] = {}
"""The ratios of each concentration met so far: a plain dictionary, which a compiled graph can read."""


def bessel_ratios(kappa: float) -> tuple[float, ...]:
    """I_j(κ) / I_0(κ) for j = 1, 2, … until they no longer count."""
    if kappa not in _RATIOS:
        count = int(9 * math.sqrt(kappa)) + 20
        values, above, here = [], 0.0, 1e-300
        for j in range(count + 10, 0, -1):
            above, here = here, above + 2 * j / kappa * here
            values.append(here)
            if here > 1e250:
                values, above, here = [v / here for v in values], above / here, 1.0
        _RATIOS[kappa] = tuple(v / values[-1] for v in reversed(values[:-1]))[:count]
    return _RATIOS[kappa]


def _log_scaled_bessel(kappa: float) -> float:
    """log(I_0(κ) exp(-κ))."""
    return -math.log(1 + 2 * sum(bessel_ratios(kappa)))


def _log_density(kappa: float, x: Tensor) -> Tensor:
    """The density for loc = 0, up to its constant: κ (cos x - 1), without cancellation."""
    return -2 * kappa * torch.sin(x / 2).square()


def _quantile(kappa: float, u: Tensor) -> Tensor:
    """F⁻¹(u), by symmetry from the distance of u to 1/2."""
    constant = -math.log(2 * math.pi) - _log_scaled_bessel(kappa)

    def mass(x: Tensor) -> tuple[Tensor, Tensor]:
        before, here, twice = torch.zeros_like(x), torch.sin(x), 2 * torch.cos(x)
        value = x / (2 * math.pi)
        for j, ratio in enumerate(bessel_ratios(kappa), 1):
            value = value + here * (ratio / (j * math.pi))
            before, here = here, twice * here - before
        return value, _log_density(kappa, x) + constant

    half = torch.full_like(u, math.pi)
    return solve(mass, u - 0.5, interval(-math.pi, math.pi), bracket=(-half, half))[0]


def _von_mises_log_prob(op: VonMises, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    kappa = op.kappa
    term = _log_density(kappa, x - value_of(op, p, "loc", x))
    return total(term, -math.log(2 * math.pi) - _log_scaled_bessel(kappa), ctx.event)


def _von_mises_draw(op: VonMises, p: Values, ctx: StepContext, batch: int) -> Tensor:
    u = open_unit(ctx.noise["noise"])
    return wrap(_quantile(op.kappa, u) + value_of(op, p, "loc", u))


TWINS: Final = {VonMises: DistributionTwin(_von_mises_log_prob, _von_mises_draw)}
