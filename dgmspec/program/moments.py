"""Programs cut at a moment inside an arrow: the density of its state there, and draws of it.

Of ``log_prob`` what lies between the arrow and the prior is kept, of ``sample`` what leads from the prior to the arrow;
the arrow itself runs between the moment and the end of it that looks to the prior.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dgmspec.core.op import AbstractOp
from dgmspec.core.types import Type
from dgmspec.program.listing import MissingValueError
from dgmspec.program.liveness import last_uses, live
from dgmspec.program.program import Entry, Instruction, Program, ProgramInput, weakest

__all__ = ["density_from", "draws_until"]

Cut = Callable[[Instruction], AbstractOp]
"""The operation of the arrow's instruction, cut at the moment on its side of the data."""


def density_from(program: Program, arrow: Instruction, cut: Cut, name: str, state: Type) -> Program:
    """``log_prob`` of the state behind `arrow`, read under `name`; `arrow` is one of the program's instructions."""
    start, behind = arrow.inputs[0], set(arrow.outputs)
    for line in program.instructions:
        if behind.intersection(line.inputs):
            behind.update(line.outputs)
    ledger = tuple(entry for entry in program.ledger if entry.slot in behind)
    kept = tuple(_cut(line, arrow, cut) for line in program.instructions if start not in line.outputs)
    *rest, last = kept
    assert last.target == "total" and not last.address, "the last line of a density is its sum"
    total = replace(last, inputs=tuple(e.slot for e in ledger), signs=tuple(e.sign for e in ledger))
    given = ProgramInput("variable", name, start, state)
    return _whole(program, (*rest, total), (given,), dict(program.outputs), ledger)


def draws_until(program: Program, arrow: Instruction, cut: Cut, name: str) -> Program:
    """``sample`` of the state that `arrow`, one of the program's instructions, arrives at."""
    lines = tuple(_cut(line, arrow, cut) for line in program.instructions)
    return _whole(program, lines, (), {name: arrow.outputs[0]}, ())


def _cut(line: Instruction, arrow: Instruction, cut: Cut) -> Instruction:
    return replace(line, op=cut(line)) if line is arrow else line


def _whole(
    program: Program,
    lines: tuple[Instruction, ...],
    own: tuple[ProgramInput, ...],
    outputs: dict[str, int],
    ledger: tuple[Entry, ...],
) -> Program:
    """The lines that the outputs depend on, as a program; refused where they need more data than the state."""
    lines = tuple(live(lines, outputs.values()))
    used = {slot for line in lines for slot in line.inputs}
    others = [i for i in program.inputs if i.slot in used and i.slot not in {o.slot for o in own}]
    for needed in others:
        if needed.kind == "variable":
            raise MissingValueError(f"what lies between the arrow and the prior reads `{needed.name}` as well")
    made = {slot for line in lines for slot in line.outputs} | {i.slot for i in (*own, *others)}
    if not used <= made:
        raise MissingValueError("what lies between the arrow and the prior reads more than the arrow's state")
    return replace(
        program,
        inputs=(*own, *others),
        instructions=last_uses(lines, outputs.values()),
        outputs=outputs,
        ledger=ledger,
        density=weakest(ledger),
        batches=bool(own),
    )
