"""A program: one straight-line list of instructions for one direction and phase of a model.

No torch here. An instruction names what to run (`target`), the slots it reads, the slots it fills, and the address
whose parameters it uses; `last_use` lists the slots that are dead after it. Back ends walk the list: an interpreter,
and `to_fx` for torch.compile and export. Randomness is an input: a program lists the draws it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.address import Address
from dgmspec.core.op import AbstractOp, Draw
from dgmspec.core.types import Type

Phase = Literal[
    "log_prob", "sample", "sample_and_log_prob", "encode", "decode", "loss", "initialise", "before", "after"
]
PHASES: tuple[Phase, ...] = (
    "log_prob", "sample", "sample_and_log_prob", "encode", "decode", "loss", "initialise", "before", "after"
)  # fmt: skip
Slot = int

Target = Literal[
    "forward",  # (x, context?, draws…) -> (y, log|det ∂y/∂x|)
    "inverse",  # (y, context?) -> (x, log|det ∂x/∂y|)
    "initialise",  # (x, context?, draws…) -> (): data-dependent start of the step's parameters
    "initialise_inverse",  # (y, context?) -> (): the same where the data arrive at the step's end
    "update",  # (x, context?, draws…) -> (): while training, new values of parameters that are no matter of gradients
    "forward_part",  # (kept, moved, context?) -> (moved, log|det|): a step run on its two parts
    "inverse_part",  # likewise undone
    "gather",  # (pieces…) -> the columns `index` of the pieces side by side
    "net",  # (values…) -> value
    "formula",  # (named values…) -> value
    "learned",  # () -> the value of a learned parameter, mapped to its support
    "log_prob",  # distribution: (x, named parameters…) -> (batch,)
    "draw",  # distribution: (draws…, named parameters…) -> x
    "affine",  # (x) -> (x matrix + shift, log|det|): constant steps folded by freezing
    "scaled",  # (x) -> (x scale + shift, log|det|): likewise, where the constant steps only scale and move coordinates
    "term",  # (x, context?, draws…) -> (batch,): a loss term about one step
    "total",  # (contributions…) -> Σ sign · contribution, (batch,), with an address plus the constant found there
    "mean",  # (per-sample values) -> sign · mean over the batch
]


@dataclass(frozen=True)
class Instruction:
    """One line of a program.

    `inputs` are the values read (the event first, in `parts` slots where some were set aside; then the context,
    `context` telling whether there is one), followed by the slots of `names` (formula names or distribution parameters)
    and of `noise` (in the order of the draws).
    `type` is the event type of a step *before it as written*, of a distribution its variable's, of a net, a formula or
    a learned parameter that of its result. `signs` go with the inputs of ``total`` and ``mean``, `index` with those of
    ``gather``. A step that is not `counted` has a log-determinant that nobody reads.
    """

    target: Target
    address: Address
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    op: AbstractOp | AbstractExpr | Literal["external"] | None = None
    type: Type | None = None
    input_types: tuple[Type, ...] = ()
    parts: int = 1
    context: bool = False
    names: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()
    signs: tuple[int, ...] = ()
    index: tuple[int, ...] = ()
    counted: bool = True
    last_use: tuple[Slot, ...] = ()

    def __str__(self) -> str:
        named = (*self.names, *self.noise)
        labels = (*[""] * (len(self.inputs) - len(named)), *(f"{name}=" for name in named))
        inputs = ", ".join(f"{label}%{slot}" for label, slot in zip(labels, self.inputs, strict=True))
        results = ", ".join(f"%{slot}" for slot in self.outputs)
        free = f"  free {', '.join(f'%{slot}' for slot in self.last_use)}" if self.last_use else ""
        head = f"{results} = {self.target}" if results else self.target
        return f"{head} {self.address}".rstrip() + f"({inputs}){free}"


@dataclass(frozen=True)
class ProgramInput:
    """What a caller supplies: a variable by name, or per-sample randomness as ``<address>/<draw>``."""

    kind: Literal["variable", "given", "noise"]
    name: str
    slot: Slot
    type: Type | None = None
    draw: Draw | None = None


@dataclass(frozen=True)
class Entry:
    """One contribution to the log-density: the ledger's line, and the slot of its per-sample value.

    `slot` holds the value in the direction that was run; the log-density takes it with `sign`.
    """

    address: Address
    label: str
    kind: Literal["log_det", "log_prob"]
    sign: Literal[1, -1]
    slot: Slot
    direction: Literal["forward", "inverse", ""] = ""
    cost: str = ""


@dataclass(frozen=True)
class Program:
    """The whole list, its inputs and its results by name."""

    phase: Phase
    inputs: tuple[ProgramInput, ...]
    instructions: tuple[Instruction, ...]
    outputs: Mapping[str, Slot]
    ledger: tuple[Entry, ...] = ()
    slots: int = 0
    batches: bool = field(default=True)
    """Whether a variable supplies the batch size; otherwise the caller says how many samples."""

    @property
    def draws(self) -> tuple[ProgramInput, ...]:
        """The inputs that are randomness."""
        return tuple(i for i in self.inputs if i.kind == "noise")

    def listing(self) -> str:
        """The list as text, one instruction a line, for dumps and tests."""
        lines = [f"{self.phase}({', '.join(f'%{i.slot} = {i.name}' for i in self.inputs)})"]
        lines += [f"  {line}" for line in self.instructions]
        results = ", ".join(f"{name} = %{slot}" for name, slot in self.outputs.items())
        return "\n".join((*lines, f"  return {results}"))
