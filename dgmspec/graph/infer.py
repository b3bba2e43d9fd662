"""Types for every value: forward along each arrow from the ends that are declared, backward where only the end is.

`Refusal`s of operations are caught at one door and become findings at the argument they name. What a refused step would
have given stays `UNKNOWN`, which silences everything that follows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from dgmspec.algebra.shapes import joined_size, shape_of
from dgmspec.core.address import child, written
from dgmspec.core.diagnostics import Diagnostic, Label, Refusal
from dgmspec.core.types import REAL, Type
from dgmspec.graph.budget import Budget
from dgmspec.graph.declared import MAX_ELEMENTS
from dgmspec.graph.findings import Findings, Reported
from dgmspec.graph.fits import Fits
from dgmspec.graph.graph import ArrowNode, FormulaNode, Graph, StepNode, Value, VariableNode
from dgmspec.graph.parameters import as_read
from dgmspec.graph.parts import given_by, unreached, whole_of

__all__ = ["arriving", "infer", "refused"]


def infer(graph: Graph) -> tuple[Graph, list[Diagnostic]]:
    """The graph with the type of every value that can be known, and what was refused on the way."""
    inference = _Inference(graph)
    inference.run()
    values = {name: replace(value, type=inference.types.get(name, value.type)) for name, value in graph.values.items()}
    typed = replace(graph, values=values)
    settled = {at: _settled(typed, step) for at, step in graph.steps.items()}
    return replace(typed, steps=settled), inference.findings.found


def _settled(graph: Graph, step: StepNode) -> StepNode:
    """The step with what depends on its type decided; as it is where its type is unknown or was refused."""
    event = graph.type_of(step.target if step.inverse else step.source)
    if not isinstance(event, Type):
        return step
    with suppress(Refusal):
        op = step.op.settled(event)
        return step if op is step.op else replace(step, op=op)
    return step


def arriving(graph: Graph, step: StepNode) -> Type | None:
    """The type that a step gives along its arrow, whatever its target is declared to be; None where unknown."""
    x, c = graph.type_of(step.source), _context(graph.values, step)
    if not isinstance(x, Type) or (step.context is not None and c is None):
        return None
    try:
        if step.inverse and step.op.forgets:
            y = graph.type_of(step.target)
            return y if isinstance(y, Type) and step.op.infer_type(y, c) == x else None
        return given_by(step, x, c)
    except Refusal:
        return None


def refused(step: StepNode, refusal: Refusal) -> Diagnostic:
    """A refusal of a step as a finding, on the argument it names if that was written."""
    place = step.place or written(step.address)
    at = dict(step.arguments).get(refusal.argument or "", place)
    labels = (Label(step.address, "used here"),) if place != written(step.address) else ()
    return refusal.diagnostic(at, labels)


def _context(values: dict[str, Value], step: StepNode) -> Type | None:
    if step.context is None:
        return None
    type_ = values[step.context].type
    return type_ if isinstance(type_, Type) else None


class _Inference:
    """One run: `types` grows, each step is passed at most once in each direction."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.findings = Findings()
        self.types: dict[str, Type] = {v.id: v.type for v in graph.values.values() if isinstance(v.type, Type)}
        self.waiting = list(graph.formulas.values())
        """The formulas that have no type so far."""
        self.wholes: dict[str, Type] = {}
        """What a value inside an arrow may be read as besides its type, which is by design a part of that."""
        self.failed: set[str] = set()
        self.settled: set[str] = set()
        """The joint states whose parts have been looked at."""
        self.budget = Budget(self.findings)

    def run(self) -> None:
        """Contexts, then arrows forward, then what is left backward, then what stands outside the arrows."""
        self._formulas()
        # A step that forgets what it came from, `flatten` say, is passed backwards only where no other end tells.
        for certain in (False, True):
            for forward in (True, False):
                self._spread(forward=forward, certain=certain)
                joined = [self._joint(whole) for whole in self.graph.joints()]
                if any(joined):
                    self._spread(forward=True, certain=certain)
        self._formulas()  # what nets read of values that the arrows have given a type
        for step in self.graph.steps.values():
            self._count(step)
            self._remembered(step)
        fits = Fits(self.graph, self.types, self.findings, self.budget)
        for net in self.graph.nets.values():
            fits.check_net(net)
        for variable in self.graph.variables.values():
            self._declared(variable)
            fits.check_laws(variable)

    # ---- along the arrows -------------------------------------------------------------------------------------------

    def _spread(self, *, forward: bool, certain: bool) -> None:
        """Carry types along the steps in one direction until nothing more becomes known; `certain` reports steps that
        do not say what they come from."""
        follow: dict[str, list[StepNode]] = {}
        for step in self.graph.steps.values():
            follow.setdefault(step.source if forward else step.target, []).append(step)
        queue = deque(value for value in follow if value in self.types)
        while queue:
            for step in follow.get(queue.popleft(), ()):
                reached = step.target if forward else step.source
                if self._pass(step, forward=forward, certain=certain) and reached in follow:
                    queue.append(reached)

    def _pass(self, step: StepNode, *, forward: bool, certain: bool) -> bool:
        """Carry the type over one step; whether its far side has become known by that."""
        far = step.target if forward else step.source
        variable = self._variable(far)
        known = far in self.types
        if step.op.forgets and step.inverse == forward and (known or not certain):
            return False
        if step.op.part is not None and not (forward or step.inverse):
            return False  # from behind it, the part and the whole look alike
        if step.arrow in self.failed or (known and not (forward and variable is not None)):
            return False
        if step.context is not None and step.context not in self.types:
            self.failed.add(step.arrow)
            return False
        try:
            with _located(self.findings, step):
                given = self._apply(step, forward=forward)
        except Reported:
            self.failed.add(step.arrow)
            return False
        if known:
            return False
        if variable is not None and variable.support is not None:
            given = given.with_support(variable.support)
        self.types[far] = given
        return True

    def _apply(self, step: StepNode, *, forward: bool) -> Type:
        given = self._along(step) if forward else self._against(step)
        if given.size > MAX_ELEMENTS:
            raise Refusal("DGM307", f"an event of {given.size:,} elements is beyond 10^9", help=("lower a dimension",))
        return given

    def _along(self, step: StepNode) -> Type:
        """The type behind a step; where the step refuses what is by design a part of more, that value becomes more."""
        c, whole = self.types.get(step.context or ""), self.wholes.get(step.source)
        try:
            given = given_by(step, self.types[step.source], c)
        except Refusal:
            if whole is None:
                raise
            given = given_by(step, whole, c)
            self.types[step.source], whole = whole, None
        beyond = whole_of(step, given, whole, c)
        if beyond is not None and self._variable(step.target) is None:
            self.wholes[step.target] = beyond
        return given

    def _against(self, step: StepNode) -> Type:
        """The type before a step, from the one behind it."""
        c, y = self.types.get(step.context or ""), self.types[step.target]
        try:
            given = step.op.infer_type(y, c) if step.inverse else step.op.infer_input(y, c)
        except Refusal as refusal:
            found = unreached(step, y, c) if refusal.code in ("DGM303", "DGM440") else None
            raise found or refusal from None
        part = step.op.part if step.inverse else None
        return given if part is None else given.with_support(part.whole)

    def _variable(self, value: str) -> VariableNode | None:
        name = self.graph.values[value].variable
        return self.graph.variables.get(name) if name is not None else None

    def _joint(self, whole: VariableNode) -> bool:
        """The type of a joint state from those of its parts; whether it has become known by that."""
        parts = [self.types.get(self.graph.variables[part].value) for part in whole.parts]
        known = [part for part in parts if part is not None]
        arrow = next((a for a in self.graph.arrows.values() if whole.name in (a.source, a.target)), None)
        if arrow is None or len(known) < len(parts) or whole.value in self.settled:
            return False  # an arrow is missing where its braces have been refused
        self.settled.add(whole.value)
        joined, found = Type(known[0].support, (sum(part.size for part in known),)), self.types.get(whole.value)
        apart = next((i for i, part in enumerate(known) if part.support != joined.support), None)
        if apart is not None:
            first, other = whole.parts[0], whole.parts[apart]
            self._unjoined(
                arrow,
                "DGM348",
                f"`{first}` is {known[0]} and `{other}` is {known[apart]}: a joint state has one support",
                f"take each onto ℝ by a flow of its own first: `latent u : real[*]; flow {other} -> u {{ … }}`",
            )
        elif found is not None and found != joined:
            self._unjoined(
                arrow,
                "DGM301",
                f"{found} reaches {whole.name}, whose parts make {joined}",
                "correct the dimensions of the parts",
            )
        if found is not None or arrow.address in self.failed:
            return False
        self.types[whole.value] = joined
        return True

    def _unjoined(self, arrow: ArrowNode, code: str, message: str, help: str) -> None:
        self.failed.add(arrow.address)
        self.findings.report(code, message, arrow.address, help=(help,))

    def _count(self, step: StepNode) -> None:
        """Refuse a model of more than 10^9 parameters at the step that passes the limit."""
        x = self.types.get(step.target if step.inverse else step.source)
        if x is None or step.arrow in self.failed or self.budget.exceeded:
            return
        try:
            with _located(self.findings, step):
                specs = step.op.parameters(x, self.types.get(step.context or ""))
        except Reported:
            self.failed.add(step.arrow)
            return
        self.budget.spend(specs, step.place or step.address)

    def _remembered(self, step: StepNode) -> None:
        """Report an inverse step that would make another event than the one before it."""
        x, y = self.types.get(step.target), self.types.get(step.source)
        if not (step.op.forgets and step.inverse) or x is None or y is None or step.arrow in self.failed:
            return
        with suppress(Reported), _located(self.findings, step):
            given = step.op.infer_type(x, None)
            if given == self.wholes.get(step.source):
                self.types[step.source] = given
            elif given != y:
                self.failed.add(step.arrow)
                raise Refusal(
                    "DGM301",
                    f"{y} stands where the steps behind it need {given}",
                    help=(f"declare {given}, or `{given.support}[*]`",),
                )

    # ---- outside the arrows -----------------------------------------------------------------------------------------

    def _formulas(self) -> None:
        """The types of the formulas all of whose values have one; the others wait."""
        waiting, self.waiting = self.waiting, []
        for node in waiting:
            if all(value in self.types for value in node.inputs):
                self._formula(node)
            else:
                self.waiting.append(node)

    def _formula(self, node: FormulaNode) -> None:
        """The type of a formula that is a context, or that a net reads."""
        types = {name: self.types[value] for name, value in zip(node.names, node.inputs, strict=True)}
        listed = {name: value for name, value in zip(node.names, node.inputs, strict=True) if name in node.listed}
        types |= {name: as_read(self.graph, value, types[name]) for name, value in listed.items()}
        types |= {n.name: n.type for n in self.graph.learned.values() if isinstance(n.type, Type)}
        try:
            with self.findings.refusals_at(node.address):
                size = (joined_size(node.formula, types),)
                kept = shape_of(node.formula, {n: t.shape for n, t in types.items()}) if node.keeps else size
                self.types[node.target] = Type(REAL, kept)
        except (Reported, KeyError):
            return

    def _declared(self, variable: VariableNode) -> None:
        """Report a variable whose shape nothing fixes; where something was refused, that is the reason."""
        touched = [arrow for arrow in self.graph.arrows.values() if variable.name in (arrow.source, arrow.target)]
        silent = variable.support is None or any(arrow.address in self.failed for arrow in touched)
        if variable.value in self.types or silent or not self.graph.complete:
            return
        self.findings.report(
            "DGM305",
            f"nothing fixes the shape of `{variable.name}`",
            child(variable.address, "type"),
            label="open",
            help=(f"write the dimensions, such as `{variable.support}[2]`",),
        )


@contextmanager
def _located(findings: Findings, step: StepNode) -> Iterator[None]:
    """The one door of refusals: a finding at the step, or at the argument the refusal names, then `Reported`."""
    try:
        yield
    except Refusal as refusal:
        findings.add(refused(step, refusal))
        raise Reported from refusal
