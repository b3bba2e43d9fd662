"""An `ode` arrow of a compiled model looked at while it runs: its velocity, its paths, its density at any time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.calls import prepare
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.continuous.moment import at_moment, only_arrow
from dgmspec.modules.continuous.ode import ends_under, evaluation_of, solver_of
from dgmspec.modules.prepared import Resources
from dgmspec.modules.randomness import noise_for
from dgmspec.modules.registry import step_twin
from dgmspec.modules.runner import UnavailableError
from dgmspec.modules.solvers import trajectory
from dgmspec.modules.twin import Parameters, StepContext
from dgmspec.ops.continuous import Ode
from dgmspec.program.program import Instruction, Program

__all__ = ["Arrow", "arrow_of", "starts_of"]


@dataclass(frozen=True)
class Arrow:
    """The arrow from t0 to t1 of a model."""

    model: CompiledModel
    op: Ode
    event: Type
    parameters: Parameters
    address: str

    @property
    def name(self) -> str:
        """What the arrow joins: its address without the step's."""
        return self.address.rpartition("/")[0]

    @property
    @torch.no_grad()
    def times(self) -> tuple[float, float]:
        """When it starts and ends, as written."""
        return ends_under(self.op, self.parameters, next(iter(self.parameters.values()), torch.zeros(())))

    @torch.no_grad()
    def velocity(self, t: float, y: Tensor) -> Tensor:
        """dy/dt of states (batch, *event)."""
        context = self._context(self.op)
        evaluation, values = evaluation_of(self.op, self.parameters, y, context, context.plan)
        return evaluation.value(t, y, values)

    @torch.no_grad()
    def paths(self, y: Tensor, times: Sequence[float]) -> Tensor:
        """The states at `times`, of which the first is that of y: (times, batch, *event)."""
        context = self._context(self.op)
        evaluation, values = evaluation_of(self.op, self.parameters, y, context, context.plan)
        solver = solver_of(self.op.solver)
        return trajectory(lambda t, at, p: (evaluation.value(t, at, p),), y, times, values, solver, rates=0).y

    @torch.no_grad()
    def log_prob(self, t: float, y: Tensor) -> Tensor:
        """The log-density of the state at time t, (batch,), its trace exact."""
        found: Tensor = at_moment(self.model, t, exact=True).log_prob(y)
        return found

    def _context(self, op: Ode) -> StepContext:
        plan = step_twin(op).plan(op, self.event, None)
        return StepContext(self.event, plan=plan, address=self.address, modules=self.model.externals)


def arrow_of(model: CompiledModel) -> Arrow:
    """The only `ode` arrow of a model; `UnavailableError` says what does not fit."""
    line = _line_of(model)
    assert isinstance(line.op, Ode) and line.type is not None
    values = model.values()
    own = {name: values[key] for name, key in prepare(line, Resources()).parameters}
    return Arrow(model, line.op, line.type, own, line.address)


@torch.no_grad()
def starts_of(model: CompiledModel, variable: str, x: Tensor, seed: int = 0) -> Tensor:
    """The states at the arrow's start of events x of an observed variable."""
    program, line = _program(model), _line_of(model)
    inputs = {variable: x, **noise_for(program, (0, len(x)), seed, model.dtype, model.device)}
    found: Tensor = model.keep(program.phase, inputs)[line.inputs[0]]
    return found


def _program(model: CompiledModel) -> Program:
    """What runs from data along the arrow: the density, or the codes where there is none."""
    return model.program("encode" if model.density == "none" else "log_prob")


def _line_of(model: CompiledModel) -> Instruction:
    line = only_arrow(_program(model), model.name)
    if model.givens:
        raise UnavailableError(f"{model.name} is conditional; an arrow without a context can be drawn")
    return line if line.target == "forward" else replace(line, inputs=line.outputs, outputs=line.inputs)
