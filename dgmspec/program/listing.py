"""The list of instructions under construction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.address import Address, child
from dgmspec.core.parameters import Draw
from dgmspec.core.types import Type
from dgmspec.program.program import Entry, Instruction, ProgramInput, Slot, Target

__all__ = ["Listing", "MissingValueError", "StuckError"]


class MissingValueError(Exception):
    """A phase asked for what the model does not have; `reason` says what and how to supply it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StuckError(MissingValueError):
    """A step that cannot be run in the direction that a phase needs."""


class Listing:
    """The list under construction: slots are numbered as they are made, inputs are made once by name.

    A slot has `copies` of every row of the batch: 1 for what depends on the data alone, k for what k draws or k values
    of a discrete variable have been mixed into. An instruction runs on the largest number of copies among its inputs,
    to which the others are repeated; copies of a row stand together. What is the same for all rows (learned parameters)
    has no copies and fits all.
    """

    def __init__(self) -> None:
        self.inputs: list[ProgramInput] = []
        self.instructions: list[Instruction] = []
        self.slots = 0
        self.copies: dict[Slot, int] = {}
        self._by_name: dict[str, Slot] = {}
        self._repeated: dict[tuple[Slot, int], Slot] = {}
        self._held: dict[Slot, Slot] = {}

    def slot(self) -> Slot:
        """A new slot."""
        self.slots += 1
        return self.slots - 1

    def input(self, kind: Literal["variable", "given", "noise", "step"], name: str, **facts: Any) -> Slot:
        """The slot of an input of the program."""
        if name not in self._by_name:
            slot = self._by_name[name] = self.slot()
            self.inputs.append(ProgramInput(kind, name, slot, **facts))
            draw = facts.get("draw")
            self.copies[slot] = 0 if kind == "step" or (draw is not None and draw.shared) else 1
        return self._by_name[name]

    def noise(self, address: Address, draw: Draw, copies: int = 1) -> Slot:
        """A draw, for each of `copies` of a row another."""
        name = child(address, draw.name)
        if copies == 1 or draw.shared:
            return self.input("noise", name, draw=draw)
        whole = replace(draw, shape=(copies, *draw.shape))
        slot = self.input("noise", f"{name}*{copies}", draw=whole)
        key = (slot, copies)
        if key not in self._repeated:
            self._repeated[key] = self._append(1, copies, target="fold", address=address, inputs=(slot,))[0]
        return self._repeated[key]

    def add(self, count: int, **line: Any) -> tuple[Slot, ...]:
        """Append an instruction with `count` results."""
        widest = max((self.copies[slot] for slot in line["inputs"]), default=0)
        line["inputs"] = tuple(self._widened(slot, widest) for slot in line["inputs"])
        return self._append(count, widest, **line)

    def spread(self, width: int, **line: Any) -> Slot:
        """An instruction whose result has `width` copies of every row, whatever its inputs have."""
        return self._append(1, width, **line)[0]

    def pool(self, target: Target, values: Sequence[Slot], copies: int, address: Address = "") -> Slot:
        """`copies` neighbouring values of a row made one."""
        widest = max(self.copies[slot] for slot in values)
        inputs = tuple(self._widened(slot, widest) for slot in values)
        line = {"target": target, "address": address, "inputs": inputs, "copies": copies}
        return self._append(1, widest // copies, **line)[0]

    def held(self, slot: Slot) -> Slot:
        """The same value, through which no gradient passes."""
        if slot not in self._held:
            self._held[slot] = self._append(1, self.copies[slot], target="held", address="", inputs=(slot,))[0]
        return self._held[slot]

    def _append(self, count: int, width: int, **line: Any) -> tuple[Slot, ...]:
        outputs = tuple(self.slot() for _ in range(count))
        self.copies.update(dict.fromkeys(outputs, width))
        self.instructions.append(Instruction(outputs=outputs, **line))
        return outputs

    def _widened(self, slot: Slot, copies: int) -> Slot:
        """The slot with every row repeated, where it has fewer copies; what has none stays."""
        own = self.copies[slot]
        if own in (0, copies):
            return slot
        key = (slot, copies)
        if key not in self._repeated:
            line = {"target": "repeat", "address": "", "inputs": (slot,), "copies": copies // own}
            self._repeated[key] = self._append(1, copies, **line)[0]
        return self._repeated[key]

    def total(self, entries: Iterable[Entry]) -> Slot:
        """Σ sign · contribution over the entries, (batch,)."""
        entries = list(entries)
        signs = tuple(e.sign for e in entries)
        return self.add(1, target="total", address="", inputs=tuple(e.slot for e in entries), signs=signs)[0]

    def mean(self, address: Address, values: Slot, sign: int, of_rows: bool = True) -> Slot:
        """sign · mean over the batch, whose rows are those of the data, or draws."""
        line = {"inputs": (values,), "signs": (sign,), "copies": self.copies[values] if of_rows else 0}
        return self._append(1, 0, target="mean", address=address, **line)[0]

    def formula(
        self,
        address: Address,
        formula: AbstractExpr,
        named: Mapping[str, Slot],
        type_: Type | None = None,
        input_types: tuple[Type, ...] = (),
    ) -> Slot:
        """The value of an expression over named slots."""
        line = {"op": formula, "inputs": tuple(named.values()), "names": tuple(named), "type": type_}
        line["input_types"] = input_types
        return self.add(1, target="formula", address=address, **line)[0]
