"""Paths from what an author writes: a drift with a diffusion, the steps of a chain, a kernel.

Each door takes closed formulas (params put in, functions written out) and gives a `GaussianPath`, or refuses with the
reason and a place: the argument of the `Refusal` names the part at fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Final, ParamSpec, TypeVar, cast

from dgmspec.algebra.closures import closure
from dgmspec.algebra.evaluate import evaluate
from dgmspec.algebra.nodes import AbstractExpr, Index, Name, Vector, children, expr
from dgmspec.algebra.paths.affine import (
    NotAffine,
    Others,
    Times,
    affine,
    derivative,
    quotient,
    simplified,
    squared,
)
from dgmspec.algebra.paths.gaussian import GaussianPath, Process
from dgmspec.algebra.paths.moments import PANELS
from dgmspec.algebra.paths.scalar import AbstractCurve, Chain, Derived, Step, Written
from dgmspec.algebra.rewrite import free_names, rebuild
from dgmspec.algebra.shapes import shape_of
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Shape

__all__ = ["of_chain", "of_drift", "of_kernel", "per_coordinate", "process_of", "remembered"]

P = ParamSpec("P")
R = TypeVar("R")

_TRIED: Final = 400
"""Times at which what is not proved is tried."""

_RISE: Final = 1e-9

_FEWEST: Final = 250
"""Panels that each of many coordinates may take; together they may take `PANELS`."""

_MOST_STEPS: Final = 400_000
"""Steps that are worked out, over coordinates with coefficients of their own."""


def remembered(derive: Callable[P, R]) -> Callable[P, R]:
    """The last 256 results of a function, refusals among them."""

    def outcome(*args: P.args, **options: P.kwargs) -> R | Refusal:
        try:
            return derive(*args, **options)
        except Refusal as refusal:
            return refusal

    found = cast(Callable[P, R | Refusal], lru_cache(maxsize=256)(outcome))

    @wraps(derive)
    def given(*args: P.args, **options: P.kwargs) -> R:
        result = found(*args, **options)
        if isinstance(result, Refusal):
            raise result
        return result

    return given


@remembered
def of_drift(
    drift: AbstractExpr, diffusion: AbstractExpr, state: str, times: Times, shape: Shape, init_noise: float = 0.0
) -> GaussianPath | NotAffine:
    """The path of dx = drift dt + diffusion dW for events of `shape`, or why the drift is not affine."""
    found = affine(drift, state, times)
    if isinstance(found, NotAffine):
        return found
    spread = squared_each(diffusion, times, shape)
    rates, offsets = per_coordinate(found.rate, times, shape), per_coordinate(found.offset, times, shape)
    count = max(map(len, (rates, offsets, spread)))
    curves, processes = [], []
    for a, b, g2 in zip(*(_repeated(items, count) for items in (rates, offsets, spread)), strict=True):
        curve = Derived(times.name, a, b, g2, times.low, times.high, init_noise, max(PANELS // count, _FEWEST))
        _ = curve.table
        curves.append(curve)
        processes.append(Process(a, b, g2))
    return GaussianPath(times, tuple(curves), tuple(processes))


_LARGEST = 300 * math.log(10)
"""The logarithm of the largest variance of a chain."""


@remembered
def of_chain(
    loc: AbstractExpr, scale: AbstractExpr, state: str, name: str, low: int, high: int, shape: Shape
) -> GaussianPath | NotAffine:
    """The path of x_t ~ normal(loc, scale) given x_{t-1}, t = low..high: ᾱ and σ̄ by recursion."""
    times = Times(name, low - 0.5, high + 0.5)
    found = affine(loc, state, times)
    if isinstance(found, NotAffine):
        return found
    parts = [per_coordinate(formula, times, shape) for formula in (found.rate, found.offset, scale)]
    count = max(map(len, parts))
    if count * (high - low + 1) > _MOST_STEPS:
        raise Refusal(
            "DGM642",
            f"{high - low + 1:,} steps for each of {count:,} coordinates are beyond {_MOST_STEPS:,}",
            help=("take fewer steps, or the same coefficients for all coordinates",),
        )
    curves: list[AbstractCurve] = []
    for rate, offset, noise in zip(*(_repeated(items, count) for items in parts), strict=True):
        values = [closure(f, name) for f in (rate, offset, noise)]
        steps = [Step(*(value(t) for value in values)) for t in range(low, high + 1)]
        for t, step in enumerate(steps, low):
            _check_step(step, name, t)
        curves.append(Chain.of_steps(tuple(steps), low))
        _check_growth(curves[-1], name, low, high)
    exact = Times(name, low, high)
    return GaussianPath(exact, tuple(curves), levels=tuple(float(t) for t in range(low, high + 1)))


def _check_growth(chain: AbstractCurve, name: str, low: int, high: int) -> None:
    """Refused where α² or σ² leaves the numbers that float64 holds, as those of an `sde` are."""
    for t in range(low, high + 1):
        if not max(2 * chain.log_alpha(t), chain.log_variance(t)) < _LARGEST:
            raise Refusal(
                "DGM646",
                f"float64 holds x_{name} no longer than {name} = {t - 1}: its variance passes 1e300 there",
                "loc",
                help=("multiply the state by less, such as `sqrt(1 - β(t)) * x`, or take fewer steps",),
            )


def _check_step(step: Step, name: str, t: int) -> None:
    if not step.sigma > 0:
        raise Refusal(
            "DGM643",
            f"the scale of a step is positive, and at {name} = {t} it is {step.sigma:.6g}",
            "scale",
            help=("let every step add noise",),
        )
    if not step.alpha > 0:
        raise Refusal(
            "DGM645",
            f"a step keeps a positive share of the state, and at {name} = {t} it is multiplied by {step.alpha:.6g}",
            "loc",
            help=("multiply the state by a positive number, such as `sqrt(1 - β(t)) * x`",),
        )


@remembered
def of_kernel(
    loc: AbstractExpr,
    scale: AbstractExpr,
    state: str,
    times: Times,
    shape: Shape,
    levels: tuple[float, ...] = (),
) -> GaussianPath | NotAffine:
    """The path whose kernel x_t ~ normal(loc, scale) given x_0 is written, over an interval or at `levels` alone."""
    found = affine(loc, state, times)
    if isinstance(found, NotAffine):
        return found
    parts = [per_coordinate(formula, times, shape) for formula in (found.rate, found.offset, scale)]
    count = max(map(len, parts))
    curves: list[AbstractCurve] = []
    processes: list[Process] = []
    for alpha, shift, sigma in zip(*(_repeated(items, count) for items in parts), strict=True):
        curve = Written(times.name, simplified(alpha, times), shift, simplified(sigma, times), times.low, times.high)
        _check_curve(curve, levels)
        curves.append(curve)
        if not levels:
            processes.append(process_of(curve.scale, curve.shift, curve.noise, times))
    rising = tuple(sorted(levels, key=lambda t: -curves[0].log_snr(t)))
    return GaussianPath(times, tuple(curves), tuple(processes), rising)


def process_of(
    alpha: AbstractExpr, mean: AbstractExpr, sigma: AbstractExpr, times: Times, others: Others = None
) -> Process:
    """a = α' / α, b = m' - a m and g² = 2 σ² (σ' / σ - α' / α): the process that has this kernel."""
    slopes = (
        derivative(alpha, times, others),
        derivative(mean, times, others),
        derivative(sigma, times, others),
    )
    rate = quotient(slopes[0], alpha, times, others)
    growth = quotient(slopes[2], sigma, times, others)
    offset = simplified(slopes[1] - rate * mean, times, others)
    spread = simplified(2 * sigma ** expr(2) * (growth - rate), times, others)
    return Process(rate, offset, spread, slopes)


def _check_curve(curve: Written, levels: tuple[float, ...]) -> None:
    """α ≥ 0 and σ > 0 behind the start, and a signal-to-noise ratio that never rises."""
    span = curve.high - curve.low
    tried = sorted(levels) if levels else [curve.low + span * i / _TRIED for i in range(1, _TRIED + 1)]
    before = (math.nan, math.inf)
    noise, scale = closure(curve.noise, curve.name), closure(curve.scale, curve.name)
    for t in tried:
        sigma, alpha = noise(t), scale(t)
        if not sigma > 0:
            raise Refusal(
                "DGM643",
                f"the scale of a kernel is positive, and at {curve.name} = {t:.6g} it is {sigma:.6g}",
                "scale",
                help=("let the noise be positive at every time behind the start",),
            )
        if alpha < 0 or not math.isfinite(alpha):
            raise Refusal(
                "DGM645",
                f"a kernel keeps a share of the data that is not negative, and at {curve.name} = {t:.6g} it is "
                f"{alpha:.6g}",
                "loc",
                help=("write α(t) * x with α from 1 down to 0",),
            )
        ratio = alpha / sigma
        if ratio > before[1] * (1 + _RISE) and not levels:
            raise Refusal(
                "DGM645",
                f"the signal-to-noise ratio α/σ rises, from {before[1]:.6g} at {curve.name} = {before[0]:.6g} to "
                f"{ratio:.6g} at {curve.name} = {t:.6g}",
                "scale",
                notes=("noise cannot be taken out of x_t by time passing, so no process has this kernel",),
                help=(f"let the data stand at {curve.name} = {curve.low:g} and the noise at {curve.high:g}",),
            )
        before = (t, ratio)


# ---- coordinates ----------------------------------------------------------------------------------------------------


def per_coordinate(
    formula: AbstractExpr, times: Times, shape: Shape, beside: Mapping[str, Shape] | None = None
) -> tuple[AbstractExpr, ...]:
    """A coefficient, of the time and of what stands `beside` it with these shapes, as one formula for all coordinates,
    or one for each of a vector event."""
    names: dict[str, Shape] = {times.name: (), **(beside or {})}
    own = shape_of(formula, names)
    if own == ():
        return (formula,)
    if own != shape or len(shape) != 1:
        raise Refusal(
            "DGM310",
            f"a coefficient of shape {list(own)} does not fit events of shape {list(shape)}",
            help=("make it a number, or a vector with one entry for each coordinate",),
        )
    found = tuple(_entry(formula, i, names) for i in range(own[0]))
    return found[:1] if len(set(found)) == 1 else found


def squared_each(diffusion: AbstractExpr, times: Times, shape: Shape) -> tuple[AbstractExpr, ...]:
    """g² of a diffusion, one for all coordinates or one for each."""
    return tuple(squared(item, times) for item in per_coordinate(diffusion, times, shape))


def _entry(formula: AbstractExpr, index: int, names: Mapping[str, Shape]) -> AbstractExpr:
    """The formula of one coordinate of a vector."""
    if shape_of(formula, names) == ():
        return formula
    if not free_names(formula):
        return expr(evaluate(formula, {})[index])
    if isinstance(formula, Vector):
        return formula.items[index]
    parts = list(children(formula))
    if isinstance(formula, (Name, Index)) or any(len(shape_of(part, names)) > 1 for part in parts):
        return Index(of=formula, index=expr(index))
    return rebuild(formula, [_entry(part, index, names) for part in parts])


def _repeated(items: tuple[AbstractExpr, ...], count: int) -> tuple[AbstractExpr, ...]:
    return items * count if len(items) == 1 else items
