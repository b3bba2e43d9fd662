"""Folding constants for inference: programs whose constant linear steps are one product with a stored matrix.

A maximal run of steps with a constant Jacobian on vectors is an affine map x ↦ x M + b. Evaluated in float64 on the
zero vector and on the unit vectors, in the direction that the program runs it, it gives b, M and log|det M| once: so
the inverses that triangular and dense matrices need are computed here, and permutations and scales cost nothing.
Runs of scales and permutations alone are left: they are cheaper than a product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from dgmspec.core.address import child
from dgmspec.core.jacobian import Fact, Structure
from dgmspec.core.op import AbstractStep
from dgmspec.core.types import REAL
from dgmspec.modules.calls import Resources, prepare
from dgmspec.modules.sums import AFFINE
from dgmspec.program.build import Unavailable
from dgmspec.program.liveness import last_uses
from dgmspec.program.program import Instruction, Phase, Program

__all__ = ["fold"]

_CHEAP = (Structure.IDENTITY, Structure.PERMUTATION, Structure.DIAGONAL)
_TRAINING = ("loss", "initialise")


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
                program = _replaced(program, run)
                tables |= _tables(program, run, resources, exact)
            folded[phase] = program
        else:
            folded[phase] = program
    return folded, tables


def _runs(program: Program) -> list[tuple[Instruction, ...]]:
    """Maximal chains of foldable steps, each feeding the next alone, that hold at least one full matrix."""
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
    return [tuple(run) for run in runs if any(_costly(line) for line in run)]


def _foldable(line: Instruction) -> bool:
    """Whether a step is an affine map of vectors that reads nothing but its input.

    Inside an arrow with a context, a step whose parameters are the same without one does not read it.
    """
    if line.target not in ("forward", "inverse") or line.noise:
        return False
    op, event = line.op, line.type
    assert isinstance(op, AbstractStep) and event is not None
    if line.context and op.parameters(event, line.input_types[0]) != op.parameters(event, None):
        return False
    after = op.infer_type(event, None)
    square = event.support == after.support == REAL and len(event.shape) == 1 and event.shape == after.shape
    return square and op.jacobian(event, None).constant is Fact.YES


def _costly(line: Instruction) -> bool:
    op, event = line.op, line.type
    assert isinstance(op, AbstractStep) and event is not None
    return op.jacobian(event, None).structure not in _CHEAP


def _address(program: Program, run: tuple[Instruction, ...]) -> str:
    return child(child(run[0].address, "folded"), program.phase)


def _replaced(program: Program, run: tuple[Instruction, ...]) -> Program:
    """The program with `run` as one instruction, which fills the slots of the run's last step."""
    last = run[-1]
    label = " ".join(line.op.name for line in run if isinstance(line.op, AbstractStep))
    dropped = {line.outputs[1] for line in run[:-1]}
    merged = Instruction("affine", _address(program, run), run[0].inputs[:1], last.outputs, type=run[0].type)
    lines: list[Instruction] = []
    for line in program.instructions:
        if line is last or line.outputs == last.outputs:
            lines.append(merged)
        elif not any(line.outputs == other.outputs for other in run):
            lines.append(_without(line, dropped))
    ledger = tuple(
        replace(entry, label=label) if entry.slot == last.outputs[1] else entry
        for entry in program.ledger
        if entry.slot not in dropped
    )
    results = program.outputs.values()
    return replace(program, instructions=last_uses(lines, results), ledger=ledger)


def _without(line: Instruction, dropped: set[int]) -> Instruction:
    """A sum without the contributions that are part of another now."""
    if line.target != "total" or dropped.isdisjoint(line.inputs):
        return line
    kept = [(slot, sign) for slot, sign in zip(line.inputs, line.signs, strict=True) if slot not in dropped]
    return replace(line, inputs=tuple(s for s, _ in kept), signs=tuple(s for _, s in kept))


def _tables(
    program: Program, run: tuple[Instruction, ...], resources: Resources, values: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """M, b and log|det M| of a run, from its values at zero and at the unit vectors."""
    assert run[0].type is not None
    size = run[0].type.size
    x = torch.cat([torch.zeros(1, size, dtype=torch.float64), torch.eye(size, dtype=torch.float64)])
    log_det = torch.zeros((), dtype=torch.float64)
    for line in run:
        call = prepare(replace(line, inputs=line.inputs[:1], input_types=(), context=False), resources)
        x, part = call.run(False, {name: values[key] for name, key in call.parameters}, x)
        log_det = log_det + (part if part.dim() == 0 else part[0])
    address = _address(program, run)
    found = {"matrix": x[1:] - x[:1], "shift": x[0].clone(), "log_det": log_det}
    return {child(address, name): found[name].contiguous() for name in AFFINE}
