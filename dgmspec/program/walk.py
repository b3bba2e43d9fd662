"""One walk over a graph: values are computed on demand, each once, into a shared list of instructions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from dgmspec.core.address import Address
from dgmspec.core.losses import AbstractArrowLoss, ArrowTerm
from dgmspec.graph.dependence import states
from dgmspec.graph.flows import JOIN
from dgmspec.graph.graph import FormulaNode, Graph, NetNode, StepNode, ValueId, VariableNode
from dgmspec.graph.parameters import net_types
from dgmspec.graph.words import describe
from dgmspec.program.laws import AbstractLaws
from dgmspec.program.listing import Listing, MissingValueError, StuckError
from dgmspec.program.program import Entry, Slot
from dgmspec.program.routes import Component, Routes


class Walk(AbstractLaws):
    """Values of one direction of a model, by demand.

    `ledger_sign` is +1 on the way from data to prior, -1 on the way from prior to data. A component of which nothing is
    known starts from a draw of its prior or of its posterior, as `origin` says, or of their means with `means`; those
    so started are listed in `started`. Draws are made for `copies` of every row. `enumerated` are discrete variables
    that take all their values in place of a draw. `offered` are variables that the caller supplies where they are
    needed. `initialise` and `updates` let steps set their parameters from the data that reach them. `aside` holds the
    slots of the parts set aside beside a value; `rates` asks steps for what loss terms integrate along them, whose
    slots are in `rated`. A walk that is `still` passes no gradient to parameters.
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
        still: bool = False,
    ) -> None:
        self.graph, self.routes, self.listing = graph, routes, listing
        self.sign, self.origin, self.initialise, self.updates = ledger_sign, origin, initialise, updates
        self.copies, self.means, self.still = copies, means, still
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
        self._stilled: Walk | None = None
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

    def _make(self, node: NetNode | FormulaNode) -> None:
        type_ = self.type_of(node.target)
        if isinstance(node, NetNode):
            slot = self._net(node, net_types(self.graph, node)[0], type_)
        else:
            slot = self._context(node, type_)
        self.slots[node.target] = slot

    # ---- steps ------------------------------------------------------------------------------------------------------

    def _step(self, node: StepNode) -> None:
        """Run a step from whichever of its ends is known; where it counts, its log-determinant joins the ledger."""
        along = node.target not in self.slots
        start, end = (node.source, node.target) if along else (node.target, node.source)
        forward = along is not node.inverse
        if lacks := node.op.missing(forward):
            raise StuckError(lacks)
        passed, aside = len(self.type_of(start).passed_by(self.type_of(end))), self.aside.get(start, ())
        line = self._line(node, forward, (self.need(start), *aside[passed:]))
        if self.initialise and node.op.initialises:
            self.listing.add(0, target="initialise" if forward else "initialise_inverse", **line)
        if self.updates and node.op.updates and forward:
            self.listing.add(0, target="update", **line)
        rates = self.rates.get(node.address, ())
        count = 2 + len(rates) + len(self.type_of(end).aside) - passed
        out, *made, log_det = self.listing.add(count, target="forward" if forward else "inverse", **line)
        self.rated |= {(node.address, rate): slot for rate, slot in zip(rates, made, strict=False)}
        self.slots[end], self.aside[end] = out, (*aside[:passed], *made[len(rates) :])
        if node.address in self.routes.of[node.source].counted:
            self.ledger.append(self._contribution(node, forward, log_det))

    def _line(self, node: StepNode, forward: bool, parts: tuple[Slot, ...]) -> dict[str, Any]:
        """The instruction of a step in one direction, from its event and the parts that it takes up."""
        event = self.type_of(node.target if node.inverse else node.source)
        context = () if node.context is None else (self._context_of(node.context),)
        rates = self.rates.get(node.address, ())
        op = node.op.with_rates(rates) if rates else node.op
        draws = self._noise(node.address, op.draws(event) if forward else op.inverse_draws(event))
        return {
            "address": node.address,
            "inputs": (*parts, *context, *draws.values()),
            "op": op,
            "type": event,
            "input_types": () if node.context is None else (self.type_of(node.context),),
            "parts": len(parts),
            "context": node.context is not None,
            "noise": tuple(draws),
            "detached": self.still,
        }

    def _context_of(self, value: ValueId) -> Slot:
        """The slot of an arrow's context, of a still walk without a gradient to what it is made by."""
        if not self.still:
            return self.need(value)
        apart = self.stilled((value,))
        return self.listing.held(self.need(value)) if apart is None else apart.need(value)

    def _contribution(self, node: StepNode, forward: bool, log_det: Slot) -> Entry:
        """What a step adds to a log-density."""
        event = self.type_of(node.target if node.inverse else node.source)
        context = None if node.context is None else self.type_of(node.context)
        return Entry(
            node.address,
            node.label or describe(node.op, nets=False),
            "log_det",
            self.sign,
            log_det,
            "forward" if forward else "inverse",
            node.op.cost(event, context).log_det,
            self.routes.of[node.source].name,
            node.op.density_along(forward is (self.sign > 0), event),
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

    # ---- the end, and the way back ----------------------------------------------------------------------------------

    def finish(self) -> None:
        """While training, new values of the laws' own parameters, once all that reads them has been listed."""
        laws = [component.posterior for component in self.started if component.posterior is not None]
        for law in laws if self.updates else ():
            if law.op.updates:
                self.about(law, "update_law", 0)

    def stilled(self, values: Iterable[ValueId]) -> Walk | None:
        names = self.routes.dependence.variables(values)
        if not any(self.graph.variables[name].role == "latent" for name in names):
            return None
        if self._stilled is None:
            self._stilled = Walk(self.graph, self.routes, self.listing, copies=self.copies, still=True)
            self._stilled.features = self.features
        known = {value: slot for value, slot in self.slots.items() if value not in self.makers}
        self._stilled.slots = known | self._stilled.slots
        return self._stilled

    def back(self, end: ValueId, start: ValueId) -> Walk:
        """The way from a value that is known back to one that it was made from, by the same steps undone and held: what
        it adds, with the opposite sign, is a function of the value alone."""
        other = Walk(self.graph, self.routes, self.listing, -1, copies=self.copies, still=True)
        inside = self.routes.of[end].values - {end}
        other.slots = {value: slot for value, slot in self.slots.items() if value not in inside}
        other.features, other.parameters = self.features, self.parameters
        other.need(start)
        return other
