"""What an instruction is once it is prepared for running, and what those of one model share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from dgmspec.core.address import Address, child
from dgmspec.modules.sums import Run
from dgmspec.program.program import Instruction

ANCHOR = "anchor"
"""An empty buffer of every model: it carries dtype and device where no input does."""


@dataclass(frozen=True)
class Resources:
    """What the instructions of one model share besides its parameters.

    `modules` are the user's own networks by address. `tables` are constants by key, integers or float64 on the CPU,
    gathered while instructions are prepared; a model keeps copies of them in its precision and on its device.
    """

    modules: Mapping[str, nn.Module] = field(default_factory=dict)
    tables: dict[str, Tensor] = field(default_factory=dict)
    _of_step: dict[Address, tuple[str, ...]] = field(default_factory=dict)

    def step_tables(self, address: Address, make: Callable[[], dict[str, Tensor]]) -> tuple[str, ...]:
        """The names of a step's tables, which are made once for all programs."""
        if address not in self._of_step:
            made = make()
            self._of_step[address] = tuple(made)
            self.tables.update({child(address, name): table for name, table in made.items()})
        return self._of_step[address]


@dataclass(frozen=True)
class Call:
    """A prepared instruction: `parameters` are (relative name, key in the model) pairs."""

    line: Instruction
    run: Run
    parameters: tuple[tuple[str, str], ...] = ()
