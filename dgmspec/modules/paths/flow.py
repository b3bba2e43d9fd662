"""The probability flow of a noising arrow, dx/dt = f - g² s / 2, as a bijection from data to noise with its log-det.

It is solved for z = (x - m)/r with r² = α² + σ². With tan φ = σ/α this is cos φ x_0 + sin φ ε, so the flow is

    dz/dφ = v̂ = (α ε̂ - σ x̂_0)/r,    dφ/dt = (σ' α - α' σ)/r²,

whatever α and σ are: the stiff linear part of the drift is gone, and its log-det, D log r, is in closed form. What of v̂
is linear in z, -(σ/α) z + (r/α) ε̂ or (α/σ) z - (r/σ) x̂_0 (the second where clean data or v are learned, so that no
signal may be left), has its trace in closed form too; the net's is exact, or estimated along fixed directions. The
solver runs over √t, in which φ moves evenly where σ² grows like t.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from dgmspec.modules.paths.coefficients import At
from dgmspec.modules.paths.denoiser import Denoiser
from dgmspec.modules.paths.rooted import Rooted
from dgmspec.modules.twin import Parameters, StepContext, by_row, flat_rows
from dgmspec.ops.paths.noising import AbstractNoising

__all__ = ["backward", "forward"]


def forward(op: AbstractNoising, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """From the earliest time in use to the end."""
    return _solved(op, p, x, ctx, along=True)


def backward(op: AbstractNoising, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """From the end to the earliest time in use."""
    return _solved(op, p, x, ctx, along=False)


def _solved(op: AbstractNoising, p: Parameters, x: Tensor, ctx: StepContext, along: bool) -> tuple[Tensor, Tensor]:
    path = ctx.plan.path
    root = Rooted.of(op, ctx, path.low, path.high)
    field, known = _Field(op, root), root.known(p)
    first, last = (field.scale(u, x, known) for u in root.ends(along))
    z, turned = root.solved(field, (x - first.mean) / first.radius, known, along)
    y = last.radius * z + last.mean
    if not ctx.counted:
        return y, turned
    grown = flat_rows((last.radius / first.radius).log())
    return y, turned + grown.sum(1) * (ctx.event.size // grown.shape[1])


class _Scale(NamedTuple):
    """x = radius z + mean at one time."""

    mean: Tensor
    radius: Tensor


@dataclass(frozen=True)
class _Field:
    """(u, z, values) -> (dz/du, trace): what a solver runs."""

    op: AbstractNoising
    root: Rooted

    def __call__(self, u: float | Tensor, z: Tensor, p: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        net, (t, clock) = self._net(p), self.root.time(u, z)
        here = net.at(t, z.dtype)
        change, radius = net.slopes(t, here), _radius(here)
        # dφ/du
        pace = (change.sigma * here.alpha - change.alpha * here.sigma) / radius**2 * by_row(clock, z).to(z.dtype)
        learned, linear = self._parts(net, t, here, radius)

        def paced(at: Tensor) -> Tensor:
            return pace * learned(at)

        value, *traces = self.root.traced(paced, z, p)
        turned = flat_rows(pace * linear)
        size = self.root.ctx.event.size // turned.shape[1]
        return (value + pace * linear * z, *(trace + turned.sum(1) * size for trace in traces))

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
        here = self._net(p).at(self.root.time(u, x)[0], x.dtype)
        return _Scale(here.mean, _radius(here))

    def _net(self, p: Mapping[str, Tensor]) -> Denoiser:
        ctx = self.root.ctx
        return Denoiser(self.op, p, ctx.event, ctx.plan, self.root.given(p), ctx.given_type, ctx.training)


def _radius(here: At) -> Tensor:
    radius: Tensor = (here.alpha**2 + here.sigma**2).sqrt()
    return radius
