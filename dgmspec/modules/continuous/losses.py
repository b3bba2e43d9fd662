"""Twins of flow matching and of rectification: the velocity at a drawn time of a drawn path against the path's own."""

from __future__ import annotations

import math

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.continuous.ode import Place, carried, evaluation_of
from dgmspec.modules.continuous.ready import Ready, ready
from dgmspec.modules.nets import below
from dgmspec.modules.twin import Parameters, StepContext, TermTwin, by_row, flat_rows, sum_event
from dgmspec.ops.continuous.losses import TEACHER, FlowMatching, Reflow
from dgmspec.ops.continuous.ode import Ode

BLOCK = 512
"""Rows that are paired with one another at most."""

EARLIEST = 1e-3
"""The part of a `vp` path next to the data that is left out: dσ/dr grows there without bound."""


def matching(
    op: FlowMatching, step: Ode, p: Parameters, x: Tensor, y: Tensor, begins: bool, ctx: StepContext
) -> Tensor:
    """(batch,): ‖velocity - dy_s/dt‖², x being the value at the arrow's start and y that at its end."""
    s = ctx.noise["time"]
    r, data, noise = (s, x, y) if begins else (1 - s, y, x)
    if op.coupling == "minibatch_ot":
        noise = noise[_nearest(data, noise, ctx.given)]
    (alpha, sigma), (falls, grows) = _curves(op, r)
    along = 1.0 if begins else -1.0
    at = by_row(alpha, x) * data + by_row(sigma, x) * noise
    wanted = (by_row(falls, x) * data + by_row(grows, x) * noise) * along
    return _missed(step, p, at, wanted, ctx)


def rectifying(op: Reflow, step: Ode, p: Parameters, x: Tensor, y: Tensor, begins: bool, ctx: StepContext) -> Tensor:
    """(batch,): ‖velocity - (end - start)‖² on straight lines between the noise, one of x and y, and where the teacher
    carries it."""
    noise = y if begins else x
    with torch.no_grad():
        way: tuple[Place, Place] = ("end", "start") if begins else ("start", "end")
        data = carried(step, below(p, TEACHER), noise, ctx, *way, op.solver or step.solver)
    first, last = (data, noise) if begins else (noise, data)
    s = by_row(ctx.noise["time"], x)
    return _missed(step, p, first + s * (last - first), last - first, ctx)


def _missed(step: Ode, p: Parameters, at: Tensor, wanted: Tensor, ctx: StepContext) -> Tensor:
    """(batch,): ‖velocity - wanted‖² at states at the drawn parts of the arrow's time; `wanted` is for a time of 1."""
    evaluation, values = evaluation_of(step, p, at, ctx, ctx.plan)
    start, end = evaluation.ends(values)
    t = start + ctx.noise["time"] * (end - start)
    return sum_event((evaluation.value(t, at, values) - wanted / _rows_of(end - start, at)).square(), ctx.event)


def _curves(op: FlowMatching, r: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """α and σ at the way r from data to noise, (batch,), and their derivatives by r."""
    if op.path == "linear":
        return (1 - r, r), (-torch.ones_like(r), torch.ones_like(r))
    if op.path == "cosine":
        angle = r * (math.pi / 2)
        return (angle.cos(), angle.sin()), (angle.sin() * (-math.pi / 2), angle.cos() * (math.pi / 2))
    r = EARLIEST + (1 - EARLIEST) * r
    rate, slope = 0.1 * r + 9.95 * r**2, (0.1 + 19.9 * r) * (1 - EARLIEST)
    alpha, sigma = (-rate / 2).exp(), (-torch.expm1(-rate)).sqrt()
    return (alpha, sigma), (-slope / 2 * alpha, slope / 2 * alpha**2 / sigma)


def _rows_of(number: float | Tensor, like: Tensor) -> float | Tensor:
    """One number against events."""
    return number if isinstance(number, float) else by_row(number, like)


@torch.no_grad()
def _nearest(data: Tensor, noise: Tensor, given: Tensor | None = None) -> Tensor:
    """The noise for each row of the data with the least sum of squared distances, block by block: optimal transport
    between batches; of rows with a context, among those of the same one, given which noise is then the prior's.

    An assignment takes time in the third power of its rows, so that a whole validation set is never one block.
    """
    found = []
    for start in range(0, len(data), BLOCK):
        a, b = (flat_rows(part[start : start + BLOCK]).double() for part in (data, noise))
        cost = torch.cdist(a, b).square()
        if given is not None:
            context = torch.unique(flat_rows(given[start : start + BLOCK]), dim=0, return_inverse=True)[1]
            # Dearer than all others together, and never needed: rows may stay as they are.
            cost = torch.where(context.unsqueeze(1) == context, cost, 1.0 + cost.sum())
        found.append(start + torch.as_tensor(linear_sum_assignment(cost.cpu().numpy())[1]))
    return torch.cat(found).to(data.device)


def _plan(op: FlowMatching | Reflow, step: Ode, event: Type) -> Ready:
    return ready(step, event)


TWINS = {FlowMatching: TermTwin(matching, plan=_plan), Reflow: TermTwin(rectifying, plan=_plan)}
