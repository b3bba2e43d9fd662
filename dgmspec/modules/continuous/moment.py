"""A compiled model at a moment inside its `ode` arrow: the law of the state there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from dgmspec.core.op import AbstractOp
from dgmspec.modules.calls import prepare
from dgmspec.modules.continuous.ode import ends_under
from dgmspec.modules.prepared import Resources
from dgmspec.modules.runner import AbstractRunner, UnavailableError
from dgmspec.ops.continuous import Exact, Ode
from dgmspec.program.build import Unavailable
from dgmspec.program.listing import MissingValueError
from dgmspec.program.moments import density_from, draws_until
from dgmspec.program.program import PHASES, Instruction, Phase, Program

__all__ = ["at_moment", "only_arrow", "times_of"]

M = TypeVar("M", bound=AbstractRunner)


def at_moment(model: M, t: float, exact: bool = False) -> M:
    """The same model, parameters shared, whose only variable is the state of its only `ode` arrow at the time `t`: with
    its log-density, and draws of it. `exact` takes the trace exactly where the model estimates it."""
    if model.frozen:
        raise UnavailableError("a frozen model has no moments: ask the model that it was frozen from")
    first, last = times_of(model, only_arrow(model.program("sample"), model.name))
    if not min(first, last) <= t <= max(first, last):
        raise ValueError(f"the time of {model.name} runs from {first:g} to {last:g}, and {t:g} lies outside")
    found: dict[Phase, Program | Unavailable] = {
        phase: Unavailable(phase, "only log_prob and sample are those of a moment") for phase in PHASES
    }
    for phase in ("log_prob", "sample"):
        found[phase] = _cut(model, phase, t, exact)
    return model.with_programs(found)


def only_arrow(program: Program, name: str) -> Instruction:
    """The only instruction of a program of the model `name` that runs along an `ode`."""
    lines = [line for line in program.instructions if isinstance(line.op, Ode)]
    if len(lines) != 1:
        raise UnavailableError(f"{name} has {len(lines) or 'no'} `ode` arrows; this is about a model with one")
    return lines[0]


@torch.no_grad()
def times_of(model: AbstractRunner, arrow: Instruction) -> tuple[float, float]:
    """When an arrow starts and ends, as its text has it."""
    assert isinstance(arrow.op, Ode) and arrow.type is not None
    values = model.values()
    own = {name: values[key] for name, key in prepare(arrow, Resources()).parameters}
    return ends_under(arrow.op, own, torch.empty(0, dtype=model.dtype, device=model.device))


def _cut(model: AbstractRunner, phase: Phase, t: float, exact: bool) -> Program | Unavailable:
    """The program of a phase at a moment."""
    program = model.programs[phase]
    if isinstance(program, Unavailable):
        return program
    line = only_arrow(program, model.name)
    node = next(arrow for arrow in model.graph.arrows.values() if line.address in arrow.steps)
    along = line.target == "forward"
    data_first = along == (phase == "log_prob")
    name = node.source if data_first else node.target
    cut = _cutting(t, data_first, exact)
    try:
        if phase == "sample":
            return draws_until(program, line, cut, name)
        assert line.type is not None
        return density_from(program, line, cut, name, line.type)
    except MissingValueError as missing:
        return Unavailable(phase, missing.reason)


def _cutting(t: float, data_first: bool, exact: bool) -> Callable[[Instruction], AbstractOp]:
    """Cuts an arrow at `t`, of which the end, or else the start, looks to the prior."""

    def cut(line: Instruction) -> AbstractOp:
        assert isinstance(line.op, Ode)
        own = {"trace": Exact()} if exact else {}
        return line.op.model_copy(update={"between": (t, "end") if data_first else ("start", t), **own})

    return cut
