"""Folding constants for inference: what does not depend on data is computed once, in float64.

A maximal run of steps with a constant Jacobian on vectors is an affine map x ↦ x M + b. Evaluated on the zero vector
and on the unit vectors, in the direction that the program runs it, it gives b, M and log|det M|: so the inverses that
triangular and dense matrices need are computed here, and permutations and scales beside a matrix cost nothing. A run of
scales and permutations alone has one entry in each row of M and becomes a permutation and one scale and shift. Whatever
log-determinants are constant then, of folded runs and of single steps on events of any shape, are one number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from dgmspec.core.address import child
from dgmspec.core.jacobian import Fact, Structure
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import REAL
from dgmspec.modules.calls import prepare
from dgmspec.modules.prepared import Resources
from dgmspec.modules.sums import CONSTANT
from dgmspec.program.build import Unavailable
from dgmspec.program.liveness import last_uses
from dgmspec.program.program import Instruction, Phase, Program

__all__ = ["fold"]

_CHEAP = (Structure.IDENTITY, Structure.PERMUTATION, Structure.DIAGONAL)
_TRAINING = ("loss", "weighted_loss", "initialise")


@torch.no_grad()
def fold(
    programs: Mapping[Phase, Program | Unavailable], resources: Resources, values: Mapping[str, Tensor]
) -> tuple[dict[Phase, Program | Unavailable], dict[str, Tensor]]:
    """The programs for inference and the float64 tables that their folded instructions read."""
    exact = {k: v.detach().cpu().double() if v.is_floating_point() else v.cpu() for k, v in values.items()}
    folded: dict[Phase, Program | Unavailable] = {}
    tables: dict[str, Tensor] = {}
    for phase, program in programs.items():
        if phase in _TRAINING:
            folded[phase] = Unavailable(phase, "a frozen model is for inference; train the model that `compile` gave")
        elif isinstance(program, Program):
            for run in _runs(program):
                program, made = _merged(program, run, resources, exact)
                tables |= made
            folded[phase], made = _hoisted(program, resources, exact | tables)
            tables |= made
        else:
            folded[phase] = program
    return folded, tables


def _runs(program: Program) -> list[tuple[Instruction, ...]]:
    """Maximal chains of foldable steps, each feeding the next alone, that hold a full matrix or more than one scale."""
    uses = Counter(slot for line in program.instructions for slot in line.inputs)
    uses.update(program.outputs.values())
    runs: list[list[Instruction]] = []
    open_at: dict[int, list[Instruction]] = {}
    for line in program.instructions:
        if not _foldable(line):
            continue
        run = open_at.pop(line.inputs[0], None) if uses[line.inputs[0]] == 1 else None
        if run is None:
            run = []
            runs.append(run)
        run.append(line)
        open_at[line.outputs[0]] = run
    return [tuple(run) for run in runs if any(map(_costly, run)) or sum(map(_scales, run)) > 1]


def _foldable(line: Instruction) -> bool:
    """Whether a step is an affine map of vectors that reads nothing but its input."""
    if line.target not in ("forward", "inverse") or line.noise:
        return False
    op, event = line.op, line.type
    assert isinstance(op, AbstractStep) and event is not None
    if line.context and op.reads_context(event, line.input_types[0]):
        return False
    after = op.infer_type(event, None)
    square = event.support == after.support == REAL and len(event.shape) == 1 and event.shape == after.shape
    return square and op.jacobian(event, None).constant is Fact.YES


def _costly(line: Instruction) -> bool:
    op, event = line.op, line.type
    assert isinstance(op, AbstractStep) and event is not None
    return op.jacobian(event, None).structure not in _CHEAP


def _scales(line: Instruction) -> bool:
    """Whether a foldable step is more than a permutation."""
    assert isinstance(line.op, AbstractStep) and line.type is not None
    return line.op.moves(line.type) is None


def _address(program: Program, run: tuple[Instruction, ...]) -> str:
    return child(child(run[0].address, "folded"), program.phase)


def _merged(
    program: Program, run: tuple[Instruction, ...], resources: Resources, values: Mapping[str, Tensor]
) -> tuple[Program, dict[str, Tensor]]:
    """The program with `run` as one map, which fills the slots of the run's last step, and the map's tables."""
    first, last, address = run[0], run[-1], _address(program, run)
    matrix, shift, log_det = _affine(run, resources, values)
    line = Instruction("affine", address, first.inputs[:1], last.outputs, type=first.type)
    lines, found = [line], {"matrix": matrix, "shift": shift, "log_det": log_det}
    if not any(map(_costly, run)):
        source = matrix.abs().argmax(0)
        slot = program.slots
        program = replace(program, slots=slot + 1)
        moved = Instruction("gather", "", line.inputs, (slot,), type=first.type, index=tuple(source.tolist()))
        lines = [moved, replace(line, target="scaled", inputs=(slot,))]
        found = {"scale": matrix.gather(0, source[None])[0], "shift": shift, "log_det": log_det}
    return _replaced(program, run, lines), {child(address, name): table for name, table in found.items()}


def _replaced(program: Program, run: tuple[Instruction, ...], merged: list[Instruction]) -> Program:
    """The program with the lines `merged` in the place of `run`."""
    last, outputs = run[-1], {line.outputs for line in run}
    label = " ".join(line.op.name for line in run if isinstance(line.op, AbstractStep))
    dropped = {line.outputs[1] for line in run[:-1]}
    lines: list[Instruction] = []
    for line in program.instructions:
        if line.target == "repeat" and line.inputs[0] in dropped:
            dropped.add(line.outputs[0])
        elif line.outputs == last.outputs:
            lines += merged
        elif line.outputs not in outputs:
            lines.append(_without(line, dropped))
    ledger = tuple(
        replace(entry, label=label) if entry.slot == last.outputs[1] else entry
        for entry in program.ledger
        if entry.slot not in dropped
    )
    return replace(program, instructions=last_uses(lines, program.outputs.values()), ledger=ledger)


def _without(line: Instruction, dropped: set[int]) -> Instruction:
    """A sum without the contributions that are part of another now."""
    if line.target != "total" or dropped.isdisjoint(line.inputs):
        return line
    kept = [(slot, sign) for slot, sign in zip(line.inputs, line.signs, strict=True) if slot not in dropped]
    return replace(line, inputs=tuple(s for s, _ in kept), signs=tuple(s for _, s in kept))


def _affine(
    run: tuple[Instruction, ...], resources: Resources, values: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """M, b and log|det M| of a run, from its values at zero and at the unit vectors."""
    assert run[0].type is not None
    size = run[0].type.size
    x = torch.cat([torch.zeros(1, size, dtype=torch.float64), torch.eye(size, dtype=torch.float64)])
    log_det = torch.zeros((), dtype=torch.float64)
    for line in run:
        x, part = _alone(line, resources, values, x)
        log_det = log_det + part
    return (x[1:] - x[:1]).contiguous(), x[0].clone(), log_det


def _alone(line: Instruction, resources: Resources, values: Mapping[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """A step that reads no context, at x: the result, and its constant log-determinant."""
    call = prepare(replace(line, inputs=line.inputs[:1], input_types=(), context=False), resources)
    y, log_det = call.run(False, {name: values[key] for name, key in call.parameters}, x)
    return y, log_det if log_det.dim() == 0 else log_det[0]


# ---- constant log-determinants --------------------------------------------------------------------------------------


def _hoisted(program: Program, resources: Resources, values: Mapping[str, Tensor]) -> tuple[Program, dict[str, Tensor]]:
    """The program whose sums have their constant parts in a table."""
    constants: dict[int, Tensor] = {}
    lines: list[Instruction] = []
    tables: dict[str, Tensor] = {}
    for line in program.instructions:
        found = _constant(line, resources, values)
        if found is not None:
            constants[line.outputs[1]] = found
        if line.target == "total" and not constants.keys().isdisjoint(line.inputs):
            signed = [(constants[s], sign) for s, sign in zip(line.inputs, line.signs, strict=True) if s in constants]
            address = child(child(program.phase, "total"), line.outputs[0])
            tables[child(address, CONSTANT)] = torch.stack([sign * value for value, sign in signed]).sum()
            line = replace(_without(line, set(constants)), address=address)
        lines.append(line)
    return replace(program, instructions=last_uses(lines, program.outputs.values())), tables


def _constant(line: Instruction, resources: Resources, values: Mapping[str, Tensor]) -> Tensor | None:
    """The log-determinant of a line where it does not depend on data."""
    if line.target in ("affine", "scaled"):
        return values[child(line.address, "log_det")]
    if line.target not in ("forward", "inverse") or line.noise or line.parts != 1 or len(line.outputs) != 2:
        return None
    op, event = line.op, line.type
    assert isinstance(op, AbstractStep) and event is not None
    reads = line.context and op.parameters(event, line.input_types[0]) != op.parameters(event, None)
    if reads or event.support != REAL or op.jacobian(event, None).constant is not Fact.YES:
        return None
    end = event if line.target == "forward" else op.infer_type(event, None)
    if event.aside or end.aside:
        return None
    return _alone(line, resources, values, torch.zeros(1, *end.shape, dtype=torch.float64))[1]
