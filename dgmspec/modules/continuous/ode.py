"""Twin of an `ode` arrow: the state carried along the velocity, its trace integrated on the way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.continuous.velocity import PROBES, Evaluation, Ready, constants, ready
from dgmspec.modules.counting import count
from dgmspec.modules.solvers import Adaptive, Field, Fixed, SolverError, integrate
from dgmspec.modules.traces import dense_jacobian, estimate, exact_trace, probes
from dgmspec.modules.twin import Parameters, StepContext, StepTwin, flat_rows
from dgmspec.ops.continuous import AbstractAdaptive, AbstractFixed, AbstractSolver, Ode

__all__ = ["TWINS", "carry", "evaluation_of", "solver_of"]


def _forward(op: Ode, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Any, Tensor]:
    return _solved(op, p, x, ctx, op.low, op.high)


def _inverse(op: Ode, p: Parameters, y: Tensor, ctx: StepContext) -> tuple[Any, Tensor]:
    return _solved(op, p, y, ctx, op.high, op.low)


def _solved(op: Ode, p: Parameters, y: Tensor, ctx: StepContext, start: float, end: float) -> tuple[Any, Tensor]:
    """The state at `end` of the path through `y` at `start`, and the integral of the trace along it; beside the state
    the integrals of the rates that loss terms ask for."""
    evaluation, values = evaluation_of(op, p, y, ctx, ctx.plan)
    counted = ctx.counted and not evaluation.known.vanishes
    field = _field(evaluation, counted)
    solver, rates = solver_of(op.solver), int(counted) + len(op.rates)
    try:
        found = integrate(field, y, start, end, values, solver, op.gradient, rates=rates)
    except SolverError as error:
        raise error.at(ctx.address) from error
    count(ctx.address, found.evaluations)
    log_det = found.integrals[0] if counted else y.new_zeros(())
    if not op.rates:
        return found.y, log_det
    along = 1 if start < end else -1
    return (found.y, *(along * integral for integral in found.integrals[int(counted) :])), log_det


def carry(
    op: Ode, p: Parameters, y: Tensor, start: float, end: float, ctx: StepContext, solver: AbstractSolver
) -> Tensor:
    """The state at `end` of the path through `y` at `start`, and nothing else."""
    evaluation, values = evaluation_of(op, p, y, ctx, ctx.plan)

    def field(t: float | Tensor, at: Tensor, q: Any) -> tuple[Tensor]:
        return (evaluation.value(t, at, q),)

    try:
        return integrate(field, y, start, end, values, solver_of(solver), rates=0).y
    except SolverError as error:
        raise error.at(ctx.address) from error


def evaluation_of(
    op: Ode, p: Parameters, y: Tensor, ctx: StepContext, known: Ready
) -> tuple[Evaluation, dict[str, Tensor]]:
    """The velocity under these parameters and this context, and what its evaluations read."""
    values = constants(op, known, p, ctx, y)
    if "probe" in ctx.noise:
        values[PROBES] = probes(op.estimator.probes if op.estimator else "rademacher", ctx.noise["probe"])
    return Evaluation(op, known, (min(op.low, op.high), max(op.low, op.high)), ctx.training), values


# ---- fields ---------------------------------------------------------------------------------------------------------


def _field(evaluation: Evaluation, counted: bool) -> Field:
    """The velocity with its trace, where somebody reads that, and the rates that loss terms ask for."""
    traced = _traced(evaluation) if counted else lambda t, y, p: (evaluation.value(t, y, p),)
    if not evaluation.op.rates:
        return traced
    if "jacobian" in evaluation.op.rates:
        traced = _normed(evaluation, traced, counted)

    def field(t: float | Tensor, y: Tensor, p: Any) -> tuple[Tensor, ...]:
        value, *found = traced(t, y, p)
        extra = {"kinetic": flat_rows(value).square().sum(1), "jacobian": found[-1] if found else value}
        return (value, *found[: int(counted)], *(extra[rate] for rate in evaluation.op.rates))

    return field


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


TWINS = {Ode: StepTwin(_forward, _inverse, plan=_plan, loop="bounded")}
