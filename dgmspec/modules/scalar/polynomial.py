"""Monotone polynomials over planes of raw parameters."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from dgmspec.core.types import UNIT, Support
from dgmspec.modules.scalar.spline import inside_box, slope_of
from dgmspec.modules.solve import Function, solve, solve_steep
from dgmspec.modules.twin import ScalarTwin
from dgmspec.ops.scalar.polynomial import FLOOR, MAX_DEGREE, Bernstein, Sos
from dgmspec.ops.scalar.spline import MIN_BIN, Box

Result = tuple[Tensor, Tensor]

# ---- Bernstein ------------------------------------------------------------------------------------------------------


def _increments(op: Bernstein, raw: Tensor, box: Box) -> tuple[Tensor, Tensor, Tensor]:
    """The first and the last coefficient, and the increments (M, …) between all of them."""
    span, free = box.high - box.low, raw[: op.degree]
    if not (box.low_tail or box.high_tail):
        steps = span * (MIN_BIN / op.degree + (1 - MIN_BIN) * free.softmax(0))
        return torch.full_like(raw[0], box.low), torch.full_like(raw[0], box.high), steps
    steps = slope_of(free) * (span / op.degree)
    total = steps.sum(0)
    if box.low_tail and box.high_tail:
        return box.low + raw[op.degree], box.low + raw[op.degree] + total, steps
    if box.high_tail:
        return torch.full_like(raw[0], box.low), box.low + total, steps
    return box.high - total, torch.full_like(raw[0], box.high), steps


def _polynomial(op: Bernstein, first: Tensor, steps: Tensor) -> Function:
    """u -> (y, log dy/du), by the increments: all terms are positive, so nothing cancels."""
    degree = op.degree
    counts = [math.comb(degree - 1, k) for k in range(degree)]
    shape = (degree, *[1] * (steps.dim() - 1))
    choose = torch.tensor(counts, dtype=steps.dtype, device=steps.device).reshape(shape)
    rising = torch.cumsum(steps, 0)

    def function(u: Tensor) -> Result:
        v = 1 - u
        low, high = [torch.ones_like(u)], [torch.ones_like(u)]
        for _ in range(degree - 1):
            low.append(low[-1] * u)
            high.append(high[-1] * v)
        basis = choose * torch.stack(low) * torch.stack(high[::-1])
        # Degree M from degree M - 1: the coefficients c_k (1 - u) + c_{k+1} u of one step of de Casteljau.
        before = rising - steps
        value = first + (basis * (before + steps * u)).sum(0)
        return value, (degree * (basis * steps).sum(0)).log()

    return function


def bernstein_forward(op: Bernstein, raw: Tensor, x: Tensor, support: Support) -> Result:
    box = op.box(support)
    first, last, steps = _increments(op, raw, box)
    span = box.high - box.low
    inside, at = inside_box(x, box)
    y, log_slope = _polynomial(op, first, steps)((at - box.low) / span)
    low, high = steps[0] * (op.degree / span), steps[-1] * (op.degree / span)
    beyond = torch.where(x > box.high, last + (x - box.high) * high, first + (x - box.low) * low)
    slope = torch.where(x > box.high, high, low).log()
    return torch.where(inside, y, beyond), torch.where(inside, log_slope - math.log(span), slope)


def bernstein_inverse(op: Bernstein, raw: Tensor, y: Tensor, support: Support) -> Result:
    box = op.box(support)
    first, last, steps = _increments(op, raw, box)
    span = box.high - box.low
    inside = (y >= first) & (y <= last)
    low, high = steps[0] * (op.degree / span), steps[-1] * (op.degree / span)
    beyond = torch.where(y > last, box.high + (y - last) / high, box.low + (y - first) / low)
    slope = torch.where(y > last, high, low).log()
    at = torch.where(inside, y, (first + last) / 2)
    u, log_slope = solve(_polynomial(op, first, steps), at, UNIT, bracket=(torch.zeros_like(at), torch.ones_like(at)))
    x = box.low + span * u.clamp(0, 1)
    return torch.where(inside, x, beyond), torch.where(inside, log_slope + math.log(span), -slope)


# ---- sum of squares -------------------------------------------------------------------------------------------------


_GAUSS: Final = {
    degree: (((nodes + 1) / 2).tolist(), (weights / 2).tolist())
    for degree in range(1, MAX_DEGREE + 1)
    for nodes, weights in [np.polynomial.legendre.leggauss(degree + 1)]
}
"""By degree, the rule on (0, 1) that is exact for squares of it: the mean is a sum of positive terms, where the
polynomial's own coefficients would cancel."""


def _squares(op: Sos, raw: Tensor) -> Function:
    """x -> (y, log dy/dx)."""
    planes = raw[:-1].reshape(op.terms, op.degree + 1, *raw.shape[1:])
    ratios = [float(j + 1) for j in range(op.terms)]
    norm = math.sqrt((1 - FLOOR) / sum(r * r for r in ratios))
    fixed = raw.new_tensor([r * norm for r in ratios]).reshape(op.terms, *[1] * (raw.dim() - 1))
    rows = [planes[:, 0] + fixed, *(planes[:, degree] for degree in range(1, op.degree + 1))]
    nodes, weights = _GAUSS[op.degree]

    def rate(x: Tensor) -> Tensor:
        terms = rows[-1]
        for row in rows[-2::-1]:
            terms = terms * x + row
        return terms.square().sum(0) + FLOOR

    def function(x: Tensor) -> Result:
        mean = sum(weight * rate(node * x) for node, weight in zip(nodes, weights, strict=True))
        return raw[-1] + mean * x, rate(x).log()

    return function


def sos_forward(op: Sos, raw: Tensor, x: Tensor, support: Support) -> Result:
    return _squares(op, raw)(x)


def sos_inverse(op: Sos, raw: Tensor, y: Tensor, support: Support) -> Result:
    return solve_steep(_squares(op, raw), y, raw[-1], FLOOR)


TWINS: Final[dict[type[Any], ScalarTwin]] = {
    Bernstein: ScalarTwin(bernstein_forward, bernstein_inverse, loop="bounded"),
    Sos: ScalarTwin(sos_forward, sos_inverse, loop="bounded"),
}
