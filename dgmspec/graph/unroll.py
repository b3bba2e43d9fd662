"""Steps unrolled: repeats counted out, named chains written out, `inverse { … }` reversed, operations made."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Final

from dgmspec.algebra.evaluate import evaluate, show
from dgmspec.algebra.nodes import AbstractExpr, Call, Inverse, Name
from dgmspec.algebra.rewrite import free_names, inline, substitute
from dgmspec.core.address import Address, callee, child, turn
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.steps import AbstractStep
from dgmspec.graph.arguments import Caller
from dgmspec.graph.bijectors import Bijectors
from dgmspec.graph.findings import Findings, Reported, meant
from dgmspec.graph.named_chains import ChainUse, Frame
from dgmspec.graph.scope import FileScope
from dgmspec.graph.words import describe
from dgmspec.ops import find, names, signature
from dgmspec.ops.conditioners import as_step
from dgmspec.spec.model import Apply, InverseBlock, Repeat, Step

MAX_STEPS: Final = 10_000
MAX_CHAINS: Final = 64


@dataclass(frozen=True)
class Placed:
    """One unrolled step: its address, the operation (None where it was refused), and where it was written."""

    address: Address
    op: AbstractStep | None
    inverse: bool
    place: Address
    label: str = ""
    arguments: tuple[tuple[str, Address], ...] = ()

    def undone(self) -> Placed:
        """The same step run the other way."""
        return replace(self, inverse=not self.inverse)


class FlowRefused(Exception):
    """Unwinds the whole flow; the diagnostic has been reported."""


@dataclass
class Unroller:
    """Unrolls the steps of one model; `count` is the number of steps so far, over all of its flows."""

    findings: Findings
    scope: FileScope
    caller: Caller
    bijectors: Bijectors
    count: int = 0
    _made: dict[Hashable, tuple[AbstractStep | None, str]] = field(default_factory=dict)

    def flow(self, steps: tuple[Step, ...], arrow: Address) -> list[Placed]:
        """The steps of one flow in the order of its arrow; `FlowRefused` beyond the limit, or of chains in a circle."""
        return self._steps(steps, Frame(arrow, arrow, self.scope, self.scope.constants))

    def _steps(self, steps: tuple[Step, ...], frame: Frame) -> list[Placed]:
        placed: list[Placed] = []
        for i, step in enumerate(steps):
            placed += self._step(step, frame.at(i))
        return placed

    def _step(self, step: Step, frame: Frame) -> list[Placed]:
        match step:
            case Repeat():
                return self._repeat(step, frame)
            case InverseBlock():
                return [placed.undone() for placed in reversed(self._steps(step.steps, frame))]
        call: AbstractExpr = substitute(step.call, frame.arguments) if frame.arguments else step.call
        inverse = step.inverse
        if isinstance(call, Inverse):
            call, inverse = call.of, not inverse
        name = call.id if isinstance(call, Name) else call.name if isinstance(call, Call) else ""
        if name in frame.scope.chains:
            inner = self._chain(name, call, frame)
            return [placed.undone() for placed in reversed(inner)] if inverse else inner
        self._more(1, frame)
        self.count += 1
        op, label = self._made_once(step, name, call, frame)
        places = _argument_places(op, call, frame.place)
        return [Placed(frame.address, op, inverse, frame.place, label, places)]

    def _more(self, count: int, frame: Frame) -> None:
        """Whether there is room for this many steps."""
        if self.count + count > MAX_STEPS:
            self.findings.report(
                "DGM236",
                f"unrolled, the model has more than {MAX_STEPS:,} steps",
                frame.place,
                help=("repeat fewer times",),
                labels=frame.labels,
            )
            raise FlowRefused

    def _least(self, steps: tuple[Step, ...], frame: Frame) -> int:
        """How many steps these are at least: chains may hold none, and a repeat has one turn or more."""
        nested = [step.steps for step in steps if isinstance(step, Repeat | InverseBlock)]
        chains = frame.scope.chains
        own = [s.call for s in steps if isinstance(s, Apply) and isinstance(s.call, Name | Call)]
        names = [call.id if isinstance(call, Name) else call.name for call in own]
        return sum(name not in chains for name in names) + sum(self._least(inner, frame) for inner in nested)

    # ---- repeats ----------------------------------------------------------------------------------------------------

    def _repeat(self, step: Repeat, frame: Frame) -> list[Placed]:
        try:
            count = self._count(step, frame)
        except Reported:
            return [Placed(frame.address, None, False, frame.place)]
        self._more(count * self._least(step.steps, frame), frame)  # before thousands of turns are made in vain
        placed: list[Placed] = []
        for k in range(count):
            constants = {**frame.constants, step.index: k} if step.index else frame.constants
            inner = replace(frame, address=turn(frame.address, k, step.index), constants=constants)
            before = len(placed)
            placed += self._steps(step.steps, inner)
            if len(placed) == before:
                break
        return placed

    def _count(self, step: Repeat, frame: Frame) -> int:
        at = child(frame.place, "count")
        with self.findings.refusals_at(at, frame.labels):
            written = substitute(step.count, frame.arguments)
            value = evaluate(inline(written, frame.scope.functions), frame.constants)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.findings.refuse(
                "DGM236",
                f"a repeat counts whole turns, 1 or more, and this is {show(value)}",
                at,
                label=f"this is {show(value)}",
                labels=frame.labels,
                help=("write a whole number from 1 up",),
            )
        return value

    # ---- named chains -----------------------------------------------------------------------------------------------

    def _chain(self, name: str, call: AbstractExpr, frame: Frame) -> list[Placed]:
        if name in frame.chains or len(frame.chains) >= MAX_CHAINS:
            circle = " → ".join((*frame.chains, name))
            self.findings.report(
                "DGM212",
                f"the chain `{name}` leads back to itself: {circle}",
                frame.place,
                help=("leave one of the uses out",),
                label="part of a circle",
            )
            raise FlowRefused
        try:
            inner = ChainUse(self.findings, name, call, frame).opened()
        except Reported:
            return [Placed(frame.address, None, False, frame.place)]
        return self._steps(frame.scope.chains[name].steps, inner)

    # ---- operations -------------------------------------------------------------------------------------------------

    def _made_once(self, step: Apply, name: str, call: AbstractExpr, frame: Frame) -> tuple[AbstractStep | None, str]:
        """`_operation`, worked out once for all turns of repeats that give the call the same constants."""
        read = tuple((n, v, type(v)) for n in free_names(step.call) if (v := frame.constants.get(n)) is not None)
        key = (id(step), frame.place, read, tuple(frame.arguments.items()))
        if key not in self._made:
            self._made[key] = self._operation(name, call, frame)
        return self._made[key]

    def _operation(self, name: str, call: AbstractExpr, frame: Frame) -> tuple[AbstractStep | None, str]:
        """The operation of a step and its label; a scalar bijector without parameters stands for itself."""
        caller = replace(
            self.caller,
            constants=frame.constants,
            functions={**self.caller.functions, **frame.scope.functions},
            makers=self.bijectors.makers(frame.scope),
            labels=frame.labels,
        )
        try:
            if name in caller.makers or (find("step", name) is None and find("scalar", name) is not None):
                op = caller.operation("step" if name in caller.makers else "scalar", call, frame.place)
                if isinstance(op, AbstractScalar):
                    with self.findings.refusals_at(frame.place, frame.labels):
                        return as_step(op), describe(op)
                assert isinstance(op, AbstractStep)
                return op, describe(op)
            near = meant_chain(name, frame.scope) if find("step", name) is None else ()
            if near:
                at = callee(frame.place)
                self.findings.refuse("DGM230", f"`{name}` is not a step", at, "no such step", near, frame.labels)
            op = caller.operation("step", call, frame.place)
            assert isinstance(op, AbstractStep)
            return op, describe(op, nets=False)
        except Reported:
            return None, name


def meant_chain(name: str, scope: FileScope) -> tuple[str, ...]:
    """The help for a misspelt name of one of the file's own maps; nothing where the library is nearer."""
    library = (*names("step"), *names("scalar"))
    own = (*scope.chains, *scope.bijectors)
    help_ = meant(name, [*own, *library])
    return help_ if any(f"`{chain}`?" in line for line in help_ for chain in own) else ()


def _argument_places(op: AbstractStep | None, call: AbstractExpr, place: Address) -> tuple[tuple[str, Address], ...]:
    """Where each argument of a step was written, by the name of its field."""
    if op is None or not isinstance(call, Call):
        return ()
    parameters = signature(type(op))
    found = []
    for i, arg in enumerate(call.args):
        if arg.name is not None:
            found.append((arg.name, child(place, arg.name)))
        elif i < len(parameters):
            found.append((parameters[i].name, child(place, i)))
    return tuple(found)
