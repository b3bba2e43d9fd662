"""The interpreter: a program run over a list of slots, dead slots freed as the list goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dgmspec.modules.calls import prepare
from dgmspec.modules.prepared import Call, Resources
from dgmspec.program.program import Program

__all__ = ["Interpreter"]


class Interpreter:
    """A program with its twins resolved; holds no tensor, so one interpreter serves any weights and device.

    `values` maps the keys of a model (addresses with parameter names) to tensors; they are looked up at every call, so
    whatever replaces a parameter (``torch.func.functional_call``, FSDP) is seen.
    """

    def __init__(self, program: Program, resources: Resources) -> None:
        self.program = program
        self.calls = tuple(prepare(line, resources) for line in program.instructions)
        self.lines = tuple(_line(call) for call in self.calls)
        self.inputs = tuple((i.name, i.slot) for i in program.inputs)
        self.results = tuple(program.outputs.items())

    def __call__(
        self, values: Mapping[str, Tensor], inputs: Mapping[str, Tensor], training: bool = False
    ) -> dict[str, Tensor]:
        """The program's results by name."""
        slots = self._filled(inputs)
        for run, parameters, ins, outs, free in self.lines:
            result = run(training, {name: values[key] for name, key in parameters}, *[slots[i] for i in ins])
            if len(outs) == 1:
                slots[outs[0]] = result
            else:
                for slot, value in zip(outs, result, strict=True):
                    slots[slot] = value
            for slot in free:
                slots[slot] = None
        return {name: slots[slot] for name, slot in self.results}

    def keep(self, values: Mapping[str, Tensor], inputs: Mapping[str, Tensor], training: bool = False) -> list[Any]:
        """All slots after a run that frees none: what the ledger reads."""
        slots = self._filled(inputs)
        for run, parameters, ins, outs, _ in self.lines:
            result = run(training, {name: values[key] for name, key in parameters}, *[slots[i] for i in ins])
            for slot, value in zip(outs, result if len(outs) > 1 else (result,), strict=False):
                slots[slot] = value
        return slots

    def _filled(self, inputs: Mapping[str, Tensor]) -> list[Any]:
        slots: list[Any] = [None] * self.program.slots
        for name, slot in self.inputs:
            slots[slot] = inputs[name]
        return slots


def _line(call: Call) -> tuple[Any, ...]:
    line = call.line
    return call.run, call.parameters, line.inputs, line.outputs, line.last_use
