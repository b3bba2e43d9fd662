"""The loss whose rows count by weights of their own: every mean over rows of the data is one of weight times value."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from dgmspec.program.liveness import last_uses
from dgmspec.program.program import Program, ProgramInput

__all__ = ["WEIGHTS", "weighted"]

WEIGHTS: Final = "weights of rows"
"""The program's input; no variable has such a name."""


def weighted(loss: Program) -> Program:
    """A loss with one more input, the weights (batch,). Means over draws that belong to no row stay as they are."""
    slot = loss.slots
    lines = [
        replace(line, inputs=(*line.inputs, slot)) if line.target == "mean" and line.copies else line
        for line in loss.instructions
    ]
    return replace(
        loss,
        phase="weighted_loss",
        inputs=(*loss.inputs, ProgramInput("weights", WEIGHTS, slot)),
        instructions=last_uses(lines, loss.outputs.values()),
        slots=slot + 1,
    )
