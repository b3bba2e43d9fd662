"""Labels that arrows read: one drawn with a surrogate is read as nets read it, by itself as in a list."""

from __future__ import annotations

from dataclasses import replace

from dgmspec.algebra.nodes import Name, Vector
from dgmspec.core.address import child
from dgmspec.core.diagnostics import Label
from dgmspec.graph.building import Building
from dgmspec.graph.graph import ArrowNode, FormulaNode, Value, VariableNode

__all__ = ["list_labels"]


def list_labels(building: Building) -> None:
    """Let each arrow whose whole context is a relaxed label read a list of that one, so that the label's gradient
    passes; laws, and with them what relaxes, are known when all members are lowered. Formulas cannot name one."""
    relaxed = {
        variable.value: variable
        for variable in building.variables.values()
        if variable.posterior is not None and variable.posterior.op.relaxes
    }
    joined = {node.target: node.inputs for node in building.formulas.values()}
    for arrow in list(building.arrows.values()):
        if arrow.context is None:
            continue
        read = [relaxed[value] for value in joined.get(arrow.context, (arrow.context,)) if value in relaxed]
        if read and any(building.steps[address].op.names_context() for address in arrow.steps):
            _refuse(building, arrow, read[0])
        elif arrow.context in relaxed:
            _list(building, arrow, relaxed[arrow.context])


def _refuse(building: Building, arrow: ArrowNode, label: VariableNode) -> None:
    building.findings.report(
        "DGM739",
        f"a formula of this arrow names variables of its context, and what stands for the label `{label.name}` is read "
        "by nets alone",
        child(arrow.address, "context"),
        "a label with a surrogate",
        (Label(label.address, "declared here"),),
        help=("a net in place, as in `velocity(y, t) = mlp(64)`, reads the whole context",),
    )


def _list(building: Building, arrow: ArrowNode, label: VariableNode) -> None:
    node = child(arrow.address, "context")
    item = Name(id=label.name)
    made = FormulaNode(node, Vector(items=(item,)), (label.value,), f"{node}:out", (label.name,))
    building.values[made.target] = Value(made.target)
    building.formulas[node] = made
    building.arrows[arrow.address] = replace(arrow, context=made.target)
    for address in arrow.steps:
        building.steps[address] = replace(building.steps[address], context=made.target)
