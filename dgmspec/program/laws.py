"""What a walk says of its values once it has them: draws, densities and parameters of laws, formulas and nets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Literal

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.address import Address, child
from dgmspec.core.parameters import Draw
from dgmspec.core.types import SupportKind, Type
from dgmspec.graph.building import parameter_formulas
from dgmspec.graph.graph import FormulaNode, Graph, NetNode, Prior, Trunk, ValueId
from dgmspec.graph.parameters import own_given, read_type, relaxed, trunk_types
from dgmspec.graph.words import law_label
from dgmspec.program.listing import Listing, MissingValueError
from dgmspec.program.program import Density, Entry, Slot
from dgmspec.program.routes import Routes

__all__ = ["AbstractLaws"]


class AbstractLaws(ABC):
    """Instructions that read values by demand; how a value is come by is the subclass's matter, `need`.

    `copies` of every row are drawn, or the means of the laws with `means`; `slots` holds the values, `features` what
    nets read of relaxed labels, `parameters` those of laws by their addresses, `learned` the model's own. One that is
    `still` passes no gradient to parameters.
    """

    graph: Graph
    routes: Routes
    listing: Listing
    copies: int
    means: bool
    still: bool
    slots: dict[ValueId, Slot]
    features: dict[ValueId, Slot]
    parameters: dict[Address, dict[str, Slot]]
    learned: dict[str, Slot]
    ledger: list[Entry]

    @abstractmethod
    def need(self, value: ValueId) -> Slot:
        """The slot of a value, computed now if it has not been."""

    @abstractmethod
    def stilled(self, values: Iterable[ValueId]) -> AbstractLaws | None:
        """A walk over the same draws in which what they make is made anew, every parameter held; None where no draws
        are behind the values, so that no gradient but that to parameters reaches them."""

    def type_of(self, value: ValueId) -> Type:
        """The inferred type: programs are built from typed graphs only."""
        found = self.graph.type_of(value)
        assert isinstance(found, Type), f"{value} has no type"
        return found

    def read(self, value: ValueId) -> Slot:
        """The slot of a value as nets read it: of a relaxed label what stands for it."""
        slot, law = self.need(value), relaxed(self.graph, value)
        if law is None:
            return slot
        if value not in self.features:
            line = {"op": law.op, "type": self.type_of(value), "inputs": (slot,)}
            self.features[value] = self.listing.add(1, target="embed", address=law.address, **line)[0]
        return self.features[value]

    def any_rows(self) -> Slot:
        """A slot with one copy of every row, which tells how many rows there are."""
        return next(i.slot for i in self.listing.inputs if i.kind in ("variable", "given"))

    # ---- laws -------------------------------------------------------------------------------------------------------

    def draw(self, law: Prior) -> Slot:
        """A draw of a variable from its law, or the law's mean where it has one that is a value of the variable."""
        variable = self.graph.variables[law.variable]
        value = variable.value
        between = variable.role == "latent" and self.type_of(value).support.kind is SupportKind.INTEGER
        mean = self.means and law.op.has_mean and not between
        # A posterior's draw whose law is trained by the score passes no gradient that the score has already.
        scored = law is variable.posterior and not law.op.pathwise
        found = self._distribution("mean_of" if mean else "draw", law, None, scored)
        self.slots[value] = found[0]
        if len(found) == 2:
            self.features[value] = found[1]
        return found[0]

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

    def _distribution(
        self, target: Literal["draw", "mean_of", "log_prob"], law: Prior, x: Slot | None, detached: bool = False
    ) -> tuple[Slot, ...]:
        type_ = self.type_of(self.graph.variables[law.variable].value)
        given = own_given(self.graph, law)
        named, context = self._read_by(law, given is not None, detached and target == "log_prob")
        drawn = {"draw": law.op.draws, "log_prob": law.op.density_draws}.get(target)
        draws = self._noise(law.address, drawn(type_)) if drawn is not None else {}
        head = (x,) if x is not None else (self.any_rows(),) if target == "mean_of" else ()
        line = {"op": law.op, "type": type_, "names": tuple(named), "noise": tuple(draws), "context": given is not None}
        line["input_types"] = () if given is None else (given,)
        line["detached"] = detached
        inputs = (*head, *context, *named.values(), *draws.values())
        count = 2 if target == "draw" and law.op.relaxes else 1
        return self.listing.add(count, target=target, address=law.address, inputs=inputs, **line)

    def _read_by(self, law: Prior, conditioned: bool, held: bool) -> tuple[dict[str, Slot], tuple[Slot, ...]]:
        """The parameters of a law and the context that its own net reads; `held`, without a gradient to what makes
        them but the draws that they read."""
        apart = self.stilled(law.inputs) if held else None
        source = self if apart is None else apart
        named = source.parameters_of(law)
        context: tuple[Slot, ...] = (source.read(law.context[0]),) if conditioned else ()
        if held and apart is None:
            named = {name: self.listing.held(slot) for name, slot in named.items()}
            context = tuple(map(self.listing.held, context))
        return named, context

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

    # ---- formulas and nets ------------------------------------------------------------------------------------------

    def formula(
        self, address: Address, formula: AbstractExpr, type_: Type | None, own: Mapping[str, ValueId] | None = None
    ) -> Slot:
        """The value of a formula over variables, learned parameters and what stands under names of its own."""
        own = own or {}
        named = {n: self.need(own[n]) if n in own else self._named(n) for n in free_names(formula)}
        return self.listing.formula(address, formula, named, type_)

    def _context(self, node: FormulaNode, type_: Type) -> Slot:
        inputs = dict(zip(node.names, node.inputs, strict=True))
        named = {
            n: self._value(node, inputs[n], n) if n in inputs else self._named(n) for n in free_names(node.formula)
        }
        types = tuple(self._type(node, inputs[n], n) if n in inputs else self._type_named(n) for n in named)
        return self.listing.formula(node.address, node.formula, named, type_, types)

    def _value(self, node: FormulaNode, value: ValueId, name: str) -> Slot:
        """A value in a context; an item of a list is read as nets read it."""
        return self.read(value) if name in node.listed else self.need(value)

    def _type(self, node: FormulaNode, value: ValueId, name: str) -> Type:
        found = read_type(self.graph, value) if name in node.listed else self.type_of(value)
        assert isinstance(found, Type)
        return found

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
            slot = self.listing.add(1, **line)[0]
            self.learned[name] = self.listing.held(slot) if self.still else slot
        return self.learned[name]

    def _net(self, node: NetNode | Trunk, types: tuple[Type, ...], result: Type) -> Slot:
        inputs = tuple(self.read(v) for v in node.inputs)
        line = {"op": node.op, "inputs": inputs, "input_types": types, "type": result, "detached": self.still}
        slot = self.listing.add(1, target="net", address=node.address, **line)[0]
        # A network of the user's own has no weights that could be held: nothing passes it.
        return self.listing.held(slot) if self.still and node.op == "external" else slot
