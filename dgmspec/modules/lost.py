"""Where states stop being numbers on the way through a program: along an `ode` of fixed steps, or an `sde` that is
simulated, neither of which looks at its numbers while it runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from dgmspec.core.address import Address
from dgmspec.core.losses import ArrowTerm
from dgmspec.core.types import Type
from dgmspec.modules.calls import prepare
from dgmspec.modules.continuous.ode import evaluation_of, solver_of
from dgmspec.modules.paths.process import process_of
from dgmspec.modules.paths.terms import draw_times
from dgmspec.modules.paths.unsolved import on_the_way
from dgmspec.modules.prepared import Resources
from dgmspec.modules.registry import step_twin, term_twin
from dgmspec.modules.replayed import replayed
from dgmspec.modules.runner import AbstractRunner
from dgmspec.modules.solvers import Fixed, SolverError, locate
from dgmspec.modules.twin import StepContext, flat_rows
from dgmspec.ops.continuous import Ode
from dgmspec.ops.paths.process import AbstractProcess
from dgmspec.ops.paths.simulation import Simulation
from dgmspec.ops.paths.unsolved import Unsolved
from dgmspec.program.program import Instruction, Program

__all__ = ["gone", "lost"]


@torch.no_grad()
def lost(model: AbstractRunner, program: Program, slots: Sequence[Any]) -> SolverError | None:
    """The first arrow of a program on which finite states are lost, and where; None where none are. `slots` are the
    program's after a run."""
    for line in program.instructions:
        error = None
        if isinstance(line.op, Ode):
            error = _lost_along(model, line, slots)
        elif isinstance(line.op, Simulation) and line.target == "forward":
            error = _lost_forwards(model, line, line.op, slots)
        elif isinstance(line.op, ArrowTerm) and isinstance(line.op.step, Unsolved):
            error = _lost_in_noise(line, line.op.step, slots)
        if error is not None:
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


# ---- simulated processes --------------------------------------------------------------------------------------------


def _lost_forwards(
    model: AbstractRunner, line: Instruction, op: Simulation, slots: Sequence[Any]
) -> SolverError | None:
    """Along a process that is run from its prior."""
    x = slots[line.inputs[0]]
    assert line.type is not None
    walk = replayed(line, slots, model.values(), model.externals)
    return gone(op, line.address, line.type, x, ((x.new_full((len(x),), t), state) for t, state in walk))


def _lost_in_noise(line: Instruction, op: Unsolved, slots: Sequence[Any]) -> SolverError | None:
    """Along the noising of data, each row up to a time of its own."""
    event, x, noise = line.type, slots[line.inputs[0]], _draws(line, slots)
    assert event is not None and isinstance(line.op, ArrowTerm)
    tables = term_twin(line.op.loss).tables(line.op.loss, op, event)
    t, _ = draw_times(op, {name: table.to(x.device) for name, table in tables.items()}, noise["time"])
    steps, walk = op.scheme(event.shape).steps, on_the_way(op, process_of(op, event), x, t, noise)
    return gone(
        op, line.address, event, x, ((op.low + (t - op.low) * i / steps, state) for i, state in enumerate(walk))
    )


def _draws(line: Instruction, slots: Sequence[Any]) -> dict[str, Tensor]:
    rest = line.inputs[line.parts + line.context :]
    return {name: slots[slot] for name, slot in zip(line.noise, rest, strict=True)}


def gone(
    op: AbstractProcess, address: Address, event: Type, x: Tensor, walk: Iterable[tuple[Tensor, Tensor]]
) -> SolverError | None:
    """Where a walk of (t (batch,), state) from x first leaves the numbers whose squares its precision has; None where
    it stays, or where the start is none of them."""
    limit = math.sqrt(torch.finfo(x.dtype).max)

    def size(state: Tensor) -> Tensor:
        found: Tensor = flat_rows(state).abs().amax(1)
        return torch.where(found.isfinite(), found, torch.inf)

    before = size(x)
    if bool((before > limit).any()):
        return None
    for t, state in walk:
        here = size(state)
        if bool((here > limit).any()):
            row = int(here.argmax())
            how = f"{op.simulated(event.shape)} leaves the numbers"
            what = f"{how}, after |{op.state}| = {float(before[row]):.3g},"
            return SolverError("process", what, float(t[row]), row, address.rpartition("/")[0])
        before = here
    return None
