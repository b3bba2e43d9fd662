"""The numeric inverse of a strictly monotone elementwise function, with implicit gradients.

A fixed number of steps, so that it traces as one graph and never waits for the device: Newton from the last point where
that stays inside the bracket and quarters the step before last, else the middle of the bracket. The point of smallest
residual is kept. It counts as a root where its residual is at rounding, or where changes of sign that were
*seen* close it in to rounding; anything else is NaN, so an end of the bracket never passes for a solution.

On an infinite support the middle is taken in asinh(x), on a half-line in the logarithm of the distance to its end:
halving there reaches every magnitude, from the whole range of the number format, as fast as every digit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from dgmspec.core.types import REAL, Support

__all__ = ["Function", "solve", "solve_steep"]

Function = Callable[[Tensor], tuple[Tensor, Tensor]]
"""x -> (f(x), log|f'(x)|), elementwise and of the shape of x; f closes over its parameters."""

STEPS: Final = {True: (26, 64), False: (40, 80)}
"""Evaluations in single and in double precision, with a bracket given and without."""

ROUNDING: Final = 64
"""Residuals and brackets of so many rounding errors count as closed."""


def solve(
    function: Function,
    y: Tensor,
    support: Support,
    *,
    bracket: tuple[Tensor, Tensor] | None = None,
    start: Tensor | None = None,
    increasing: bool = True,
) -> tuple[Tensor, Tensor]:
    """x in `support` with f(x) = y, and log|dx/dy| = -log|f'(x)|; NaN where there is none.

    `bracket` holds ends known to enclose the root (they may be off by rounding errors), which saves steps; without it
    `y` has the shape of the result. Gradients reach y and all that f closes over, exact to third order.
    """
    if bracket is not None:
        y = y.expand_as(y + bracket[0])
    with torch.no_grad():
        at = y.detach()
        ends = _ends(at, support) if bracket is None else _widened(*bracket, at)
        x, log_slope = _root(function, at, support, ends, start, increasing, bracket is not None)
    if not torch.is_grad_enabled():
        return x, -log_slope
    # Newton steps of value zero: the first makes x agree with the implicit function in its first derivative, the
    # second in its third, since a step doubles the order to which a power series is right.
    for _ in range(2):
        value, log_slope = function(x)
        step = (value - y) * torch.exp(-log_slope) * (1 if increasing else -1)
        x = x - (step - step.detach())
    return x, -function(x)[1]


def solve_steep(function: Function, y: Tensor, at_zero: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """`solve` on ℝ for a function that is `at_zero` at 0 and whose slope is `least` or more, which bracket the root."""
    reach = (y - at_zero).detach() / least
    return solve(function, y, REAL, bracket=(reach.clamp(max=0), reach.clamp(min=0)))


def _ends(y: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    """The support as far as numbers of this precision whose fourth power does not overflow go."""
    info = torch.finfo(y.dtype)
    reach, gap = info.max**0.25, info.tiny
    low = support.low if math.isfinite(support.low) else min(0.0, support.high) - reach
    high = support.high if math.isfinite(support.high) else max(0.0, support.low) + reach
    if math.isfinite(support.low) != math.isfinite(support.high):
        low, high = (low + gap, high) if math.isfinite(support.low) else (low, high - gap)
    return torch.full_like(y, low), torch.full_like(y, high)


def _widened(low: Tensor, high: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """A bracket given in closed form, its ends moved out by the rounding errors of that form."""
    gap = ROUNDING * torch.finfo(y.dtype).eps
    low, high = low.detach().expand_as(y), high.detach().expand_as(y)
    return low - gap * (1 + low.abs()), high + gap * (1 + high.abs())


def _middle(low: Tensor, high: Tensor, support: Support) -> Tensor:
    """The point half way in the coordinate that spreads the support's magnitudes evenly."""
    if math.isfinite(support.low) and math.isfinite(support.high):
        return low + (high - low) / 2
    if math.isfinite(support.low):
        return support.low + ((low - support.low).sqrt() * (high - support.low).sqrt())
    if math.isfinite(support.high):
        return support.high - ((support.high - low).sqrt() * (support.high - high).sqrt())
    return torch.sinh((torch.asinh(low) + torch.asinh(high)) / 2)


def _root(
    function: Function,
    y: Tensor,
    support: Support,
    ends: tuple[Tensor, Tensor],
    start: Tensor | None,
    increasing: bool,
    known: bool,
) -> tuple[Tensor, Tensor]:
    """The root and log|f'| there, by a fixed number of evaluations."""
    low, high = ends
    x = _middle(low, high, support) if start is None else torch.minimum(torch.maximum(start.detach(), low), high)
    below_seen = above_seen = torch.zeros_like(y, dtype=torch.bool)
    last = before_last = high - low
    best, best_slope, smallest = x, torch.full_like(x, math.nan), torch.full_like(x, math.inf)
    # A given bracket may hold the root at its very end: halving towards it, Newton's step is a quarter of the step
    # before last. Without one, steps that shrink no faster than that are Newton's walk down a power from far away.
    shrink = 2 if known else 4
    for _ in range(STEPS[known][y.dtype == torch.float64]):
        value, log_slope = function(x)
        error = value - y if increasing else y - value
        better = error.abs() < smallest
        best, best_slope = torch.where(better, x, best), torch.where(better, log_slope, best_slope)
        smallest = torch.where(better, error.abs(), smallest)
        below, above = error < 0, error > 0
        low, high = torch.where(below, x, low), torch.where(above, x, high)
        below_seen, above_seen = below_seen | below, above_seen | above
        newton = x - error * torch.exp(-log_slope)
        quick = shrink * (newton - x).abs() <= before_last
        following = torch.where((newton > low) & (newton < high) & quick, newton, _middle(low, high, support))
        before_last, last = last, (following - x).abs()
        x = following
    rounding = ROUNDING * torch.finfo(y.dtype).eps
    size = 1 + best.abs()
    settled = smallest <= rounding * (1 + y.abs() + size * best_slope.exp())
    closed = below_seen & above_seen & (high - low <= rounding * size)
    found = settled | closed
    return torch.where(found, best, math.nan), torch.where(found, best_slope, math.nan)
