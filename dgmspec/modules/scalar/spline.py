"""Bins of splines over planes of raw parameters, and the rational-quadratic spline in two forms that agree.

Eager: the knots are stacked and each coordinate gathers those of its bin. Compiled: knots stay separate planes and the
bin is selected by K - 1 comparisons, so that everything fuses into one loop without an index.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dgmspec.core.types import Support
from dgmspec.modules.scalar.circle import wrap
from dgmspec.modules.scalar.fixed import softplus
from dgmspec.modules.twin import ScalarTwin
from dgmspec.ops.scalar.spline import MIN_BIN, MIN_SLOPE, Box, Rqs

_UNIT_SLOPE = math.log(math.expm1(1 - MIN_SLOPE))
"""The argument at which softplus plus the smallest slope is 1."""


class _Bin(NamedTuple):
    """The bin of each coordinate: lower corner, size, slope of the chord, slopes at both knots, and by how much these
    exceed the chord's in sum."""

    x: Tensor
    width: Tensor
    y: Tensor
    height: Tensor
    slope: Tensor
    low: Tensor
    high: Tensor
    excess: Tensor


def _bin(x: Tensor, width: Tensor, y: Tensor, height: Tensor, low: Tensor, high: Tensor) -> _Bin:
    slope = height / width
    return _Bin(x, width, y, height, slope, low, high, torch.sub(low + high, slope, alpha=2))


def rqs_forward(op: Rqs, raw: Tensor, x: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    box = op.box(support)
    if box.periodic:
        raw, turn, x = raw[:-1], raw[-1], wrap(x)
    inside, at = inside_box(x, box)
    found = _find(op, raw, at, box, by_value=False)
    theta = ((at - found.x) / found.width).clamp(0, 1)
    share, rate = _share(found, theta)
    y = torch.addcmul(found.y, found.height, share).clamp(box.low, box.high)
    log_slope = (rate * found.slope).log()
    if box.periodic:
        return wrap(y + turn), log_slope
    return torch.where(inside, y, x), torch.where(inside, log_slope, 0.0)


def rqs_inverse(op: Rqs, raw: Tensor, y: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    found = _invert(op, raw, y, support)
    log_slope = -(_share(found.bin, found.theta)[1] * found.bin.slope).log()
    return found.x, log_slope if found.inside is None else torch.where(found.inside, log_slope, 0.0)


def rqs_preimage(op: Rqs, raw: Tensor, y: Tensor, support: Support) -> Tensor:
    return _invert(op, raw, y, support).x


class _Inverted(NamedTuple):
    """The preimage, its bin and its share of the bin's width; whether y lay in the box, where one may lie outside."""

    x: Tensor
    bin: _Bin
    theta: Tensor
    inside: Tensor | None


def _invert(op: Rqs, raw: Tensor, y: Tensor, support: Support) -> _Inverted:
    box = op.box(support)
    if box.periodic:
        raw, y = raw[:-1], wrap(y - raw[-1])
    inside, at = inside_box(y, box)
    found = _find(op, raw, at, box, by_value=True)
    eta = ((at - found.y) / found.height).clamp(0, 1)
    theta = _solve(found, eta)
    if y.dtype != torch.float64:
        share, rate = _share(found, theta)
        theta = (theta - (share - eta) / rate).clamp(0, 1)
    x = torch.addcmul(found.x, found.width, theta).clamp(box.low, box.high)
    if box.periodic:
        return _Inverted(x, found, theta, None)
    return _Inverted(torch.where(inside, x, y), found, theta, inside)


def inside_box(x: Tensor, box: Box) -> tuple[Tensor, Tensor]:
    """Whether x lies in the box, and x moved into it, so that the unselected branch has finite gradients."""
    at = x.clamp(box.low, box.high)
    return at == x, at


def _share(found: _Bin, theta: Tensor) -> tuple[Tensor, Tensor]:
    """The share η of the bin's height reached at the share θ of its width, and dη/dθ, a sum of positive terms."""
    rest, square = 1 - theta, theta.square()
    product = theta * rest
    denominator = torch.addcmul(found.slope, found.excess, product)
    share = torch.addcmul(found.slope * square, found.low, product) / denominator
    rise = torch.addcmul(torch.addcmul(found.high * square, found.slope, product, value=2), found.low, rest.square())
    return share, found.slope * rise / denominator.square()


def _solve(found: _Bin, eta: Tensor) -> Tensor:
    """The root θ in [0, 1] of (s - b) θ² + b θ - η s with b = δ_k - η (δ_k + δ_{k+1} - 2s), free of cancellation."""
    b = torch.addcmul(found.low, eta, found.excess, value=-1)
    steep, reached = found.slope - b, eta * found.slope
    half = 0.5 * b
    positive = half >= 0
    sum_ = half.abs() + torch.addcmul(half.square(), steep, reached).clamp_min(0).sqrt()
    theta = torch.where(positive, reached, sum_) / torch.where(positive, sum_, steep)
    return theta.clamp(0, 1)


# ---- knots ----------------------------------------------------------------------------------------------------------


def _find(op: Rqs, raw: Tensor, at: Tensor, box: Box, by_value: bool) -> _Bin:
    """The bin of each coordinate by its x, or by its y."""
    slopes = op.bins - 1 + box.free_ends
    find = _find_compiled if torch.compiler.is_compiling() else _find_eager
    return find(raw[:-slopes], raw[-slopes:], at, box, op.bins, by_value)


def _find_eager(sizes: Tensor, slopes: Tensor, at: Tensor, box: Box, count: int, by_value: bool) -> _Bin:
    """Widths and heights go through the same arithmetic, so they stay side by side: (2, K, …)."""
    span = box.high - box.low
    size = bins_of(sizes.reshape(len(sizes) // count, count, *sizes.shape[1:]).softmax(1), span, count)
    if len(size) == 1:
        size = torch.cat((torch.full_like(size, span / count), size))
    cell, index = find_cell(size, at, box, by_value)
    tail = torch.zeros_like(slopes[:1])
    knots = torch.cat([tail] * box.low_tail + [slopes] + [tail] * box.high_tail + [slopes[:1]] * box.periodic)
    low, high = slope_of(_pick(knots, torch.cat((index, index + 1))))
    return _bin(*cell, low, high)


class Cell(NamedTuple):
    """The bin of each coordinate: lower corner and size."""

    x: Tensor
    width: Tensor
    y: Tensor
    height: Tensor


def find_cell(size: Tensor, at: Tensor, box: Box, by_value: bool) -> tuple[Cell, Tensor]:
    """The bin of each coordinate by its x, or its y, from all widths and heights (2, K, …), and its number (1, …)."""
    corner = size.cumsum(1) - size + box.low
    index = (at >= corner[int(by_value), 1:]).sum(0, keepdim=True)
    both = index.expand(2, *index.shape)
    spread = size.shape[:2] + at.shape
    (x, y), (width, height) = (planes.expand(spread).gather(1, both)[:, 0] for planes in (corner, size))
    return Cell(x, width, y, height), index


def pick(planes: Tensor, index: Tensor) -> Tensor:
    """From planes (K, …) those of each coordinate by their numbers (1, …)."""
    return _pick(planes, index)[0]


def _pick(planes: Tensor, index: Tensor) -> Tensor:
    """Planes by their numbers (n, …); one set of planes for all rows is spread over them."""
    return planes.expand(planes.shape[0], *index.shape[1:]).gather(0, index)


def bins_of(shares: Tensor, span: float, count: int) -> Tensor:
    """Sizes of bins from shares that sum to 1, none below the smallest."""
    return shares * (span * (1 - MIN_BIN * count)) + span * MIN_BIN


def _find_compiled(sizes: Tensor, slopes: Tensor, at: Tensor, box: Box, count: int, by_value: bool) -> _Bin:
    span = box.high - box.low
    height = _unrolled_bins(sizes[-count:].unbind(0), span)
    width = [torch.full_like(h, span / count) for h in height]
    if len(sizes) > count:
        width = _unrolled_bins(sizes[:count].unbind(0), span)
    tail = torch.zeros_like(height[0])
    free = list(slopes.unbind(0))
    knots = [tail] * box.low_tail + free + [tail] * box.high_tail + free[:1] * box.periodic
    x = y = torch.full_like(tail, box.low)
    found = [x, width[0], y, height[0], knots[0], knots[1]]
    for k in range(1, count):
        x, y = x + width[k - 1], y + height[k - 1]
        beyond = at >= (y if by_value else x)
        bin_k = (x, width[k], y, height[k], knots[k], knots[k + 1])
        found = [torch.where(beyond, new, old) for new, old in zip(bin_k, found, strict=True)]
    return _bin(found[0], found[1], found[2], found[3], slope_of(found[4]), slope_of(found[5]))


def slope_of(raw: Tensor) -> Tensor:
    """The slope at a knot from its raw parameter: 1 at zero, which is also what a tail has."""
    return MIN_SLOPE + softplus(raw + _UNIT_SLOPE)


def _unrolled_bins(raw: Sequence[Tensor], span: float) -> list[Tensor]:
    """`bins_of` of the softmax, plane by plane."""
    top = raw[0]
    for plane in raw[1:]:
        top = torch.maximum(top, plane)
    shares = [torch.exp(plane - top) for plane in raw]
    total = shares[0]
    for share in shares[1:]:
        total = total + share
    factor = span * (1 - MIN_BIN * len(raw)) / total
    return [share * factor + span * MIN_BIN for share in shares]


TWINS = {Rqs: ScalarTwin(rqs_forward, rqs_inverse, preimage=rqs_preimage)}
