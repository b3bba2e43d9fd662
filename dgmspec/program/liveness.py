"""Which instructions matter, and after which of them a slot is dead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from dgmspec.program.program import Instruction, Slot

SETTING: Final = ("initialise", "initialise_inverse", "update", "update_law")
"""Targets that set parameters."""


def live(instructions: Sequence[Instruction], results: Iterable[Slot]) -> list[Instruction]:
    """The instructions that some result depends on (what sets parameters counts as a result)."""
    needed, kept = set(results), []
    for line in reversed(instructions):
        if line.target in SETTING or needed.intersection(line.outputs):
            needed.update(line.inputs)
            kept.append(line)
    return kept[::-1]


def last_uses(instructions: Sequence[Instruction], results: Iterable[Slot]) -> tuple[Instruction, ...]:
    """The same list, each line with the slots that are dead after it."""
    seen, lines = set(results), []
    for line in reversed(instructions):
        dead = [s for s in dict.fromkeys((*line.inputs, *line.outputs)) if s not in seen]
        seen.update(dead)
        lines.append(replace(line, last_use=tuple(dead)))
    return tuple(lines[::-1])
