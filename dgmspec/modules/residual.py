"""The twin of `residual`: the identity plus a net that contracts, and its inverse."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.contractions import Contraction, Point, contraction, symbol
from dgmspec.modules.linear import widened
from dgmspec.modules.nets import context_of
from dgmspec.modules.norms import frequencies
from dgmspec.modules.roulette import power_series
from dgmspec.modules.twin import Parameters, StepContext, StepTwin
from dgmspec.ops.nets import Conv
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


def _net(op: Residual, p: Parameters, x: Tensor, ctx: StepContext) -> Contraction:
    return contraction(op, p, ctx.event.shape, context_of(ctx, x))


def residual_forward(op: Residual, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    with torch.autocast(x.device.type, enabled=False):
        x = widened(x, p)
        net, flat = _net(op, p, x, ctx), x.flatten(1)
        if not ctx.counted:
            return x + net.value(flat).reshape(x.shape), x.new_zeros(())
        if op.log_det == "series":
            at = net.at(flat)
            return x + at.moved.reshape(x.shape), _estimate(op, at, net.norm, ctx)
        moved, tangent = net.with_jacobian(flat)
        return x + moved.reshape(x.shape), _log_det(tangent)


def residual_inverse(op: Residual, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    with torch.autocast(y.device.type, enabled=False):
        y = widened(y, p)
        net, flat = _net(op, p, y, ctx), y.flatten(1)
        if op.log_det == "series":
            x = _solve_by_series(op, net, flat)
            log_det = -_estimate(op, net.at(x), net.norm, ctx) if ctx.counted else y.new_zeros(())
            return x.reshape(y.shape), log_det
        with torch.no_grad():
            x = _solve(op, net, flat)
        if torch.is_grad_enabled():  # a Newton step of value zero, which brings the gradients of the implicit function
            moved, tangent = net.with_jacobian(x)
            x = x - _newton_step(tangent.detach(), x + moved - flat)
        return x.reshape(y.shape), -_log_det(net.with_jacobian(x)[1]) if ctx.counted else y.new_zeros(())


def _solve(op: Residual, net: Contraction, y: Tensor) -> Tensor:
    """x with x + g(x) = y; NaN in rows where the steps did not suffice.

    Outside of a compiled graph the device is asked now and then whether all rows have settled: first along the fixed
    point, whose steps need no Jacobian, then by Newton's.
    """
    asks, start = not torch.compiler.is_compiling(), y
    if asks:
        start, settled = _fixed_point(net, y, CHEAP)
        if settled:
            return start
    x = start
    moved, tangent = net.with_jacobian(x)
    error = y - x - moved
    for _ in range(STEPS):
        if asks and bool(_closed(error, y, 1).all()):
            break
        newton = x + _newton_step(tangent, error)
        there, slope = net.with_jacobian(newton)
        left = y - newton - there
        shrinks = (left.square().sum(1) <= (op.lipschitz**2) * error.square().sum(1)).unsqueeze(1)
        plain = y - moved
        again, other = net.with_jacobian(plain)
        x = torch.where(shrinks, newton, plain)
        moved = torch.where(shrinks, there, again)
        tangent = torch.where(shrinks.unsqueeze(2), slope, other)
        error = y - x - moved
    return torch.where(_closed(error, y, CLOSED), x, math.nan)


def _closed(error: Tensor, y: Tensor, factor: float) -> Tensor:
    """Which rows err by no more than so many rounding errors, (batch, 1)."""
    size = 1 + y.abs().amax(1, keepdim=True)
    return error.abs().amax(1, keepdim=True) <= factor * torch.finfo(y.dtype).eps * size


def _fixed_point(net: Contraction, y: Tensor, steps: int) -> tuple[Tensor, int]:
    """Steps ``x ← y - g(x)``, and how many were taken until all rows settled to rounding, 0 where they have not."""
    x = y
    for count in range(1, steps + 1):
        x, last = y - net.value(x), x
        if (count % ASKED == 0 or count == steps) and bool(_closed(x - last, y, 4).all()):
            return x, count
    return x, 0


# ---- the log-determinant as a series, without the Jacobian -----------------------------------------------------------


def _estimate(op: Residual, at: Point, norm: Tensor, ctx: StepContext) -> Tensor:
    """The estimate of the log-determinant; a term of value zero brings the estimate of its gradient.

    Further terms are taken with the chance ``norm^1.5`` each: above norm², so that the variance is finite.
    """
    probe, terms = ctx.noise["probe"].flatten(1), op.terms if ctx.training else max(op.terms, REFINED)
    rate = float(norm.clamp(LEAST_RATE)) ** 1.5
    value, u = power_series(at.ordered, probe, ctx.noise["stop"], terms, rate)
    if not torch.is_grad_enabled():
        return value
    slope = (u * at.right(probe)).sum(1)
    return value + (slope - slope.detach())


def _solve_by_series(op: Residual, net: Contraction, y: Tensor) -> Tensor:
    """The fixed point, and a Newton step of value zero whose inverse Jacobian is a series of as many terms."""
    limit = math.ceil(math.log(torch.finfo(y.dtype).eps) / math.log(op.lipschitz))
    with torch.no_grad():
        x, count = _fixed_point(net, y, limit)
        x = torch.where(_closed(y - x - net.value(x), y, CLOSED), x, math.nan)
    if torch.is_grad_enabled():
        at = net.at(x)
        still = at.still()
        term = step = x + at.moved - y
        for _ in range(count or limit):
            term = -still.right(term)
            step = step + term
        x = x - step
    return x


def _tables(op: Residual, event: Type, given: Type | None) -> dict[str, Tensor]:
    """The frequencies at which convolutions are looked at."""
    net = op.chain()
    if not isinstance(net, Conv):
        return {}
    return {symbol(k): frequencies(k, event.shape[1:]) for k in set(net.kernels()) - {1}}


TWINS: Final = {Residual: StepTwin(residual_forward, residual_inverse, _tables, loop="bounded")}
