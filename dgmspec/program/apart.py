"""Vectors kept in pieces: a program in which coordinates are moved only where somebody reads them in order.

A value is held as pieces, each a slot with the coordinates that stand in it. A permutation relabels coordinates and
runs nothing. A step that leaves a part of its event as it is and changes the rest by a function of both reads the two
parts and gives one: a chain of couplings that pass the same two parts to and fro moves no coordinate in between.
Whatever else reads the value gets it whole, gathered once.

The ledger is not kept, and log-determinants that are 0 by declaration are not summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from dgmspec.core.jacobian import Fact
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import Type
from dgmspec.program.liveness import last_uses
from dgmspec.program.program import Instruction, Program, Slot, Target

__all__ = ["apart"]

Coordinates = tuple[int, ...]

_LINEAR: Final = ("repeat", "average", "expectation")
"""What makes 0 of contributions that are 0."""


def apart(program: Program) -> Program:
    """The same results from the same inputs, with vectors in pieces."""
    listing = _Listing(program.slots)
    for line in program.instructions:
        listing.add(line)
    outputs = {name: listing.whole(slot) for name, slot in program.outputs.items()}
    instructions = tuple(map(_uncounted, last_uses(listing.lines, outputs.values())))
    return replace(program, instructions=instructions, outputs=outputs, ledger=(), slots=listing.slots)


@dataclass(frozen=True)
class _Piece:
    """A slot (batch, n), and which of the value's coordinates its columns are."""

    slot: Slot
    coordinates: Coordinates


class _Listing:
    """The list being rewritten; `pieces` holds the values that are not whole, by the slot that they would have."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.lines: list[Instruction] = []
        self.pieces: dict[Slot, tuple[_Piece, ...]] = {}
        self.gathered: dict[tuple[Slot, Coordinates], Slot] = {}
        self.zero: set[Slot] = set()

    def add(self, line: Instruction) -> None:
        """One instruction of the old list."""
        step = _vector_step(line)
        source = None if step is None else step.moves(line.type)  # type: ignore[arg-type]  # a step has a type
        parts = None if step is None else step.divides(line.type)  # type: ignore[arg-type]  # likewise
        if line.target == "gather":
            source = line.index
        if line.target in _LINEAR and line.inputs[0] in self.zero:
            self.zero.add(line.outputs[0])
        elif source is not None:
            self._relabel(line, source)
        elif parts is not None:
            self._divide(line, *parts)
        elif line.target == "total":
            kept = [(s, sign) for s, sign in zip(line.inputs, line.signs, strict=True) if s not in self.zero]
            self.lines.append(replace(line, inputs=tuple(s for s, _ in kept), signs=tuple(s for _, s in kept)))
        else:
            self.lines.append(replace(line, inputs=tuple(map(self.whole, line.inputs))))
        if step is not None and step.jacobian(line.type, _context(line)).unit_det is Fact.YES:  # type: ignore[arg-type]
            self.zero.add(line.outputs[1])

    def whole(self, slot: Slot) -> Slot:
        """The value in a slot with its coordinates in order."""
        pieces = self.pieces.get(slot)
        return slot if pieces is None else self._read(slot, range(sum(len(p.coordinates) for p in pieces)))

    def _relabel(self, line: Instruction, source: Coordinates) -> None:
        """A permutation y[i] = x[source[i]], or its inverse."""
        place = source
        if line.target != "inverse":
            place = tuple(sorted(range(len(source)), key=source.__getitem__))
        held = self._held(line.inputs[0], len(source))
        moved = tuple(_Piece(piece.slot, tuple(place[c] for c in piece.coordinates)) for piece in held)
        self.pieces[line.outputs[0]] = moved

    def _divide(self, line: Instruction, kept: Coordinates, moved: Coordinates) -> None:
        """The step run on its two parts; what it leaves as it is stays where it is."""
        x, log_det = line.inputs[0], line.outputs[1]
        self.pieces.setdefault(x, self._held(x, len(kept) + len(moved)))
        a, b = self._read(x, kept), self._read(x, moved)
        y = self._new()
        rest = tuple(map(self.whole, line.inputs[1:]))
        target: Target = "forward_part" if line.target == "forward" else "inverse_part"
        self.lines.append(replace(line, target=target, inputs=(a, b, *rest), outputs=(y, log_det)))
        self.pieces[line.outputs[0]] = _Piece(a, kept), _Piece(y, moved)

    def _read(self, slot: Slot, coordinates: Sequence[int]) -> Slot:
        """The slot of some coordinates of a value: a piece as it is, or gathered from those that hold them."""
        wanted = tuple(coordinates)
        held = self.pieces[slot]
        for piece in held:
            if piece.coordinates == wanted:
                return piece.slot
        if (slot, wanted) not in self.gathered:
            asked = frozenset(wanted)
            reading = [p for p in held if not asked.isdisjoint(p.coordinates)] or list(held[:1])
            used = sorted(reading, key=lambda p: p.coordinates)
            joined = [c for piece in used for c in piece.coordinates]
            place = {c: i for i, c in enumerate(joined)}
            index = tuple(place[c] for c in wanted)
            found = self._new()
            inputs = tuple(piece.slot for piece in used)
            self.lines.append(Instruction("gather", "", inputs, (found,), index=index))
            self.gathered[slot, wanted] = found
        return self.gathered[slot, wanted]

    def _held(self, slot: Slot, size: int) -> tuple[_Piece, ...]:
        return self.pieces.get(slot) or (_Piece(slot, tuple(range(size))),)

    def _new(self) -> Slot:
        self.slots += 1
        return self.slots - 1


def _uncounted(line: Instruction) -> Instruction:
    """A step whose log-determinant dies where it is made need not sum it."""
    return replace(line, counted=False) if len(line.outputs) == 2 and line.outputs[1] in line.last_use else line


def _vector_step(line: Instruction) -> AbstractStep | None:
    """The step that an instruction runs on a vector: events of other shapes stay whole."""
    if line.target not in ("forward", "inverse") or line.type is None or len(line.type.shape) != 1:
        return None
    return line.op if isinstance(line.op, AbstractStep) and len(line.outputs) == 2 else None


def _context(line: Instruction) -> Type | None:
    return line.input_types[0] if line.context else None
