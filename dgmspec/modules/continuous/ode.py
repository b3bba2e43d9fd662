"""Twin of an `ode` arrow: the state carried along the velocity, its trace integrated on the way."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.shapes import shape_of
from dgmspec.core.types import Type
from dgmspec.modules.continuous.constants import CONTEXT, FREE, PROBES, constants, learned_of
from dgmspec.modules.continuous.ready import Ready, ready
from dgmspec.modules.continuous.velocity import Evaluation
from dgmspec.modules.counting import count
from dgmspec.modules.expressions import as_tensor, prepare
from dgmspec.modules.guidance import beyond
from dgmspec.modules.nets.external import tried
from dgmspec.modules.solvers import Adaptive, Field, Fixed, SolverError, integrate
from dgmspec.modules.traces import dense_jacobian, estimate, exact_trace, probes
from dgmspec.modules.twin import Modules, Parameters, StepContext, StepTwin, flat_rows
from dgmspec.ops.continuous import AbstractAdaptive, AbstractFixed, AbstractSolver, Ode
from dgmspec.ops.nets import External

__all__ = ["TWINS", "carried", "ends_under", "evaluation_of", "solved", "solver_of"]


Place = Literal["start", "end"] | float
"""A time of an arrow: one of its ends, or a number."""


def _forward(op: Ode, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Any, Tensor]:
    return solved(op, p, x, ctx, *op.between)


def _inverse(op: Ode, p: Parameters, y: Tensor, ctx: StepContext) -> tuple[Any, Tensor]:
    return solved(op, p, y, ctx, *op.between[::-1])


def solved(op: Ode, p: Parameters, y: Tensor, ctx: StepContext, start: Place, end: Place) -> tuple[Any, Tensor]:
    """The state at `end` of the path through `y` at `start`, and the integral of the trace on the way; beside the state
    the integrals of the rates that loss terms ask for."""
    evaluation, values = evaluation_of(op, p, y, ctx, ctx.plan)
    counted = ctx.counted and not evaluation.known.vanishes
    field, rates = _field(evaluation, counted), int(counted) + len(op.rates)
    first, last = _times(evaluation, values, start, end)
    try:
        solver = solver_of(op.solver)
        found = integrate(field, y, first, last, values, solver, op.gradient, rates=rates, seminorm=op.seminorm)
    except SolverError as error:
        raise error.at(ctx.address) from error
    count(ctx.address, found.evaluations)
    log_det = found.integrals[0] if counted else y.new_zeros(())
    if not op.rates:
        return found.y, log_det
    way = torch.sign(last - first) if isinstance(last, Tensor) else 1 if first < last else -1
    return (found.y, *(way * integral for integral in found.integrals[int(counted) :])), log_det


def carried(
    op: Ode, p: Parameters, y: Tensor, ctx: StepContext, start: Place, end: Place, by: AbstractSolver
) -> Tensor:
    """The state at `end` alone, solved by another solver."""
    evaluation, values = evaluation_of(op, p, y, ctx, ctx.plan)
    first, last = _times(evaluation, values, start, end)
    try:
        return integrate(_field(evaluation, False), y, first, last, values, solver_of(by), rates=len(op.rates)).y
    except SolverError as error:
        raise error.at(ctx.address) from error


def ends_under(op: Ode, p: Parameters, like: Tensor) -> tuple[float, float]:
    """When an arrow starts and ends under these parameters."""
    learned = learned_of(op, p)
    start, end = (
        float(as_tensor(prepare(time)(learned, like), like)) if isinstance(time, AbstractExpr) else time
        for time in (op.low, op.high)
    )
    return start, end


def _times(evaluation: Evaluation, values: dict[str, Tensor], *places: Place) -> list[float | Tensor]:
    """The times that places stand for."""
    ends = dict(zip(("start", "end"), evaluation.ends(values), strict=True))
    return [ends[place] if isinstance(place, str) else place for place in places]


def evaluation_of(
    op: Ode, p: Parameters, y: Tensor, ctx: StepContext, known: Ready
) -> tuple[Evaluation, dict[str, Tensor]]:
    """The velocity under these parameters and this context, and what its evaluations read."""
    values = constants(op, known, p, ctx, y)
    if "probe" in ctx.noise:
        values[PROBES] = probes(op.estimator.probes if op.estimator else "rademacher", ctx.noise["probe"])
    return Evaluation(op, known, ctx.training, ctx.modules), values


# ---- fields ---------------------------------------------------------------------------------------------------------


def _field(evaluation: Evaluation, counted: bool) -> Field:
    """The velocity with its trace, where somebody reads that, and the rates that loss terms ask for."""
    traced = _traced(evaluation) if counted else lambda t, y, p: (evaluation.value(t, y, p),)
    if evaluation.op.guidance:
        return _guided(traced, evaluation.op.guidance)
    if not evaluation.op.rates:
        return traced
    if "jacobian" in evaluation.op.rates:
        traced = _normed(evaluation, traced, counted)

    def field(t: float | Tensor, y: Tensor, p: Any) -> tuple[Tensor, ...]:
        value, *found = traced(t, y, p)
        extra = {"kinetic": flat_rows(value).square().sum(1), "jacobian": found[-1] if found else value}
        return (value, *found[: int(counted)], *(extra[rate] for rate in evaluation.op.rates))

    return field


def _guided(field: Field, guidance: float) -> Field:
    """The velocity given the context and away from that without it, and its trace, which is linear in it."""

    def both(t: float | Tensor, y: Tensor, p: Any) -> tuple[Tensor, ...]:
        given, free = field(t, y, p), field(t, y, {**p, CONTEXT: p[FREE]})
        return tuple(beyond(a, b, guidance) for a, b in zip(given, free, strict=True))

    return both


def _traced(evaluation: Evaluation) -> Field:
    """dy/dt and its trace: by its formula, estimated, or by one derivative for each coordinate."""
    value = evaluation.value
    if evaluation.known.divergence is not None:
        return evaluation.value_and_trace
    if evaluation.op.estimator is not None:
        return lambda t, y, p: estimate(lambda at: value(t, at, p), y, p[PROBES])[:2]
    return lambda t, y, p: exact_trace(lambda at: value(t, at, p), y)


def _normed(evaluation: Evaluation, traced: Field, counted: bool) -> Field:
    """The same with ‖∂(dy/dt)/∂y‖² behind."""
    value, known, op = evaluation.value, evaluation.known, evaluation.op

    def closed(t: float | Tensor, y: Tensor, p: Any) -> tuple[Tensor, ...]:
        return (*traced(t, y, p), evaluation.value_and_norm(t, y, p)[1])

    def dense(t: float | Tensor, y: Tensor, p: Any) -> tuple[Tensor, ...]:
        found, jacobian = dense_jacobian(lambda at: value(t, at, p), y)
        trace = (torch.diagonal(jacobian, dim1=1, dim2=2).sum(1),) if counted else ()
        return (found, *trace, jacobian.square().sum((1, 2)))

    def estimated(t: float | Tensor, y: Tensor, p: Any) -> tuple[Tensor, ...]:
        found, trace, norm = estimate(lambda at: value(t, at, p), y, p[PROBES])
        if not counted or op.estimator is not None:
            return (found, *((trace,) if counted else ()), norm)
        return (*traced(t, y, p), norm)

    if known.norm == "closed form":
        return closed
    return dense if known.norm == "derivatives" else estimated


def solver_of(op: AbstractSolver) -> Fixed | Adaptive:
    """The numerics of a solver."""
    if isinstance(op, AbstractFixed):
        return Fixed(op.name, op.steps)
    assert isinstance(op, AbstractAdaptive)
    return Adaptive(op.name, op.rtol, op.atol, op.max_steps)


def _plan(op: Ode, event: Type, given: Type | None) -> Ready:
    return ready(op, event)


def _examine(op: Ode, event: Type, modules: Modules, like: Tensor) -> None:
    """Run each network of the user's own on random states, contexts and times."""
    velocity, shapes, generator = op.velocity, op.at(event).shapes, torch.Generator().manual_seed(0)
    for reading in velocity.all_readings:
        net = velocity.net(reading.net)
        if isinstance(net.op, External):
            drawn = [torch.randn(3, *shape_of(arg, shapes), generator=generator) for arg in reading.args]
            tried(net.name, modules[velocity.at(net.name)], [v.to(like) for v in drawn], net.size.at(shapes))


TWINS = {Ode: StepTwin(_forward, _inverse, plan=_plan, examine=_examine, loop="bounded")}
