"""Priors made of posteriors: the law of `infer z | x` again, its nets shared, at learned values in place of x."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NoReturn

from dgmspec.algebra.rewrite import free_names
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Label
from dgmspec.core.nets import AbstractNet
from dgmspec.core.types import SupportKind, Type
from dgmspec.graph.building import Building, formulas_in
from dgmspec.graph.findings import Reported
from dgmspec.graph.graph import FormulaNode, NetNode, Prior, Value, ValueId, VariableNode

__all__ = ["join_posteriors"]


def join_posteriors(building: Building) -> None:
    """Give each prior that is made of a posterior the law that it is made of."""
    for variable in list(building.variables.values()):
        prior = variable.prior
        if prior is None or not prior.op.of_posterior or not building.complete:
            continue
        try:
            if variable.posterior is not None:
                joined = _joined(building, variable, prior, variable.posterior)
                building.variables[variable.name] = replace(variable, prior=joined)
        except Reported:
            building.variables[variable.name] = replace(variable, prior=None)
            building.complete = False


def _joined(building: Building, variable: VariableNode, prior: Prior, posterior: Prior) -> Prior:
    x, data = _data(building, variable, prior, posterior)
    made = prior.op.joined(posterior.op, data)
    if made is None:
        _refuse(building, variable, prior, f"`{posterior.op.name}` has no parameters that several could have")
    op, inputs = made
    moved = _Moved(
        building, x.value, _values(building, child(prior.address, "pseudo"), f"pseudo {x.name}", inputs, data)
    )
    named = tuple((name, moved.value(value)) for name, value in posterior.named)
    if x.name in {name for formula in formulas_in(posterior.op) for name in free_names(formula)}:
        named = (*named, (x.name, moved.to))
    trunks = tuple(
        replace(
            trunk,
            inputs=tuple(map(moved.value, trunk.inputs)),
            parameters=tuple(f"of/{name}" for name in trunk.parameters),
        )
        for trunk in posterior.trunks
    )
    read = dict.fromkeys((*(v for _, v in named), *(v for trunk in trunks for v in trunk.inputs)))
    return Prior(prior.address, prior.variable, op, tuple(read), prior.context, named, trunks)


def _data(building: Building, variable: VariableNode, prior: Prior, posterior: Prior) -> tuple[VariableNode, Type]:
    """The one observed variable that the posterior reads, and its type."""
    read = _behind(building, posterior.inputs)
    seen = [building.variables[name] for name in read]
    if len(seen) != 1 or seen[0].role != "observe":
        said = ", ".join(f"`{v.name}` ({v.role})" for v in seen) or "nothing"
        _refuse(building, variable, prior, f"its `infer` reads {said}, where it has to read the data alone")
    known = building.values[seen[0].value].type
    if not isinstance(known, Type):
        _refuse(building, variable, prior, f"nothing fixes the shape of `{seen[0].name}` before the arrows are read")
    if known.support.kind is SupportKind.CATEGORY:
        _refuse(building, variable, prior, f"`{seen[0].name}` is {known}, and between labels there is nothing to learn")
    return seen[0], known


def _refuse(building: Building, variable: VariableNode, prior: Prior, why: str) -> NoReturn:
    building.findings.refuse(
        "DGM734",
        f"`{prior.op.name}` makes the prior of `{variable.name}` of its posterior, and {why}",
        prior.address,
        label="made of the posterior",
        labels=(Label(variable.posterior.address, "this one"),) if variable.posterior else (),
        help=(f"write `infer {variable.name} | x ~ normal(…)` with x the observed variable, or another prior",),
    )


def _behind(building: Building, values: tuple[ValueId, ...]) -> list[str]:
    """The variables that values are made of."""
    makers = {node.target: node.inputs for node in building.nets.values()}
    makers |= {node.target: node.inputs for node in building.formulas.values()}
    found: dict[str, None] = {}
    queue = list(values)
    while queue:
        value = queue.pop()
        name = building.values[value].variable
        if name is not None:
            found[name] = None
        queue += makers.get(value, ())
    return list(found)


def _values(building: Building, at: Address, name: str, op: AbstractNet, type_: Type) -> ValueId:
    """The value of a net that reads nothing."""
    target = f"{at}:out"
    building.nets[at] = NetNode(at, name, op, (), target)
    building.values[target] = Value(target, type_)
    return target


@dataclass
class _Moved:
    """Values that are made of `x`, made of `to` instead."""

    building: Building
    x: ValueId
    to: ValueId
    made: dict[ValueId, ValueId] = field(default_factory=dict)

    def value(self, value: ValueId) -> ValueId:
        if value == self.x:
            return self.to
        if value not in self.made:
            nets = {node.target: node for node in self.building.nets.values()}
            formulas = {node.target: node for node in self.building.formulas.values()}
            self.made[value] = self._net(nets[value]) if value in nets else self._formula(formulas[value])
        return self.made[value]

    def _net(self, node: NetNode) -> ValueId:
        inputs, (key, target) = tuple(map(self.value, node.inputs)), self._place(node)
        self.building.nets[key] = replace(node, inputs=inputs, target=target)
        return target

    def _formula(self, node: FormulaNode) -> ValueId:
        inputs, (key, target) = tuple(map(self.value, node.inputs)), self._place(node)
        self.building.formulas[key] = replace(node, address=key, inputs=inputs, target=target)
        return target

    def _place(self, node: NetNode | FormulaNode) -> tuple[Address, ValueId]:
        """A new value of the type of the node's, and where what makes it stands."""
        key = f"{node.target.removesuffix(':out')}@{self.to.removesuffix(':out')}"
        target = f"{key}:out"
        self.building.values[target] = replace(self.building.values[node.target], id=target)
        return key, target
