"""Twin of an `ode` arrow: the state carried along the velocity, its trace integrated on the way."""

from __future__ import annotations

from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.continuous.velocity import PROBES, Evaluation, Ready, constants, ready
from dgmspec.modules.solvers import Adaptive, Fixed, SolverError, integrate
from dgmspec.modules.solvers.steps import Field
from dgmspec.modules.traces import estimate, exact_trace, probes
from dgmspec.modules.twin import Parameters, StepContext, StepTwin
from dgmspec.ops.continuous import AbstractAdaptive, AbstractFixed, AbstractSolver, Ode

Result = tuple[Tensor, Tensor]


def _forward(op: Ode, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    return _solved(op, p, x, ctx, op.low, op.high)


def _inverse(op: Ode, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    return _solved(op, p, y, ctx, op.high, op.low)


def _solved(op: Ode, p: Parameters, y: Tensor, ctx: StepContext, start: float, end: float) -> Result:
    """The state at `end` of the path through `y` at `start`, and the integral of the trace along it."""
    known: Ready = ctx.plan
    values = constants(op, known, p, ctx, y)
    counted = ctx.counted and not known.vanishes
    if counted and op.estimator is not None:
        values[PROBES] = probes(op.estimator.probes, ctx.noise["probe"])
    span = (min(op.low, op.high), max(op.low, op.high))
    field = _field(Evaluation(op, known, span, ctx.training), counted)
    try:
        found = integrate(field, y, start, end, values, solver_of(op.solver), op.gradient, rates=int(counted))
    except SolverError as error:
        raise error.at(ctx.address) from error
    return found.y, found.integrals[0] if counted else y.new_zeros(())


def _field(evaluation: Evaluation, counted: bool) -> Field:
    """The velocity with its trace where somebody reads that."""
    value = evaluation.value
    if not counted:
        return lambda t, y, p: (value(t, y, p),)
    if evaluation.known.divergence is not None:
        return evaluation.value_and_trace
    if evaluation.op.estimator is not None:
        return lambda t, y, p: estimate(lambda at: value(t, at, p), y, p[PROBES])[:2]
    return lambda t, y, p: exact_trace(lambda at: value(t, at, p), y)


def solver_of(op: AbstractSolver) -> Fixed | Adaptive:
    """The numerics of a solver."""
    if isinstance(op, AbstractFixed):
        return Fixed(op.name, op.steps)
    assert isinstance(op, AbstractAdaptive)
    return Adaptive(op.name, op.rtol, op.atol, op.max_steps)


def _plan(op: Ode, event: Type, given: Type | None) -> Ready:
    return ready(op, event)


TWINS = {Ode: StepTwin(_forward, _inverse, plan=_plan, loop="bounded")}
