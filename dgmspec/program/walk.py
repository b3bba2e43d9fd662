"""One walk over a graph: values are computed on demand, each once, into a shared list of instructions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

from dgmspec.algebra.nodes import AbstractExpr, Name, walk
from dgmspec.core.address import Address, child
from dgmspec.core.losses import AbstractArrowLoss, ArrowTerm
from dgmspec.core.parameters import Draw
from dgmspec.core.types import SupportKind, Type
from dgmspec.graph.building import parameter_formulas
from dgmspec.graph.dependence import states
from dgmspec.graph.flows import JOIN
from dgmspec.graph.graph import FormulaNode, Graph, NetNode, Prior, StepNode, Trunk, ValueId, VariableNode
from dgmspec.graph.parameters import net_types, own_given, relaxed, trunk_types
from dgmspec.graph.words import describe, law_label
from dgmspec.program.listing import Listing, MissingValueError, StuckError
from dgmspec.program.program import Density, Entry, Slot
from dgmspec.program.routes import Component, Routes


class Walk:
    """Values of one direction of a model, by demand.

    `ledger_sign` is +1 on the way from data to prior, -1 on the way from prior to data. A component of which nothing is
    known starts from a draw of its prior or of its posterior, as `origin` says, or of their means with `means`; those
    so started are listed in `started`. Draws are made for `copies` of every row. `enumerated` are discrete variables
    that take all their values in place of a draw. `offered` are variables that the caller supplies where they are
    needed. `initialise` and `updates` let steps set their parameters from the data that reach them. `aside` holds the
    slots of the parts set aside beside a value; `rates` asks steps for what loss terms integrate along them, whose
    slots are in `rated`. With `held` steps pass gradients to their events alone, not to parameters and contexts.
    """

    def __init__(
        self,
        graph: Graph,
        routes: Routes,
        listing: Listing,
        ledger_sign: Literal[1, -1] = 1,
        origin: Literal["prior", "posterior"] | None = None,
        copies: int = 1,
        enumerated: Iterable[VariableNode] = (),
        offered: Iterable[VariableNode] = (),
        means: bool = False,
        initialise: bool = False,
        updates: bool = False,
        rates: Mapping[Address, tuple[str, ...]] | None = None,
        held: bool = False,
    ) -> None:
        self.graph, self.routes, self.listing = graph, routes, listing
        self.sign, self.origin, self.initialise, self.updates = ledger_sign, origin, initialise, updates
        self.copies, self.means, self.held = copies, means, held
        self.enumerated = {v.value: v for v in enumerated}
        self.states = math.prod(states(graph, v) for v in self.enumerated.values())
        self.offered = {v.value: v for v in offered}
        self.started: list[Component] = []
        self.parameters: dict[Address, dict[str, Slot]] = {}
        self.slots: dict[ValueId, Slot] = {}
        self.features: dict[ValueId, Slot] = {}
        self.aside: dict[ValueId, tuple[Slot, ...]] = {}
        self.rates, self.rated = rates or {}, dict[tuple[Address, str], Slot]()
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
            elif value in self.offered:
                self.take([self.offered[value]])
            else:
                self._arrive(value)
        return self.slots[value]

    def read(self, value: ValueId) -> Slot:
        """The slot of a value as nets read it: of a relaxed label what stands for it."""
        slot, law = self.need(value), relaxed(self.graph, value)
        if law is None:
            return slot
        if value not in self.features:
            line = {"op": law.op, "type": self.type_of(value), "inputs": (slot,)}
            self.features[value] = self.listing.add(1, target="embed", address=law.address, **line)[0]
        return self.features[value]

    def type_of(self, value: ValueId) -> Type:
        """The inferred type: programs are built from typed graphs only."""
        found = self.graph.type_of(value)
        assert isinstance(found, Type), f"{value} has no type"
        return found

    def _arrive(self, value: ValueId) -> None:
        """Run the steps from the nearest known value of the component to `value`."""
        component = self.routes.of[value]
        if component.values.isdisjoint(self.slots):
            self._start(component)
        known = set(component.values & self.slots.keys()) | set(component.values & self.makers.keys())
        if not known:
            name = self.graph.values[value].variable or value
            raise MissingValueError(f"nothing determines `{name}` here: give it a prior or join it to a known variable")
        if value in self.slots:
            return
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

    def _start(self, component: Component) -> None:
        """A first value of a component: supplied, enumerated or drawn."""
        supplied = [v for v in component.latent if v.value in self.offered]
        every = [v for v in component.latent if v.value in self.enumerated]
        law = component.posterior if self.origin == "posterior" else component.prior
        if supplied:
            self.take(supplied)
        elif every:
            self._enumerate(every[0])
            self.started.append(component)
        elif self.origin is not None and law is not None:
            self.draw(law)
            self.started.append(component)
        elif self.origin == "posterior" and component.prior is not None:
            name = component.prior.variable
            raise MissingValueError(f"nothing says what `{name}` is, given the data: write `infer {name} | … ~ …`")

    def _enumerate(self, variable: VariableNode) -> None:
        """All values of a discrete variable, each combined with all values of the other enumerated ones."""
        names = list(self.enumerated)
        later = [self.enumerated[n] for n in names[names.index(variable.value) + 1 :]]
        index = (math.prod(states(self.graph, v) for v in later), self.states)
        copies = self.copies * self.states
        line = {"type": self.type_of(variable.value), "copies": copies, "index": index, "inputs": (self.any_rows(),)}
        self.slots[variable.value] = self.listing.spread(copies, target="states", address=variable.address, **line)

    def any_rows(self) -> Slot:
        """A slot with one copy of every row, which tells how many rows there are."""
        return next(i.slot for i in self.listing.inputs if i.kind in ("variable", "given"))

    def _make(self, node: NetNode | FormulaNode) -> None:
        type_ = self.type_of(node.target)
        if isinstance(node, NetNode):
            slot = self._net(node, net_types(self.graph, node)[0], type_)
        else:
            slot = self._context(node, type_)
        self.slots[node.target] = slot

    def _net(self, node: NetNode | Trunk, types: tuple[Type, ...], result: Type) -> Slot:
        inputs = tuple(self.read(v) for v in node.inputs)
        line = {"op": node.op, "inputs": inputs, "input_types": types, "type": result}
        return self.listing.add(1, target="net", address=node.address, **line)[0]

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
        rates = self.rates.get(node.address, ())
        op = node.op.with_rates(rates) if rates else node.op
        draws = self._noise(node.address, op.draws(event) if forward else op.inverse_draws(event))
        line = {
            "address": node.address,
            "inputs": (*inputs, *draws.values()),
            "op": op,
            "type": event,
            "input_types": types,
            "parts": len(parts),
            "context": node.context is not None,
            "noise": tuple(draws),
            "detached": self.held,
        }
        if self.initialise and node.op.initialises:
            self.listing.add(0, target="initialise" if forward else "initialise_inverse", **line)
        if self.updates and node.op.updates and forward:
            self.listing.add(0, target="update", **line)
        count = 2 + len(rates) + len(self.type_of(end).aside) - passed
        out, *made, log_det = self.listing.add(count, target="forward" if forward else "inverse", **line)
        self.rated |= {(node.address, rate): slot for rate, slot in zip(rates, made, strict=False)}
        self.slots[end], self.aside[end] = out, (*aside[:passed], *made[len(rates) :])
        component = self.routes.of[node.source]
        if node.address in component.counted:
            cost = node.op.cost(event, types[0] if types else None).log_det
            way: Literal["forward", "inverse"] = "forward" if forward else "inverse"
            label = node.label or describe(node.op, nets=False)
            self.ledger.append(
                Entry(
                    node.address,
                    label,
                    "log_det",
                    self.sign,
                    log_det,
                    way,
                    cost,
                    component.name,
                    node.op.density_along(forward is (self.sign > 0), event),
                )
            )

    def term(
        self, node: StepNode, op: AbstractArrowLoss, address: Address, ends: tuple[Slot, ...], begins: bool = True
    ) -> Slot:
        """One number a row: a loss term about one step, from the values at its start, or at both `ends`, the first of
        which is the data's where the step `begins` on their side."""
        event = self.type_of(node.source)
        context = () if node.context is None else (self.need(node.context),)
        draws = self._noise(address, op.term_draws(node.op, event))
        line = {
            "address": node.address,
            "inputs": (*ends, *context, *draws.values()),
            "parts": len(ends),
            "op": ArrowTerm(loss=op, step=node.op, at=address, begins=begins),
            "type": event,
            "input_types": () if node.context is None else (self.type_of(node.context),),
            "context": node.context is not None,
            "noise": tuple(draws),
        }
        return self.listing.add(1, target="term", **line)[0]

    def back(self, end: ValueId, start: ValueId) -> Walk:
        """The way from a value that is known back to one that it was made from, by the same steps undone and held: what
        it adds, with the opposite sign, is a function of the value alone."""
        other = Walk(self.graph, self.routes, self.listing, -1, copies=self.copies, held=True)
        inside = self.routes.of[end].values - {end}
        other.slots = {value: slot for value, slot in self.slots.items() if value not in inside}
        other.features, other.parameters = self.features, self.parameters
        other.need(start)
        return other

    # ---- distributions and formulas ---------------------------------------------------------------------------------

    def draw(self, law: Prior) -> Slot:
        """A draw of a variable from its law, or the law's mean where it has one that is a value of the variable."""
        variable = self.graph.variables[law.variable]
        value = variable.value
        between = variable.role == "latent" and self.type_of(value).support.kind is SupportKind.INTEGER
        mean = self.means and law.op.has_mean and not between
        found = self._distribution("mean_of" if mean else "draw", law, None)
        self.slots[value] = found[0]
        if len(found) == 2:
            self.features[value] = found[1]
        return found[0]

    def finish(self) -> None:
        """While training, new values of the laws' own parameters, once all that reads them has been listed."""
        laws = [component.posterior for component in self.started if component.posterior is not None]
        for law in laws if self.updates else ():
            if law.op.updates:
                self.about(law, "update_law", 0)

    def about(self, law: Prior, target: Literal["commitment", "update_law"], results: int) -> tuple[Slot, ...]:
        """An instruction about a law's parameters, for all rows."""
        named = self.parameters_of(law)
        line = {"op": law.op, "type": self.type_of(self.graph.variables[law.variable].value), "names": tuple(named)}
        inputs = (self.any_rows(), *named.values())
        return self.listing.add(results, target=target, address=law.address, inputs=inputs, **line)

    def log_prob(self, law: Prior, sign: Literal[1, -1] = 1, detached: bool = False) -> Entry:
        """A law's log-density at its variable's value, as an entry of the ledger."""
        if law.op.density == "none":
            raise MissingValueError(
                f"`{law.variable}` is a row of data, which has no density: train by `flow_matching` or give it a law "
                "with a density, such as a `mixture`"
            )
        variable = self.graph.variables[law.variable]
        slot = self._distribution("log_prob", law, self.need(variable.value), detached)[0]
        group = self.routes.of[variable.value].name
        label = law_label(self.graph, law)
        density: Density = law.op.density if law is variable.prior else "lower bound"
        self.ledger.append(Entry(law.address, label, "log_prob", sign, slot, "", "O(d)", group, density))
        return self.ledger[-1]

    def target(self, variable: str) -> Entry:
        """The unnormalised log-density of `variable`'s target, subtracted."""
        node = self.graph.variables[variable]
        assert node.target is not None
        self.need(node.value)
        slot = self.formula(node.target.address, node.target.log_density, None, dict(node.target.named))
        return Entry(node.target.address, f"{variable} ~ exp", "log_prob", -1, slot)

    def formula(
        self, address: Address, formula: AbstractExpr, type_: Type | None, own: Mapping[str, ValueId] | None = None
    ) -> Slot:
        """The value of a formula over variables, learned parameters and what stands under names of its own."""
        own = own or {}
        named = {n: self.need(own[n]) if n in own else self._named(n) for n in free_names(formula)}
        return self.listing.formula(address, formula, named, type_)

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

    def _distribution(
        self, target: Literal["draw", "mean_of", "log_prob"], law: Prior, x: Slot | None, detached: bool = False
    ) -> tuple[Slot, ...]:
        type_ = self.type_of(self.graph.variables[law.variable].value)
        named = self.parameters_of(law)
        drawn = {"draw": law.op.draws, "log_prob": law.op.density_draws}.get(target)
        draws = self._noise(law.address, drawn(type_)) if drawn is not None else {}
        head = (x,) if x is not None else (self.any_rows(),) if target == "mean_of" else ()
        given = own_given(self.graph, law)
        line = {"op": law.op, "type": type_, "names": tuple(named), "noise": tuple(draws), "context": given is not None}
        line["input_types"] = () if given is None else (given,)
        line["detached"] = detached
        context = () if given is None else (self.read(law.context[0]),)
        inputs = (*head, *context, *named.values(), *draws.values())
        count = 2 if target == "draw" and law.op.relaxes else 1
        return self.listing.add(count, target=target, address=law.address, inputs=inputs, **line)

    def parameters_of(self, law: Prior) -> dict[str, Slot]:
        """The parameters of a law that are no constants, by their paths."""
        if law.address not in self.parameters:
            own, formulas = dict(law.named), parameter_formulas(law.op)
            found = {n: self.formula(child(law.address, n), formula, None, own) for n, formula in formulas}
            for trunk in law.trunks:
                types, result = trunk_types(self.graph, law, trunk)
                flat = self._net(trunk, types, result)
                line = {"op": law.op, "heads": trunk.parameters, "inputs": (flat,)}
                type_ = self.type_of(self.graph.variables[law.variable].value)
                heads = self.listing.add(len(trunk.parameters), target="heads", address=law.address, type=type_, **line)
                found |= zip(trunk.parameters, heads, strict=True)
            self.parameters[law.address] = found
        return self.parameters[law.address]

    def _noise(self, address: Address, draws: Iterable[Draw]) -> dict[str, Slot]:
        return {d.name: self.listing.noise(address, d, self.copies) for d in draws}


def free_names(formula: AbstractExpr) -> tuple[str, ...]:
    """The names an expression reads, in order of first appearance."""
    return tuple(dict.fromkeys(node.id for node in walk(formula) if isinstance(node, Name)))
