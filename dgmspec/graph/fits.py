"""Whether nets and laws fit the events that they are about: what stands beside the arrows, once those have types."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from dgmspec.algebra.shapes import broadcast, shape_of, show_shape
from dgmspec.core.address import child
from dgmspec.core.diagnostics import Label, Refusal
from dgmspec.core.nets import AbstractNet, NetUse
from dgmspec.core.types import Shape, Type
from dgmspec.graph.budget import Budget
from dgmspec.graph.building import parameter_formulas
from dgmspec.graph.findings import Findings, Reported
from dgmspec.graph.graph import Graph, NetNode, Prior, Trunk, VariableNode
from dgmspec.graph.parameters import as_read, net_use, trunk_result
from dgmspec.ops.distributions import AbstractParametric

__all__ = ["Fits"]


@dataclass
class Fits:
    """Checks against the types of a graph's values, what is refused put among the findings."""

    graph: Graph
    types: Mapping[str, Type]
    findings: Findings
    budget: Budget
    served: dict[str, NetUse] = field(default_factory=dict)
    """What the laws so far ask of the named nets that give their parameters."""

    def check_net(self, node: NetNode) -> None:
        """Report a named net that cannot serve the types that it reads and gives."""
        if isinstance(node.op, AbstractNet) and node.target in self.types and all(v in self.types for v in node.inputs):
            use = net_use(tuple(self._read(v) for v in node.inputs), self.types[node.target])
            with suppress(Reported), self.findings.refusals_at(child(node.address, "value")):
                node.op.net_parameters(use)

    def _read(self, value: str) -> Type:
        """The type of a value as nets read it."""
        return as_read(self.graph, value, self.types[value])

    def check_laws(self, variable: VariableNode) -> None:
        """Shapes inside priors and targets: parameters broadcast to the event, a log-density is one number."""
        shapes = {v.name: t.shape for v in self.graph.variables.values() if (t := self.types.get(v.value))}
        shapes |= {n.name: n.type.shape for n in self.graph.learned.values() if isinstance(n.type, Type)}
        event = self.types.get(variable.value)
        try:
            if variable.target is not None and event is not None:
                own = {name: t.shape for name, value in variable.target.named if (t := self.types.get(value))}
                with self.findings.refusals_at(child(variable.target.address, 0)):
                    _require_number(shape_of(variable.target.log_density, shapes | own), variable.name)
            for law in (variable.prior, variable.posterior):
                if law is not None and event is not None:
                    self._law(law, event, shapes, Label(variable.address, f"an event {event}"))
        except (Reported, KeyError):
            return

    def _law(self, law: Prior, event: Type, shapes: dict[str, Shape], label: Label) -> None:
        """Shapes inside a law: what its parameters broadcast to, and what its nets read and give."""
        own = shapes | {name: t.shape for name, value in law.named if (t := self.types.get(value))}
        with self.findings.refusals_at(law.address, (label,)):
            for name, formula in parameter_formulas(law.op):
                wanted = law.op.shape_of(name, event) if isinstance(law.op, AbstractParametric) else event.shape
                shape = shape_of(formula, own)
                if isinstance(law.op, AbstractParametric):
                    law.op.check_formula(name, shape)
                _require_fit(shape, wanted, event)
            law.op.support(event)
            law.op.draws(event)
            law.op.own_parameters(event)
        for trunk in law.trunks:
            if isinstance(trunk.op, AbstractNet) and all(value in self.types for value in trunk.inputs):
                use = net_use(tuple(self._read(v) for v in trunk.inputs), trunk_result(law, trunk, event))
                with self.findings.refusals_at(law.address, (label,)):
                    _require_same(trunk, self.served.setdefault(trunk.address, use), use)
                    self.budget.spend(trunk.op.net_parameters(use), law.address)


def _require_number(shape: tuple[int, ...], name: str) -> None:
    if shape:
        raise Refusal(
            "DGM312",
            f"a log-density of `{name}` is one number per event, and this has the shape {show_shape(shape)}",
            help=("sum it: `sum(…)`, or `dot(x, x)` for a sum of squares",),
        )


def _require_fit(shape: Shape, wanted: Shape, event: Type) -> None:
    """Refuse a parameter that would not broadcast to the shape that it has for the event."""
    try:
        fits = broadcast([shape, wanted]) == wanted
    except Refusal:
        fits = False
    if not fits:
        raise Refusal(
            "DGM310",
            f"a parameter of shape {show_shape(shape)} does not fit an event {event}",
            help=(f"make it a number, or of shape {show_shape(wanted)}",),
        )


def _require_same(trunk: Trunk, before: NetUse, use: NetUse) -> None:
    """Refuse one named net as the parameters of laws that ask for different numbers."""
    if (before.read, before.size) != (use.read, use.size):
        name = trunk.address.rpartition("/")[2]
        raise Refusal(
            "DGM727",
            f"`{name}` is one network, and is asked for {use.size:,} numbers from {use.read:,} here, "
            f"for {before.size:,} from {before.read:,} elsewhere",
            help=("declare a second net, or write the net in place: `normal(mlp(64))`",),
        )
