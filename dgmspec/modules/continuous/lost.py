"""Where an `ode` of fixed steps, which do not look at their numbers, stops being finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dgmspec.modules.calls import prepare
from dgmspec.modules.continuous.ode import evaluation_of, solver_of
from dgmspec.modules.prepared import Resources
from dgmspec.modules.registry import step_twin
from dgmspec.modules.runner import AbstractRunner
from dgmspec.modules.solvers import Fixed, SolverError, locate
from dgmspec.modules.twin import StepContext
from dgmspec.ops.continuous import Ode
from dgmspec.program.program import Instruction, Program

__all__ = ["lost"]


@torch.no_grad()
def lost(model: AbstractRunner, program: Program, slots: Sequence[Any]) -> SolverError | None:
    """The first arrow of a program on which finite states are lost, and where; None where none are. `slots` are the
    program's after a run."""
    for line in program.instructions:
        if isinstance(line.op, Ode) and (error := _lost_along(model, line, slots)) is not None:
            return error
    return None


def _lost_along(model: AbstractRunner, line: Instruction, slots: Sequence[Any]) -> SolverError | None:
    op, y, solver = line.op, slots[line.inputs[0]], solver_of(line.op.solver)  # type: ignore[union-attr]
    assert isinstance(op, Ode) and line.type is not None
    if not isinstance(solver, Fixed) or not bool(torch.isfinite(y).all()):
        return None
    values = model.values()
    own = {name: values[key] for name, key in prepare(line, Resources()).parameters}
    given = line.input_types[0] if line.context else None
    rest = [slots[slot] for slot in line.inputs[line.parts :]]
    c = rest[0].expand(y.shape[0], *rest[0].shape[1:]) if line.context else None
    draws = dict(zip(line.noise, rest[line.context :], strict=True))
    plan, modules = step_twin(op).plan(op, line.type, given), model.externals
    context = StepContext(line.type, given, c, draws, plan=plan, address=line.address, modules=modules)
    evaluation, read = evaluation_of(op, own, y, context, context.plan)
    first, last = (float(time) for time in evaluation.ends(read))
    start, end = (first, last) if line.target == "forward" else (last, first)

    def field(t: float | Tensor, at: Tensor, p: Any) -> tuple[Tensor]:
        return (evaluation.value(t, at, p),)

    found = locate(field, y, start, end, read, solver, rates=0)
    return None if found is None else found.at(line.address)
