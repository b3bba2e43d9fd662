"""The twin of `residual`: the net with its weights held to their norms, and its Jacobian carried along or, for the
series, only multiplied with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.modules.linear import widened
from dgmspec.modules.nets import context_of
from dgmspec.modules.nets.activations import ACTIVATIONS
from dgmspec.modules.nets.slopes import WITH_SLOPE
from dgmspec.modules.norms import norm_bound
from dgmspec.modules.roulette import power_series
from dgmspec.modules.twin import Parameters, StepContext, StepTwin
from dgmspec.ops.residual import REFINED, Residual

Result = tuple[Tensor, Tensor]

STEPS: Final = 24
"""Steps of the inverse: Newton's settle to rounding in a few."""

CHEAP: Final = 24
"""Fixed-point steps that are tried before Newton's."""

ASKED: Final = 4
"""After so many fixed-point steps the device is asked whether all rows have settled."""

LEAST_RATE: Final = 0.1
"""A net that contracts more is treated as if it contracted so much, when terms of its series are drawn."""

CLOSED: Final = 1e3
"""An error of so many rounding errors counts as none."""

STEEPEST: Mapping[str, float] = {"silu": 1.1, "gelu": 1.13}
"""Upper bounds of the slopes that exceed 1: silu's largest is 1.0998, gelu's 1.1290."""


def _held(op: Residual, p: Parameters, d: int) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """Weight and bias of each layer, every factor of ∂g/∂x at most L^(1/n) in spectral norm, and the product of their
    norms."""
    names = ("0", *(link.name for link in op.chain().links()))
    bound = op.lipschitz ** (1 / len(names))
    layers, norms = [], p["net/0/weight"].new_ones(())
    for i, name in enumerate(names):
        weight = p[f"net/{name}/weight"]
        moved, rest = (weight[:, :d], weight[:, d:]) if i == 0 else (weight, weight[:, :0])
        norm = norm_bound(moved)
        held, norms = moved * (bound / norm.clamp(min=bound)), norms * norm.detach().clamp(max=bound)
        layers.append((torch.cat((held, rest), 1) if rest.shape[1] else held, p[f"net/{name}/bias"]))
    return layers, norms


def _value(op: Residual, layers: Sequence[tuple[Tensor, Tensor]], x: Tensor, c: Tensor | None) -> Tensor:
    """g(x, c), (batch, d)."""
    kind = op.chain().activation
    scale = 1 / STEEPEST.get(kind, 1.0)
    (weight, bias), *others = layers
    z = F.linear(x if c is None else torch.cat((x, c), 1), weight, bias)
    for weight, bias in others:
        z = F.linear(scale * ACTIVATIONS[kind](z), weight, bias)
    return z


def _move(op: Residual, layers: Sequence[tuple[Tensor, Tensor]], x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
    """g(x, c) and ∂g/∂x, (batch, d) and (batch, d, d)."""
    kind = op.chain().activation
    scale = 1 / STEEPEST.get(kind, 1.0)
    (weight, bias), *others = layers
    z = F.linear(x if c is None else torch.cat((x, c), 1), weight, bias)
    # (batch, d, units), so that each layer is one product for all rows.
    turned = weight[:, : x.shape[1]].mT.contiguous().expand(x.shape[0], -1, -1)
    for weight, bias in others:
        a, slope = WITH_SLOPE[kind](z)
        turned = F.linear((scale * slope).unsqueeze(1) * turned, weight)
        z = F.linear(scale * a, weight, bias)
    return z, turned.mT


def _with_identity(tangent: Tensor) -> Tensor:
    return tangent + torch.eye(tangent.shape[1], dtype=tangent.dtype, device=tangent.device)


def _log_det(tangent: Tensor) -> Tensor:
    """log det(I + ∂g/∂x), (batch,); it is positive. Two coordinates, the commonest size, need no factorisation."""
    if tangent.shape[1] == 2:
        trace = tangent[:, 0, 0] + tangent[:, 1, 1]
        return torch.log1p(trace + tangent[:, 0, 0] * tangent[:, 1, 1] - tangent[:, 0, 1] * tangent[:, 1, 0])
    found: Tensor = torch.linalg.slogdet(_with_identity(tangent)).logabsdet
    return found


def _newton_step(tangent: Tensor, error: Tensor) -> Tensor:
    """(I + ∂g/∂x)⁻¹ applied to (batch, d)."""
    matrix = _with_identity(tangent)
    if tangent.shape[1] == 2:
        (a, b), (c, d) = (row.unbind(1) for row in matrix.unbind(1))
        u, v = error.unbind(1)
        return torch.stack((d * u - b * v, a * v - c * u), 1) / (a * d - b * c).unsqueeze(1)
    step: Tensor = torch.linalg.solve(matrix, error)
    return step


def _context(x: Tensor, ctx: StepContext) -> Tensor | None:
    c = context_of(ctx, x)
    return None if c is None else c.flatten(1)


def residual_forward(op: Residual, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    with torch.autocast(x.device.type, enabled=False):
        x = widened(x, p)
        (layers, norm), c = _held(op, p, x.shape[1]), _context(x, ctx)
        if op.log_det == "series":
            at = _at(op, layers, x, c)
            return x + at.moved, _estimate(op, at, norm, ctx)
        moved, tangent = _move(op, layers, x, c)
        return x + moved, _log_det(tangent)


def residual_inverse(op: Residual, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    with torch.autocast(y.device.type, enabled=False):
        y = widened(y, p)
        (layers, norm), c = _held(op, p, y.shape[1]), _context(y, ctx)
        if op.log_det == "series":
            x = _solve_by_series(op, layers, y, c)
            return x, -_estimate(op, _at(op, layers, x, c), norm, ctx)
        with torch.no_grad():
            x = _solve(op, layers, y, c)
        if torch.is_grad_enabled():  # a Newton step of value zero, which brings the gradients of the implicit function
            moved, tangent = _move(op, layers, x, c)
            x = x - _newton_step(tangent.detach(), x + moved - y)
        return x, -_log_det(_move(op, layers, x, c)[1])


def _solve(op: Residual, layers: Sequence[tuple[Tensor, Tensor]], y: Tensor, c: Tensor | None) -> Tensor:
    """x with x + g(x) = y; NaN in rows where the steps did not suffice.

    Outside of a compiled graph the device is asked now and then whether all rows have settled: first along the fixed
    point, whose steps need no Jacobian, then by Newton's.
    """
    asks, start = not torch.compiler.is_compiling(), y
    if asks:
        start, settled = _fixed_point(op, layers, y, c, CHEAP)
        if settled:
            return start
    x = start
    moved, tangent = _move(op, layers, x, c)
    error = y - x - moved
    for _ in range(STEPS):
        if asks and bool(_closed(error, y, 1).all()):
            break
        newton = x + _newton_step(tangent, error)
        there, slope = _move(op, layers, newton, c)
        left = y - newton - there
        shrinks = (left.square().sum(1) <= (op.lipschitz**2) * error.square().sum(1)).unsqueeze(1)
        plain = y - moved
        again, other = _move(op, layers, plain, c)
        x = torch.where(shrinks, newton, plain)
        moved = torch.where(shrinks, there, again)
        tangent = torch.where(shrinks.unsqueeze(2), slope, other)
        error = y - x - moved
    return torch.where(_closed(error, y, CLOSED), x, math.nan)


def _closed(error: Tensor, y: Tensor, factor: float) -> Tensor:
    """Which rows err by no more than so many rounding errors, (batch, 1)."""
    size = 1 + y.abs().amax(1, keepdim=True)
    return error.abs().amax(1, keepdim=True) <= factor * torch.finfo(y.dtype).eps * size


def _fixed_point(
    op: Residual, layers: Sequence[tuple[Tensor, Tensor]], y: Tensor, c: Tensor | None, steps: int
) -> tuple[Tensor, int]:
    """Steps ``x ← y - g(x)``, and how many were taken until all rows settled to rounding, 0 where they have not."""
    x = y
    for count in range(1, steps + 1):
        x, last = y - _value(op, layers, x, c), x
        if (count % ASKED == 0 or count == steps) and bool(_closed(x - last, y, 4).all()):
            return x, count
    return x, 0


# ---- products with the Jacobian, which is never formed --------------------------------------------------------------


class _Point(NamedTuple):
    """g at x, and the factors of its Jacobian: weights (out, in) and, between them, slopes (batch, units)."""

    moved: Tensor
    weights: list[Tensor]
    slopes: list[Tensor]

    def ordered(self, rows: Tensor) -> Callable[[Tensor], Tensor]:
        """w -> wᵀ J, both (n, d), at the first n of `rows`."""
        slopes = [slope.index_select(0, rows) for slope in self.slopes]

        def left(w: Tensor) -> Tensor:
            for weight, slope in zip(self.weights[:0:-1], slopes[::-1], strict=True):
                w = (w @ weight).mul_(slope[: len(w)])
            return w @ self.weights[0]

        return left

    def right(self, v: Tensor) -> Tensor:
        """J v, (batch, d)."""
        v = v @ self.weights[0].mT
        for weight, slope in zip(self.weights[1:], self.slopes, strict=True):
            v = (v * slope) @ weight.mT
        return v


def _at(op: Residual, layers: Sequence[tuple[Tensor, Tensor]], x: Tensor, c: Tensor | None) -> _Point:
    kind = op.chain().activation
    scale = 1 / STEEPEST.get(kind, 1.0)
    (weight, bias), *others = layers
    z = F.linear(x if c is None else torch.cat((x, c), 1), weight, bias)
    weights, slopes = [weight[:, : x.shape[1]]], []
    for weight, bias in others:
        weights.append(weight)
        a, slope = WITH_SLOPE[kind](z)
        slopes.append(scale * slope)
        z = F.linear(scale * a, weight, bias)
    return _Point(z, weights, slopes)


def _estimate(op: Residual, at: _Point, norm: Tensor, ctx: StepContext) -> Tensor:
    """The estimate of the log-determinant; a term of value zero brings the estimate of its gradient.

    Further terms are taken with the chance ``norm^1.5`` each: above norm², so that the variance is finite.
    """
    probe, terms = ctx.noise["probe"], op.terms if ctx.training else max(op.terms, REFINED)
    rate = float(norm.clamp(LEAST_RATE)) ** 1.5
    value, u = power_series(at.ordered, probe, ctx.noise["stop"], terms, rate)
    if not torch.is_grad_enabled():
        return value
    slope = (u * at.right(probe)).sum(1)
    return value + (slope - slope.detach())


def _solve_by_series(op: Residual, layers: list[tuple[Tensor, Tensor]], y: Tensor, c: Tensor | None) -> Tensor:
    """The fixed point, and a Newton step of value zero whose inverse Jacobian is a series of as many terms."""
    limit = math.ceil(math.log(torch.finfo(y.dtype).eps) / math.log(op.lipschitz))
    with torch.no_grad():
        x, count = _fixed_point(op, layers, y, c, limit)
        x = torch.where(_closed(y - x - _value(op, layers, x, c), y, CLOSED), x, math.nan)
    if torch.is_grad_enabled():
        at = _at(op, layers, x, c)
        still = _Point(at.moved, [w.detach() for w in at.weights], [s.detach() for s in at.slopes])
        term = step = x + at.moved - y
        for _ in range(count or limit):
            term = -still.right(term)
            step = step + term
        x = x - step
    return x


TWINS: Final = {Residual: StepTwin(residual_forward, residual_inverse, loop="bounded")}
