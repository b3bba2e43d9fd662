"""Instructions of steps prepared for running: both directions, a step on its two parts, loss terms about one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dgmspec.core.address import child
from dgmspec.core.losses import ArrowTerm
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import Type
from dgmspec.modules.prepared import Call, Resources
from dgmspec.modules.registry import prepare_scalars, resolve_held, step_twin, term_twin
from dgmspec.modules.sums import Run
from dgmspec.modules.twin import NO_MODULES, Modules, StepContext, StepFunction
from dgmspec.program.program import Instruction

__all__ = ["prepare_part", "prepare_step", "prepare_term"]


def prepare_step(line: Instruction, resources: Resources) -> Call:
    """A step in one direction, or the setting of its parameters from the data that reach it."""
    op, event = line.op, line.type
    assert isinstance(op, AbstractStep) and event is not None
    given = line.input_types[0] if line.context else None
    twin = step_twin(op)
    resolve_held(op)
    prepare_scalars(op, event.support)
    tables = resources.step_tables(line.address, lambda: twin.tables(op, event, given))
    keys = {s.name: s.key(line.address) for s in op.parameters(event, given)}
    keys |= {name: child(line.address, name) for name in tables}
    if line.target in ("initialise", "initialise_inverse"):
        assert twin.initialise is not None, f"{op.name} says that it initialises"
        run = _initialise(op, twin.initialise, line, event, given)
    elif line.target == "update":
        assert twin.update is not None, f"{op.name} says that it updates"
        run = _update(op, twin.update, line, event, given)
    else:
        run = _directed(op, twin.forward if line.target == "forward" else twin.inverse, line, event, given, resources)
    return Call(line, _held(run) if line.detached else run, tuple(keys.items()))


def _held(run: Run) -> Run:
    """The closure of a step that passes no gradient to its parameters."""

    def held(training: bool, p: Mapping[str, Tensor], *values: Tensor) -> Any:
        return run(training, {name: value.detach() for name, value in p.items()}, *values)

    return held


def _directed(
    op: AbstractStep, function: StepFunction, line: Instruction, event: Type, given: Type | None, resources: Resources
) -> Run:
    context = _context(line, event, given, step_twin(op).plan(op, event, given), resources.modules)

    def run(training: bool, p: Mapping[str, Tensor], x: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        return function(op, p, x, context(training, x, *rest))

    return run if line.parts == 1 and len(line.outputs) == 2 else _in_parts(op, function, line.parts, context)


def _in_parts(op: AbstractStep, function: StepFunction, count: int, context: Callable[..., StepContext]) -> Run:
    """The closure of a step that takes or gives parts set aside beside the event."""

    def run(training: bool, p: Mapping[str, Tensor], *values: Tensor) -> tuple[Tensor, ...]:
        x: Any = values[:count] if count > 1 else values[0]
        y, log_det = function(op, p, x, context(training, values[0], *values[count:]))
        return (*y, log_det) if isinstance(y, tuple) else (y, log_det)

    return run


def _initialise(op: AbstractStep, function: Any, line: Instruction, event: Type, given: Type | None) -> Run:
    context = _context(line, event, given, step_twin(op).plan(op, event, given))
    inverse = line.target == "initialise_inverse"

    def run(training: bool, p: Mapping[str, Tensor], x: Tensor, *rest: Tensor) -> tuple[()]:
        for name, value in function(op, p, x, context(training, x, *rest), inverse).items():
            p[name].copy_(value)
        return ()

    return run


def _update(op: AbstractStep, function: Any, line: Instruction, event: Type, given: Type | None) -> Run:
    context = _context(line, event, given, step_twin(op).plan(op, event, given))

    @torch.no_grad()
    def update(p: Mapping[str, Tensor], x: Tensor, *rest: Tensor) -> None:
        for name, value in function(op, p, x, context(True, x, *rest)).items():
            p[name].copy_(value)

    def run(training: bool, p: Mapping[str, Tensor], x: Tensor, *rest: Tensor) -> tuple[()]:
        if training:
            update(p, x, *rest)
        return ()

    return run


def prepare_part(line: Instruction) -> Call:
    """A step on its two parts, which reads parameters and no table of its own."""
    op, event = line.op, line.type
    assert isinstance(op, AbstractStep) and event is not None
    given = line.input_types[0] if line.context else None
    part, inverse = step_twin(op).part, line.target != "forward_part"
    assert part is not None, f"{op.name} says that it divides its event"
    resolve_held(op)
    prepare_scalars(op, event.support)
    context = _context(line, event, given, step_twin(op).plan(op, event, given))

    def run(
        training: bool, p: Mapping[str, Tensor], kept: Tensor, moved: Tensor, *rest: Tensor
    ) -> tuple[Tensor, Tensor]:
        return part(op, p, kept, moved, context(training, moved, *rest), inverse)

    return Call(
        line,
        _held(run) if line.detached else run,
        tuple((s.name, s.key(line.address)) for s in op.parameters(event, given)),
    )


def prepare_term(line: Instruction, resources: Resources) -> Call:
    """A loss about one step, which reads the step's parameters and tables, and tables of its own."""
    op, event = line.op, line.type
    assert isinstance(op, ArrowTerm) and event is not None
    step, given = op.step, line.input_types[0] if line.context else None
    twin, of_step = term_twin(op.loss), step_twin(op.step)
    resolve_held(step)
    keys = {s.name: s.key(line.address) for s in step.parameters(event, given)}
    keys |= {
        n: child(line.address, n)
        for n in resources.step_tables(line.address, lambda: of_step.tables(step, event, given))
    }
    keys |= {n: child(op.at, n) for n in resources.step_tables(op.at, lambda: twin.tables(op.loss, step, event))}
    keys |= {s.name: child(op.at, s.name) for s in op.loss.term_parameters(step, line.address, event, given)}
    context = _context(line, event, given, twin.plan(op.loss, step, event), resources.modules)

    def run(training: bool, p: Mapping[str, Tensor], *values: Tensor) -> Tensor:
        ends, rest = [x.detach() for x in values[: line.parts]], values[line.parts :]
        seen = context(training, ends[0], *rest)
        if op.loss.pairs:
            return twin.function(op.loss, step, p, *ends, op.begins, seen)
        return twin.function(op.loss, step, p, *ends, seen)

    return Call(line, run, tuple(keys.items()))


def _context(
    line: Instruction,
    event: Type,
    given: Type | None,
    plan: Any,
    modules: Modules = NO_MODULES,
) -> Callable[..., StepContext]:
    """(training, x, *rest) -> what the step sees; built once where nothing varies."""
    noise, has_context, counted, at = line.noise, line.context, line.counted, line.address
    if not noise and not has_context:
        seen = StepContext(event, counted=counted, plan=plan, address=at, modules=modules)
        fixed = seen, replace(seen, training=True)
        return lambda training, x: fixed[training]

    def build(training: bool, x: Tensor, *rest: Tensor) -> StepContext:
        c = _rows_of(rest[0], x) if has_context else None
        draws = dict(zip(noise, rest[has_context:], strict=True))
        return StepContext(event, given, c, draws, training, counted, plan, at, modules)

    return build


def _rows_of(c: Tensor, x: Tensor) -> Tensor:
    """A context of batch 1 repeated for every row of x (a view)."""
    return c.expand(x.shape[0], *c.shape[1:]) if c.shape[0] == 1 and x.shape[0] != 1 else c
