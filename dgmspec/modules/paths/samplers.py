"""Torch twins of the samplers along a noising path: each is a loop over falling times, from noise to clean data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from dgmspec.modules.paths.chain import spreads
from dgmspec.modules.paths.coefficients import AnyAt, AnyRates
from dgmspec.modules.paths.descent import ByCoordinate, Journey
from dgmspec.ops.paths.chain import Markov
from dgmspec.ops.paths.samplers import (
    AbstractPathSampler,
    Ancestral,
    AnnealedLangevin,
    Ddim,
    PfOde,
    ReverseSde,
)

__all__ = ["TWINS"]

K = TypeVar("K", bound=AnyAt)
R = TypeVar("R", bound=AnyRates)


# ---- posterior steps ------------------------------------------------------------------------------------------------


def _down(journey: ByCoordinate, x: Tensor, i: int, eta: float) -> Tensor:
    """From time i to time i + 1: the mean of q(x_s | x_t, x̂_0) with a share of its noise."""
    t, s, found = journey.at(i), journey.at(i + 1), journey.predict(x, i)
    if not eta:
        return s.alpha * found.clean + s.mean + s.sigma * found.noise
    # τ² = σ_s² σ_{t|s}² / σ_t² = σ_s² (1 - e^{λ_t - λ_s})
    share = -torch.expm1(t.log_snr - s.log_snr)
    deviation = eta * s.sigma * share.clamp(min=0).sqrt()
    kept = (s.sigma**2 - deviation**2).clamp(min=0).sqrt()
    return s.alpha * found.clean + s.mean + kept * found.noise + deviation * journey.noise()


def ancestral(op: Ancestral, journey: ByCoordinate, x: Tensor) -> Tensor:
    """``ddim`` with all of the noise."""
    step = journey.net.op
    if isinstance(step, Markov) and step.settings.variance != "posterior":
        return journey.fall(x, lambda x, i: _down_by(journey, x, i, step))
    return journey.fall(x, lambda x, i: _down(journey, x, i, 1.0))


def _down_by(journey: ByCoordinate, x: Tensor, i: int, step: Markov) -> Tensor:
    """The mean of q(x_s | x_t, x̂_0) with the reverse step's own noise."""
    t, s, found = journey.at(i), journey.at(i + 1), journey.predict(x, i)
    kept = ((t.log_snr - s.log_snr) / 2).exp()
    moved = s.alpha * found.clean + s.mean + s.sigma * kept * found.noise
    return moved + spreads(step, found, t, s)[1].sqrt() * journey.noise()


def ddim(op: Ddim, journey: ByCoordinate, x: Tensor) -> Tensor:
    """Steps with a share `eta` of the noise."""
    return journey.fall(x, lambda x, i: _down(journey, x, i, op.eta))


# ---- the reverse process --------------------------------------------------------------------------------------------


def reverse_sde(op: ReverseSde, journey: Journey[Any, Any], x: Tensor) -> Tensor:
    """Predictor steps by `solver`, each followed by the correctors."""
    step: Any = {
        "euler_maruyama": _euler_maruyama,
        "heun": _heun_maruyama,
        "exponential": _exponential,
    }[op.solver]

    def run(x: Tensor, i: int) -> Tensor:
        x = step(journey, x, i)
        for _ in range(op.corrector):
            x = _correct(journey, x, i + 1, op.snr)
        return x

    return journey.fall(x, run)


def _backward(journey: Journey[K, R], x: Tensor, i: int) -> Tensor:
    """f - G Gᵀ s at time i."""
    flow = journey.rates(i)
    return flow.drift(x) - flow.pull(journey.predict(x, i).score)


def _steep(journey: Journey[K, R], x: Tensor, i: int) -> bool:
    """Whether time i is the last and the process has no rates there, as noise that rises like a root of the time has
    none where it begins: the step to it reads its beginning alone."""
    if i + 1 < len(journey.times):
        return False
    flow = journey.rates(i)
    return not bool(torch.isfinite(flow.drift(x) + flow.pull(x)).all())


def _euler_maruyama(journey: Journey[K, R], x: Tensor, i: int) -> Tensor:
    span = journey.times[i] - journey.times[i + 1]
    return x - span * _backward(journey, x, i) + journey.rates(i).kick(journey.noise(), span)


def _heun_maruyama(journey: Journey[K, R], x: Tensor, i: int) -> Tensor:
    """The drift's mean over both ends, with one noise."""
    span, z, here = journey.times[i] - journey.times[i + 1], journey.noise(), journey.rates(i)
    first = _backward(journey, x, i)
    if _steep(journey, x, i + 1):
        return x - span * first + here.kick(z, span)
    second = _backward(journey, x - span * first + here.kick(z, span), i + 1)
    return x - span * (first + second) / 2 + here.halfway(journey.rates(i + 1)).kick(z, span)


def _exponential(journey: ByCoordinate, x: Tensor, i: int) -> Tensor:
    """x_s = (α_s/α_t) y - 2 σ_s (e^h - 1) ε̂ + σ_s √(e^{2h} - 1) z with h = (λ_s - λ_t)/2, for y = x - m."""
    t, s, found = journey.at(i), journey.at(i + 1), journey.predict(x, i)
    half = (s.log_snr - t.log_snr) / 2
    moved = s.alpha / t.alpha * (x - t.mean) - 2 * s.sigma * torch.expm1(half) * found.noise
    return moved + s.mean + s.sigma * torch.expm1(2 * half).clamp(min=0).sqrt() * journey.noise()


def _correct(journey: ByCoordinate, x: Tensor, i: int, snr: float) -> Tensor:
    """One Langevin step at time i, of size η = 2 (snr σ)²: the score is about 1/σ long in each coordinate."""
    found = journey.predict(x, i)
    size = 2 * (snr * found.at.sigma) ** 2
    return x + size * found.score + (2 * size).sqrt() * journey.noise()


# ---- the probability flow -------------------------------------------------------------------------------------------


def pf_ode(op: PfOde, journey: Journey[Any, Any], x: Tensor) -> Tensor:
    """Steps by `solver`."""
    if op.solver in ("dpm_solver", "deis"):
        return journey.fall(x, (_Dpm if op.solver == "dpm_solver" else _Deis)(journey))
    return journey.fall(x, lambda x, i: _flow_step(journey, x, i, op.solver == "heun"))


def _velocity(journey: Journey[K, R], x: Tensor, i: int) -> Tensor:
    """f - G Gᵀ s / 2."""
    return journey.net.velocity(x, journey.time(i), journey.predict(x, i))


def _flow_step(journey: Journey[K, R], x: Tensor, i: int, twice: bool) -> Tensor:
    span = journey.times[i] - journey.times[i + 1]
    first = _velocity(journey, x, i)
    if not twice or _steep(journey, x, i + 1):
        return x - span * first
    return x - span * (first + _velocity(journey, x - span * first, i + 1)) / 2


class _Dpm:
    """DPM-Solver++ 2M: with h = (λ_s - λ_t)/2, x_s = (σ_s/σ_t) y - α_s (e^{-h} - 1) D + m_s, where D extrapolates the
    predicted data to the middle of the step from this time and the last."""

    def __init__(self, journey: ByCoordinate) -> None:
        self.journey = journey
        self.before: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor, i: int) -> Tensor:
        t, s, clean = self.journey.at(i), self.journey.at(i + 1), self.journey.predict(x, i).clean
        half = (s.log_snr - t.log_snr) / 2
        data = clean
        if self.before is not None:
            last, span = self.before
            data = clean + half / (2 * span) * (clean - last)
        # From a time without signal the step has no length in λ: it is first order, and no history for the next.
        self.before = (clean, half) if bool(torch.isfinite(half).all()) else None
        return s.sigma / t.sigma * (x - t.mean) - s.alpha * torch.expm1(-half) * data + s.mean


class _Deis:
    """Third-order multistep rule on ε̂ in ρ = σ/α, where d((x - m)/α)/dρ = ε: the integral of the parabola through the
    last three predictions (fewer at the start)."""

    def __init__(self, journey: ByCoordinate) -> None:
        self.journey = journey
        self.history: list[tuple[Tensor, Tensor]] = []

    def __call__(self, x: Tensor, i: int) -> Tensor:
        t, s, found = self.journey.at(i), self.journey.at(i + 1), self.journey.predict(x, i)
        here, there = (-t.log_snr / 2).exp(), (-s.log_snr / 2).exp()
        if not bool(torch.isfinite(here).all()):
            return s.alpha * found.clean + s.mean + s.sigma * found.noise
        self.history = [(here, found.noise), *self.history][:3]
        return s.alpha * ((x - t.mean) / t.alpha + _integral(self.history, here, there)) + s.mean


def _integral(history: list[tuple[Tensor, Tensor]], start: Tensor, end: Tensor) -> Tensor:
    """∫ from start to end of the polynomial through (ρ, ε) points, by Simpson's rule, exact up to cubics."""
    middle = (start + end) / 2
    values = [_polynomial(history, at) for at in (start, middle, end)]
    return (end - start) / 6 * (values[0] + 4 * values[1] + values[2])


def _polynomial(history: list[tuple[Tensor, Tensor]], at: Tensor) -> Tensor:
    """Lagrange's polynomial through the points."""
    total = torch.zeros_like(history[0][1])
    for j, (here, value) in enumerate(history):
        weight = torch.ones_like(at)
        for k, (other, _) in enumerate(history):
            if k != j:
                weight = weight * (at - other) / (here - other)
        total = total + weight * value
    return total


# ---- Langevin -------------------------------------------------------------------------------------------------------


def annealed_langevin(op: AnnealedLangevin, journey: ByCoordinate, x: Tensor) -> Tensor:
    """`op.steps` steps at each time of the grid."""
    last = journey.at(len(journey.times) - 1).sigma
    for i in range(len(journey.times)):
        size = op.step_size * (journey.at(i).sigma / last) ** 2
        for _ in range(op.steps):
            x = x + size / 2 * journey.predict(x, i).score + size.sqrt() * journey.noise()
            x = journey.settle(x, i)
        journey.told(i)
    return journey.end(x)


Twin = Callable[[Any, Any, Tensor], Tensor]
"""(op, journey, x at the first time) -> clean data; `reverse_sde` and `pf_ode` run along any path."""

TWINS: Mapping[type[AbstractPathSampler], Twin] = {
    ReverseSde: reverse_sde,
    PfOde: pf_ode,
    Ancestral: ancestral,
    Ddim: ddim,
    AnnealedLangevin: annealed_langevin,
}
