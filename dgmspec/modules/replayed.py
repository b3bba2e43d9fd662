"""An `sde` that a program has run forwards, run again for the states on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from dgmspec.modules.paths.simulation import states
from dgmspec.modules.registry import step_twin
from dgmspec.modules.twin import Modules, StepContext
from dgmspec.ops.paths.simulation import Simulation
from dgmspec.program.program import Instruction

__all__ = ["replayed"]


def replayed(
    line: Instruction, slots: Sequence[Any], values: Mapping[str, Tensor], modules: Modules
) -> Iterator[tuple[float, Tensor]]:
    """(t, state) at the start and after each step; `slots` are the program's after a run, `values` the model's."""
    op, event, given = line.op, line.type, line.input_types[0] if line.context else None
    assert isinstance(op, Simulation) and event is not None
    x, *rest = (slots[slot] for slot in line.inputs)
    c = rest[0].expand(x.shape[0], *rest[0].shape[1:]) if line.context else None
    twin = step_twin(op)
    p = {spec.name: values[spec.key(line.address)] for spec in op.parameters(event, given)}
    p |= {name: table.to(x.device) for name, table in twin.tables(op, event, given).items()}
    noise = dict(zip(line.noise, rest[line.context :], strict=True))
    plan = twin.plan(op, event, given)
    context = StepContext(event, given, c, noise, plan=plan, address=line.address, modules=modules)
    yield op.low, x
    yield from states(op, p, x, context)
