"""One walk over a graph: values are computed on demand, each once, into a shared list of instructions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from dgmspec.algebra.nodes import AbstractExpr, Name, walk
from dgmspec.core.address import Address, child
from dgmspec.core.op import AbstractArrowLoss, AbstractDistribution, AbstractOp, ArrowTerm, Draw
from dgmspec.core.types import Type
from dgmspec.graph.flows import JOIN
from dgmspec.graph.graph import FormulaNode, Graph, NetNode, Prior, StepNode, ValueId, VariableNode
from dgmspec.graph.words import describe
from dgmspec.program.program import Entry, Instruction, ProgramInput, Slot
from dgmspec.program.routes import Routes


class MissingValueError(Exception):
    """A phase asked for what the model does not have; `reason` says what and how to supply it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StuckError(MissingValueError):
    """A step that cannot be run in the direction that a phase needs."""


class Listing:
    """The list under construction: slots are numbered as they are made, inputs are made once by name."""

    def __init__(self) -> None:
        self.inputs: list[ProgramInput] = []
        self.instructions: list[Instruction] = []
        self.slots = 0
        self._by_name: dict[str, Slot] = {}

    def slot(self) -> Slot:
        """A new slot."""
        self.slots += 1
        return self.slots - 1

    def input(self, kind: Literal["variable", "given", "noise"], name: str, **facts: Any) -> Slot:
        """The slot of an input of the program."""
        if name not in self._by_name:
            self._by_name[name] = self.slot()
            self.inputs.append(ProgramInput(kind, name, self._by_name[name], **facts))
        return self._by_name[name]

    def add(self, count: int, **line: Any) -> tuple[Slot, ...]:
        """Append an instruction with `count` results."""
        outputs = tuple(self.slot() for _ in range(count))
        self.instructions.append(Instruction(outputs=outputs, **line))
        return outputs

    def total(self, entries: Iterable[Entry]) -> Slot:
        """Σ sign · contribution over the entries, (batch,)."""
        entries = list(entries)
        signs = tuple(e.sign for e in entries)
        return self.add(1, target="total", address="", inputs=tuple(e.slot for e in entries), signs=signs)[0]

    def mean(self, address: Address, values: Slot, sign: int) -> Slot:
        """sign · mean over the batch."""
        return self.add(1, target="mean", address=address, inputs=(values,), signs=(sign,))[0]

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


class Walk:
    """Values of one direction of a model, by demand.

    `ledger_sign` is +1 on the way from data to prior, -1 on the way from prior to data; with `draws` a component whose
    values are unknown starts from a draw of its prior. `initialise` and `updates` let steps set their parameters from
    the data that reach them. `aside` holds the slots of the parts set aside beside a value.
    """

    def __init__(
        self,
        graph: Graph,
        routes: Routes,
        listing: Listing,
        ledger_sign: Literal[1, -1] = 1,
        draws: bool = False,
        initialise: bool = False,
        updates: bool = False,
    ) -> None:
        self.graph, self.routes, self.listing = graph, routes, listing
        self.sign, self.draws, self.initialise, self.updates = ledger_sign, draws, initialise, updates
        self.slots: dict[ValueId, Slot] = {}
        self.aside: dict[ValueId, tuple[Slot, ...]] = {}
        self.learned: dict[str, Slot] = {}
        self.ledger: list[Entry] = []
        made: list[NetNode | FormulaNode] = [*graph.nets.values(), *graph.formulas.values()]
        self.makers: dict[ValueId, NetNode | FormulaNode] = {node.target: node for node in made}

    # ---- values -----------------------------------------------------------------------------------------------------

    def take(self, variables: Iterable[VariableNode]) -> None:
        """Variables that the caller supplies."""
        for v in variables:
            kind: Literal["given", "variable"] = "given" if v.role == "given" else "variable"
            self.slots[v.value] = self.listing.input(kind, v.name, type=self.type_of(v.value))

    def need(self, value: ValueId) -> Slot:
        """The slot of a value, computed now if it has not been."""
        if value not in self.slots:
            if value in self.makers:
                self._make(self.makers[value])
            else:
                self._arrive(value)
        return self.slots[value]

    def type_of(self, value: ValueId) -> Type:
        """The inferred type: programs are built from typed graphs only."""
        found = self.graph.type_of(value)
        assert isinstance(found, Type), f"{value} has no type"
        return found

    def _arrive(self, value: ValueId) -> None:
        """Run the steps from the nearest known value of the component to `value`."""
        component = self.routes.of[value]
        if self.draws and component.prior is not None and component.values.isdisjoint(self.slots):
            self.draw(component.prior)
        known = set(component.values & self.slots.keys()) | set(component.values & self.makers.keys())
        if not known:
            name = self.graph.values[value].variable or value
            raise MissingValueError(f"nothing determines `{name}` here: give it a prior or join it to a known variable")
        path = self.routes.path(known, value)
        if path is None:
            raise MissingValueError(self._lacking(known))
        for address in path:
            if address in self.graph.steps:
                self._step(self.graph.steps[address])
            else:
                self._joint(address)

    def _lacking(self, known: set[ValueId]) -> str:
        """The part of a joint state that nothing known leads to."""
        for whole in self.graph.joints():
            for part in whole.parts:
                at = self.graph.variables[part].value
                if at not in known and self.routes.path(known, at) is None:
                    return f"nothing determines `{part}` of `{whole.name}` here: join it to an observed variable"
        raise AssertionError("without joint states every value of a component leads to every other")

    def _joint(self, whole: ValueId) -> None:
        """A joint state from its parts, or its parts from it."""
        parts = self.routes.joints[whole]
        *before, last = (self.type_of(part) for part in parts)
        line = {"op": JOIN, "type": replace(last, aside=tuple(before)), "address": whole}
        ordered = (parts[-1], *parts[:-1])
        if whole in self.slots:
            held = self.slots[whole]
            *made, _ = self.listing.add(len(parts) + 1, target="inverse", inputs=(held,), **line)
            self.slots = dict(zip(ordered, made, strict=True)) | self.slots
        else:
            inputs = tuple(self.need(part) for part in ordered)
            self.slots[whole], _ = self.listing.add(2, target="forward", inputs=inputs, parts=len(parts), **line)

    def _make(self, node: NetNode | FormulaNode) -> None:
        type_ = self.type_of(node.target)
        if isinstance(node, NetNode):
            types = tuple(self.type_of(v) for v in node.inputs)
            line = {"op": node.op, "inputs": tuple(self.need(v) for v in node.inputs), "input_types": types}
            slot = self.listing.add(1, target="net", address=node.address, type=type_, **line)[0]
        else:
            slot = self._context(node, type_)
        self.slots[node.target] = slot

    def _step(self, node: StepNode) -> None:
        along = node.target not in self.slots
        start, end = (node.source, node.target) if along else (node.target, node.source)
        forward = along is not node.inverse
        if lacks := node.op.missing(forward):
            raise StuckError(lacks)
        event = self.type_of(node.target if node.inverse else node.source)
        passed = len(self.type_of(start).passed_by(self.type_of(end)))
        aside = self.aside.get(start, ())
        parts = [self.need(start), *aside[passed:]]
        inputs = parts + ([self.need(node.context)] if node.context is not None else [])
        types = () if node.context is None else (self.type_of(node.context),)
        draws = self._noise(node.address, node.op.draws(event) if forward else node.op.inverse_draws(event))
        line = {
            "address": node.address,
            "inputs": (*inputs, *draws.values()),
            "op": node.op,
            "type": event,
            "input_types": types,
            "parts": len(parts),
            "context": node.context is not None,
            "noise": tuple(draws),
        }
        if self.initialise and node.op.initialises:
            self.listing.add(0, target="initialise" if forward else "initialise_inverse", **line)
        if self.updates and node.op.updates and forward:
            self.listing.add(0, target="update", **line)
        count = 2 + len(self.type_of(end).aside) - passed
        out, *made, log_det = self.listing.add(count, target="forward" if forward else "inverse", **line)
        self.slots[end], self.aside[end] = out, (*aside[:passed], *made)
        if node.address in self.routes.of[node.source].counted:
            cost = node.op.cost(event, types[0] if types else None).log_det
            way: Literal["forward", "inverse"] = "forward" if forward else "inverse"
            label = describe(node.op, nets=False)
            self.ledger.append(Entry(node.address, label, "log_det", self.sign, log_det, way, cost))

    def term(self, node: StepNode, op: AbstractArrowLoss, address: Address) -> Slot:
        """One number a row: a loss term about one step, from the values at its start."""
        event = self.type_of(node.source)
        context = () if node.context is None else (self.need(node.context),)
        draws = self._noise(address, op.term_draws(node.op, event))
        line = {
            "address": node.address,
            "inputs": (self.need(node.source), *context, *draws.values()),
            "op": ArrowTerm(loss=op, step=node.op, at=address),
            "type": event,
            "input_types": () if node.context is None else (self.type_of(node.context),),
            "context": node.context is not None,
            "noise": tuple(draws),
        }
        return self.listing.add(1, target="term", **line)[0]

    # ---- distributions and formulas ---------------------------------------------------------------------------------

    def draw(self, prior: Prior) -> Slot:
        """A draw of a variable from its prior."""
        variable = self.graph.variables[prior.variable]
        self.slots[variable.value] = self._distribution("draw", prior, None)
        return self.slots[variable.value]

    def log_prob(self, prior: Prior) -> None:
        """The prior's log-density at its variable's value, as an entry of the ledger."""
        variable = self.graph.variables[prior.variable]
        slot = self._distribution("log_prob", prior, self.need(variable.value))
        label = f"{prior.variable} ~ {describe(prior.op)}"
        self.ledger.append(Entry(prior.address, label, "log_prob", 1, slot, "", "O(d)"))

    def target(self, variable: str) -> Entry:
        """The unnormalised log-density of `variable`'s target, subtracted."""
        node = self.graph.variables[variable]
        assert node.target is not None
        self.need(node.value)
        slot = self.formula(node.target.address, node.target.log_density, None)
        return Entry(node.target.address, f"{variable} ~ exp", "log_prob", -1, slot)

    def formula(self, address: Address, formula: AbstractExpr, type_: Type | None) -> Slot:
        """The value of a formula over variables, contexts and learned parameters."""
        return self.listing.formula(address, formula, {n: self._named(n) for n in free_names(formula)}, type_)

    def _context(self, node: FormulaNode, type_: Type) -> Slot:
        inputs = dict(zip(node.names, node.inputs, strict=True))
        named = {n: self.need(inputs[n]) if n in inputs else self._named(n) for n in free_names(node.formula)}
        types = tuple(self.type_of(inputs[n]) if n in inputs else self._type_named(n) for n in named)
        return self.listing.formula(node.address, node.formula, named, type_, types)

    def _type_named(self, name: str) -> Type:
        """The type of a variable or a learned parameter."""
        if name in self.graph.variables:
            return self.type_of(self.graph.variables[name].value)
        found = self.graph.learned[name].type
        assert isinstance(found, Type)
        return found

    def _named(self, name: str) -> Slot:
        """A name in a formula: a variable or a learned parameter."""
        if name in self.graph.variables:
            return self.need(self.graph.variables[name].value)
        if name not in self.learned:
            node = self.graph.learned[name]
            assert isinstance(node.type, Type)
            line = {"target": "learned", "address": node.address, "inputs": (), "type": node.type}
            self.learned[name] = self.listing.add(1, **line)[0]
        return self.learned[name]

    def _distribution(self, target: Literal["draw", "log_prob"], prior: Prior, x: Slot | None) -> Slot:
        type_ = self.type_of(self.graph.variables[prior.variable].value)
        formulas = dict(parameter_formulas(prior.op))
        named = {n: self.formula(child(prior.address, n), formula, None) for n, formula in formulas.items()}
        draws = self._noise(prior.address, prior.op.draws(type_)) if target == "draw" else {}
        head = () if x is None else (x,)
        line = {"op": prior.op, "type": type_, "names": tuple(named), "noise": tuple(draws)}
        inputs = (*head, *named.values(), *draws.values())
        return self.listing.add(1, target=target, address=prior.address, inputs=inputs, **line)[0]

    def _noise(self, address: Address, draws: Iterable[Draw]) -> dict[str, Slot]:
        return {d.name: self.listing.input("noise", child(address, d.name), draw=d) for d in draws}


def free_names(formula: AbstractExpr) -> tuple[str, ...]:
    """The names an expression reads, in order of first appearance."""
    return tuple(dict.fromkeys(node.id for node in walk(formula) if isinstance(node, Name)))


def parameter_formulas(op: AbstractOp, prefix: str = "") -> Iterator[tuple[str, AbstractExpr]]:
    """The fields of a distribution that are formulas, by path: ``loc``, and ``components/0/loc`` inside others."""
    for field in type(op).model_fields:
        yield from _formulas(getattr(op, field), f"{prefix}{field}")


def _formulas(value: object, path: str) -> Iterator[tuple[str, AbstractExpr]]:
    if isinstance(value, AbstractExpr):
        yield path, value
    elif isinstance(value, AbstractDistribution):
        yield from parameter_formulas(value, f"{path}/")
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _formulas(item, f"{path}/{index}")
