"""The probability flow of a noising arrow, dx/dt = f - g² s / 2, as a bijection from data to noise with its log-det.

It is solved for z = (x - m)/r with r² = α² + σ². With tan φ = σ/α this is cos φ x_0 + sin φ ε, so the flow is

    dz/dφ = v̂ = (α ε̂ - σ x̂_0)/r,    dφ/dt = (σ' α - α' σ)/r²,

whatever α and σ are: the stiff linear part of the drift is gone, and its log-det, D log r, is in closed form. What of v̂
is linear in z, -(σ/α) z + (r/α) ε̂ or (α/σ) z - (r/σ) x̂_0 (the second where clean data or v are learned, so that no
signal may be left), has its trace in closed form too; the net's is exact, or estimated along fixed directions. The
solver runs over √t, in which φ moves evenly where σ² grows like t.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from dgmspec.modules.continuous.ode import solver_of
from dgmspec.modules.paths.coefficients import At
from dgmspec.modules.paths.denoiser import Denoiser
from dgmspec.modules.solvers import SolverError, integrate
from dgmspec.modules.traces import estimate, exact_trace, probes
from dgmspec.modules.twin import Parameters, StepContext
from dgmspec.ops.continuous import Hutchinson
from dgmspec.ops.paths.noising import AbstractNoising

__all__ = ["backward", "forward"]

_PROBES, _CONTEXT = "probes", "context"


def forward(op: AbstractNoising, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """From the earliest time in use to the end."""
    return _solved(op, p, x, ctx, along=True)


def backward(op: AbstractNoising, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """From the end to the earliest time in use."""
    return _solved(op, p, x, ctx, along=False)


def _solved(op: AbstractNoising, p: Parameters, x: Tensor, ctx: StepContext, along: bool) -> tuple[Tensor, Tensor]:
    how = op.likelihood
    assert how is not None, f"{op.name} has no probability flow"
    trace, path = how.trace_of(ctx.event), ctx.plan.path
    known: dict[str, Tensor] = dict(p)
    if ctx.given is not None:
        known[_CONTEXT] = ctx.given
    if ctx.counted and isinstance(trace, Hutchinson):
        known[_PROBES] = probes(trace.probes, ctx.noise["probe"])
    field = _Field(op, ctx, trace if ctx.counted else None)
    early = math.sqrt((op.start(ctx.event.shape) - path.low) / (path.high - path.low))
    begin, end = (early, 1.0) if along else (1.0, early)
    first, last = field.scale(begin, x, known), field.scale(end, x, known)
    try:
        z = (x - first.mean) / first.radius
        found = integrate(field, z, begin, end, known, solver_of(how.solver), rates=int(ctx.counted))
    except SolverError as error:
        raise error.at(ctx.address) from error
    y = last.radius * found.y + last.mean
    if not ctx.counted:
        return y, x.new_zeros(())
    grown = (last.radius / first.radius).log().flatten(1)
    return y, found.integrals[0] + grown.sum(1) * (ctx.event.size // grown.shape[1])


class _Scale(NamedTuple):
    """x = radius z + mean at one time."""

    mean: Tensor
    radius: Tensor


class _Field:
    """(u, z, values) -> (dz/du, trace): what a solver runs."""

    def __init__(self, op: AbstractNoising, ctx: StepContext, trace: object) -> None:
        self.op, self.ctx, self.trace = op, ctx, trace
        self.low, self.span = ctx.plan.path.low, ctx.plan.path.high - ctx.plan.path.low

    def __call__(self, u: float | Tensor, z: Tensor, p: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        net, t = self._net(p), self._time(u, z)
        here = net.at(t, z.dtype)
        change, radius = net.slopes(t, here), _radius(here)
        # dφ/du, with dt/du = 2 √(span (t - low))
        pace = (change.sigma * here.alpha - change.alpha * here.sigma) / radius**2
        pace = pace * _shaped(2 * (self.span * (t - self.low)).sqrt(), z).to(z.dtype)
        learned, linear = self._parts(net, t, here, radius)
        if self.trace is None:
            return (pace * (learned(z) + linear * z),)

        def paced(at: Tensor) -> Tensor:
            return pace * learned(at)

        found = estimate(paced, z, p[_PROBES])[:2] if isinstance(self.trace, Hutchinson) else exact_trace(paced, z)
        turned = (pace * linear).flatten(1)
        return found[0] + pace * linear * z, found[1] + turned.sum(1) * (self.ctx.event.size // turned.shape[1])

    def _parts(self, net: Denoiser, t: Tensor, here: At, radius: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """The net's part of v̂ as a function of z, and the factor of z in the rest."""
        clean = self.op.learn != "noise" and self.op.learn != "score"
        linear, factor = (here.alpha, -radius) if clean else (-here.sigma, radius)
        below = here.sigma if clean else here.alpha

        def learned(z: Tensor) -> Tensor:
            found = net(radius * z + here.mean, t, here)
            return factor / below * (found.clean if clean else found.noise)

        return learned, linear / below

    def scale(self, u: float, x: Tensor, p: Mapping[str, Tensor]) -> _Scale:
        """How x and z belong together at an end."""
        here = self._net(p).at(self._time(u, x), x.dtype)
        return _Scale(here.mean, _radius(here))

    def _net(self, p: Mapping[str, Tensor]) -> Denoiser:
        ctx = self.ctx
        return Denoiser(self.op, p, ctx.event, ctx.plan, p.get(_CONTEXT), ctx.given_type, ctx.training)

    def _time(self, u: float | Tensor, x: Tensor) -> Tensor:
        u = u.reshape(-1) if isinstance(u, Tensor) else torch.full((1,), u, dtype=torch.float64, device=x.device)
        t: Tensor = self.low + self.span * u.double() ** 2
        return t


def _radius(here: At) -> Tensor:
    radius: Tensor = (here.alpha**2 + here.sigma**2).sqrt()
    return radius


def _shaped(rows: Tensor, x: Tensor) -> Tensor:
    """One value a row against events."""
    return rows.reshape(-1, *(1,) * (x.dim() - 1))
