"""Splines that are polynomials in each bin, over planes of raw parameters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dgmspec.core.types import UNIT, Support
from dgmspec.modules.scalar.spline import Cell, bins_of, find_cell, inside_box, pick, slope_of
from dgmspec.modules.solve import solve
from dgmspec.modules.twin import ScalarTwin
from dgmspec.ops.scalar.polyspline import CubicSpline, LinearSpline, QuadraticSpline
from dgmspec.ops.scalar.spline import MIN_SLOPE, AbstractSpline, Box

Result = tuple[Tensor, Tensor]


def _sizes(raw: Tensor, op: AbstractSpline, box: Box) -> Tensor:
    """Sizes of all bins, (K, …), from their raw planes."""
    return bins_of(raw.softmax(0), box.high - box.low, op.bins)


def _joined(inside: Tensor, inner: Tensor, outer: Tensor, log_slope: Tensor, box: Box) -> Result:
    """The spline inside its box, the identity outside."""
    return torch.where(inside, inner.clamp(box.low, box.high), outer), torch.where(inside, log_slope, 0.0)


# ---- linear ---------------------------------------------------------------------------------------------------------


def _linear(op: LinearSpline, raw: Tensor, at: Tensor, box: Box, by_value: bool) -> Cell:
    height = _sizes(raw, op, box)
    width = torch.full_like(height, (box.high - box.low) / op.bins)
    return find_cell(torch.stack((width, height)), at, box, by_value)[0]


def linear_forward(op: LinearSpline, raw: Tensor, x: Tensor, support: Support) -> Result:
    box = op.box(support)
    inside, at = inside_box(x, box)
    cell = _linear(op, raw, at, box, by_value=False)
    slope = cell.height / cell.width
    return _joined(inside, cell.y + (at - cell.x) * slope, x, slope.log(), box)


def linear_inverse(op: LinearSpline, raw: Tensor, y: Tensor, support: Support) -> Result:
    box = op.box(support)
    inside, at = inside_box(y, box)
    cell = _linear(op, raw, at, box, by_value=True)
    slope = cell.width / cell.height
    return _joined(inside, cell.x + (at - cell.y) * slope, y, slope.log(), box)


# ---- quadratic ------------------------------------------------------------------------------------------------------


def _quadratic(op: QuadraticSpline, raw: Tensor, at: Tensor, box: Box, by_value: bool) -> tuple[Cell, Tensor, Tensor]:
    """The bin of each coordinate and the slopes at both its knots."""
    width = _sizes(raw[: op.bins], op, box)
    free, tail = slope_of(raw[op.bins :]), torch.zeros_like(raw[:1])
    slopes = torch.cat([tail] * box.low_tail + [free] + [tail] * box.high_tail)
    share = width / (box.high - box.low)
    # Slopes are known up to a factor; an end with a tail has the value that becomes 1 when the integral becomes 1.
    ends = (share[:1] * box.low_tail + share[-1:] * box.high_tail) / 2
    whole = (share * (slopes[:-1] + slopes[1:]) / 2).sum(0, keepdim=True) / (1 - ends)
    knots = torch.cat([whole] * box.low_tail + [free] + [whole] * box.high_tail) / whole
    knots = MIN_SLOPE + (1 - MIN_SLOPE) * knots
    height = width * (knots[:-1] + knots[1:]) / 2
    cell, index = find_cell(torch.stack((width, height)), at, box, by_value)
    return cell, pick(knots, index), pick(knots, index + 1)


def quadratic_forward(op: QuadraticSpline, raw: Tensor, x: Tensor, support: Support) -> Result:
    box = op.box(support)
    inside, at = inside_box(x, box)
    cell, low, high = _quadratic(op, raw, at, box, by_value=False)
    theta = ((at - cell.x) / cell.width).clamp(0, 1)
    rise, slope = _parabola(low, high, theta)
    return _joined(inside, cell.y + cell.width * rise, x, slope.log(), box)


def quadratic_inverse(op: QuadraticSpline, raw: Tensor, y: Tensor, support: Support) -> Result:
    box = op.box(support)
    inside, at = inside_box(y, box)
    cell, low, high = _quadratic(op, raw, at, box, by_value=True)
    wanted = ((at - cell.y) / cell.width).clamp(min=0)
    root = (low.square() + 2 * (high - low) * wanted).clamp(min=MIN_SLOPE**2 / 4).sqrt()
    theta = (2 * wanted / (low + root)).clamp(0, 1)
    rise, slope = _parabola(low, high, theta)
    if y.dtype != torch.float64:
        theta = (theta - (rise - wanted) / slope).clamp(0, 1)
        _, slope = _parabola(low, high, theta)
    return _joined(inside, cell.x + cell.width * theta, y, -slope.log(), box)


def _parabola(low: Tensor, high: Tensor, theta: Tensor) -> Result:
    """The rise over a bin's width up to its share θ, and the slope there."""
    return theta * (low + (high - low) * theta / 2), low + (high - low) * theta


# ---- cubic ----------------------------------------------------------------------------------------------------------


def _cubic(op: CubicSpline, raw: Tensor, at: Tensor, box: Box, by_value: bool) -> tuple[Cell, Tensor, Tensor]:
    """The bin of each coordinate, and the slopes at both its knots over that of its chord."""
    width, height = (_sizes(raw[i : i + op.bins], op, box) for i in (0, op.bins))
    chord, first, last = height / width, raw[2 * op.bins : 2 * op.bins + 1], raw[-1:]
    before, after = chord[:-1], chord[1:]
    parabola = (before * width[1:] + after * width[:-1]) / (width[:-1] + width[1:])
    inner = torch.minimum(2 * torch.minimum(before, after), parabola)
    knots = torch.cat((_end_slope(chord[:1], first, box.low_tail), inner, _end_slope(chord[-1:], last, box.high_tail)))
    cell, index = find_cell(torch.stack((width, height)), at, box, by_value)
    slope = cell.height / cell.width
    return cell, pick(knots, index) / slope, pick(knots, index + 1) / slope


def _end_slope(chord: Tensor, raw: Tensor, tail: bool) -> Tensor:
    """The slope at an end: a share of the largest that keeps the cubic monotone, or the tail's."""
    return (3 * chord).clamp(max=1.0) if tail else 3 * chord * torch.sigmoid(raw - math.log(2))


def cubic_forward(op: CubicSpline, raw: Tensor, x: Tensor, support: Support) -> Result:
    box = op.box(support)
    inside, at = inside_box(x, box)
    cell, low, high = _cubic(op, raw, at, box, by_value=False)
    share, log_rate = _hermite(low, high, ((at - cell.x) / cell.width).clamp(0, 1))
    return _joined(inside, cell.y + cell.height * share, x, log_rate + (cell.height / cell.width).log(), box)


def cubic_inverse(op: CubicSpline, raw: Tensor, y: Tensor, support: Support) -> Result:
    box = op.box(support)
    inside, at = inside_box(y, box)
    cell, low, high = _cubic(op, raw, at, box, by_value=True)
    eta = ((at - cell.y) / cell.height).clamp(0, 1)
    ends = torch.zeros_like(eta), torch.ones_like(eta)
    theta, log_rate = solve(lambda t: _hermite(low, high, t), eta, UNIT, bracket=ends)
    x = cell.x + cell.width * theta.clamp(0, 1)
    return _joined(inside, x, y, log_rate - (cell.height / cell.width).log(), box)


def _hermite(low: Tensor, high: Tensor, theta: Tensor) -> Result:
    """The share of a bin's height at the share θ of its width, and the logarithm of its rate."""
    square, cube = 3 - 2 * low - high, low + high - 2
    share = theta * (low + theta * (square + theta * cube))
    return share, (low + theta * (2 * square + theta * 3 * cube)).log()


TWINS = {
    LinearSpline: ScalarTwin(linear_forward, linear_inverse),
    QuadraticSpline: ScalarTwin(quadratic_forward, quadratic_inverse),
    CubicSpline: ScalarTwin(cubic_forward, cubic_inverse, loop="bounded"),
}
