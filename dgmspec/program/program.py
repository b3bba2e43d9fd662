"""A program: one straight-line list of instructions for one direction and phase of a model.

No torch here. An instruction names what to run (`target`), the slots it reads, the slots it fills, and the address
whose parameters it uses; `last_use` lists the slots that are dead after it. Back ends walk the list: an interpreter,
and `to_fx` for torch.compile and export. Randomness is an input: a program lists the draws it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.address import Address
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.op import AbstractOp
from dgmspec.core.parameters import Draw
from dgmspec.core.types import Type

Phase = Literal[
    "log_prob",
    "sample",
    "sample_and_log_prob",
    "encode",
    "encode_mean",
    "decode",
    "decode_mean",
    "loss",
    "weighted_loss",
    "initialise",
    "before",
    "after",
    "target",
    "score",
    "known",
]
PHASES: tuple[Phase, ...] = tuple(phase for phase in get_args(Phase) if phase != "weighted_loss")
"""What a graph is built into; of the loss with weights of rows see `weighted`."""
Slot = int
Density = Literal["exact", "estimate", "lower bound"]

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
    "mean_of",  # distribution: (any rows, named parameters…) -> the mean
    "divergence",  # distributions `op` and `second`: (named parameters of both…) -> KL(op ‖ second), (batch,)
    "embed",  # distribution: (labels) -> what nets read of them
    "commitment",  # distribution: (any rows, named parameters…) -> squared distance from the codes, (batch,)
    "update_law",  # distribution: (any rows, named parameters…) -> (): while training, new values of its own parameters
    "heads",  # distribution: (the numbers of a net) -> the parameters `heads`, each in its domain
    "score",  # (f, log q) -> f, with the gradient of f + (f - baseline) log q, the baseline from the other copies
    "held",  # (value) -> the value, through which no gradient passes
    "repeat",  # (value) -> `copies` of each row, side by side
    "fold",  # (batch, copies, …) -> (batch · copies, …)
    "states",  # (any rows) -> all values of a discrete variable, for each of `copies`
    "average",  # (values) -> the mean of each `copies` neighbouring rows
    "log_mean_exp",  # (values) -> log of the mean of exp, likewise
    "log_sum_exp",  # (values) -> log of the sum of exp, likewise
    "expectation",  # (values, log-weights) -> Σ exp(log-weight) · value, likewise
    "affine",  # (x) -> (x matrix + shift, log|det|): constant steps folded by freezing
    "scaled",  # (x) -> (x scale + shift, log|det|): likewise, where the constant steps only scale and move coordinates
    "term",  # (x, context?, draws…) -> (batch,): a loss term about one step
    "score_term",  # (x, given…, draws…) -> (batch,): a loss term about the score of x, which `bodies` give
    "total",  # (contributions…) -> Σ sign · contribution, (batch,), with an address plus the constant found there
    "mean",  # (per-sample values, weights of the batch's rows?) -> sign · mean over the batch
]


@dataclass(frozen=True)
class Instruction:
    """One line of a program.

    `inputs` are the values read (the event first, in `parts` slots where some were set aside; then the context,
    `context` telling whether there is one), followed by the slots of `names` (formula names or distribution parameters)
    and of `noise` (in the order of the draws).
    `type` is the event type of a step *before it as written*, of a distribution its variable's, of a net, a formula or
    a learned parameter that of its result. `signs` go with the inputs of ``total`` and ``mean``, `index` with those of
    ``gather``; of ``states`` it says how many rows share a value, and of how many combinations. `copies` of each row
    are made or pooled; of ``mean`` they are those that its values have, 0 where these belong to no row of the data.
    `bodies` are programs that an instruction runs as functions of its first input. A step that is not `counted` has a
    log-determinant that nobody reads; a `detached` log-density, step or net passes no gradient to its own parameters, a
    `detached` draw none at all.
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
    heads: tuple[str, ...] = ()
    second: AbstractDistribution | None = None
    bodies: tuple[Program, ...] = ()
    copies: int = 1
    counted: bool = True
    detached: bool = False
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
    """What a caller supplies: a variable by name, per-sample randomness as ``<address>/<draw>``, the weights of the
    batch's rows, or the number of the training step (a number; infinite where nothing is trained)."""

    kind: Literal["variable", "given", "noise", "step", "weights"]
    name: str
    slot: Slot
    type: Type | None = None
    draw: Draw | None = None


@dataclass(frozen=True)
class Entry:
    """One contribution to the log-density: the ledger's line, and the slot of its per-sample value.

    `slot` holds the value in the direction that was run; the log-density takes it with `sign`. `group` is the variable
    whose density it is a part of.
    """

    address: Address
    label: str
    kind: Literal["log_det", "log_prob", "kl"]
    sign: Literal[1, -1]
    slot: Slot
    direction: Literal["forward", "inverse", ""] = ""
    cost: str = ""
    group: str = ""
    density: Density = "exact"
    """What the contribution is, on average over its draws."""


def weakest(entries: Iterable[Entry]) -> Density:
    """What a sum of contributions is."""
    ranks: tuple[Density, ...] = get_args(Density)
    return max((entry.density for entry in entries), key=ranks.index, default="exact")


@dataclass(frozen=True)
class Program:
    """The whole list, its inputs and its results by name."""

    phase: Phase
    inputs: tuple[ProgramInput, ...]
    instructions: tuple[Instruction, ...]
    outputs: Mapping[str, Slot]
    ledger: tuple[Entry, ...] = ()
    slots: int = 0
    density: Density = "exact"
    """What the sum of the ledger is, as a log-density."""
    batches: bool = field(default=True)
    """Whether a variable supplies the batch size; otherwise the caller says how many samples."""

    draws: tuple[ProgramInput, ...] = field(init=False, repr=False, compare=False)
    """The inputs that are randomness."""
    events: Mapping[str, Type] = field(init=False, repr=False, compare=False)
    """The types of the variables that it reads, given ones among them, by name."""
    variables: Mapping[str, Type] = field(init=False, repr=False, compare=False)
    """Those of `events` that are not given."""
    givens: Mapping[str, Type] = field(init=False, repr=False, compare=False)
    """Those that are."""

    def __post_init__(self) -> None:
        # Asked for at every call, where to look through the inputs again would cost as much as the rest of it.
        given = {i.name for i in self.inputs if i.kind == "given"}
        events = {i.name: i.type for i in self.inputs if i.kind != "noise" and i.type is not None}
        object.__setattr__(self, "draws", tuple(i for i in self.inputs if i.kind == "noise"))
        object.__setattr__(self, "events", events)
        object.__setattr__(self, "variables", {name: type_ for name, type_ in events.items() if name not in given})
        object.__setattr__(self, "givens", {name: type_ for name, type_ in events.items() if name in given})

    def listing(self) -> str:
        """The list as text, one instruction a line, for dumps and tests."""
        lines = [f"{self.phase}({', '.join(f'%{i.slot} = {i.name}' for i in self.inputs)})"]
        lines += [f"  {line}" for line in self.instructions]
        results = ", ".join(f"{name} = %{slot}" for name, slot in self.outputs.items())
        return "\n".join((*lines, f"  return {results}"))
