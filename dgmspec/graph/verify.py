"""Well-formedness of a graph: invariants of ours, asserted after lowering, after inference and after every pass.

A failure here is a bug of the compiler, never a mistake of an author.
"""

from __future__ import annotations

from dgmspec.core.types import Type
from dgmspec.graph.graph import FormulaNode, Graph, NetNode

__all__ = ["verify"]


def verify(graph: Graph, *, typed: bool = False) -> Graph:
    """Assert that every reference in `graph` leads somewhere and its chains are unbroken; the graph itself.

    `typed`: every value has a type too, which holds after inference of a model without errors.
    """
    for name, value in graph.values.items():
        assert value.id == name, f"value {value.id} is filed under {name}"
    _verify_variables(graph)
    _verify_steps(graph)
    _verify_nodes(graph)
    if graph.loss is not None:
        for term in graph.loss.terms.values():
            known = {**graph.variables, **graph.arrows}
            assert term.binds is None or term.binds in known, f"{term.address} binds {term.binds}"
    if typed:
        open_ = [value.id for value in graph.values.values() if not isinstance(value.type, Type)]
        assert not open_, f"no type for {open_}"
    return graph


def _verify_variables(graph: Graph) -> None:
    for name, variable in graph.variables.items():
        assert variable.name == name and variable.value in graph.values, f"variable {name} has no value"
        assert graph.values[variable.value].variable == name, f"{variable.value} is not the value of {name}"
        for density in (variable.prior, variable.posterior, variable.target):
            assert density is None or all(i in graph.values for i in density.inputs), f"{name} reads a missing value"


def _verify_steps(graph: Graph) -> None:
    for address, step in graph.steps.items():
        assert step.address == address, f"step {step.address} is filed under {address}"
        ends = (step.source, step.target, *((step.context,) if step.context else ()))
        assert all(value in graph.values for value in ends), f"{address} reads or gives a missing value"
        assert step.arrow in graph.arrows, f"{address} belongs to no arrow"
    for arrow in graph.arrows.values():
        assert all(address in graph.steps for address in arrow.steps), f"{arrow.address} lists a missing step"
        if graph.complete:
            _verify_chain(graph, arrow.address)


def _verify_chain(graph: Graph, address: str) -> None:
    """The steps of an arrow lead from its source to its target without a gap."""
    arrow = graph.arrows[address]
    here = graph.variables[arrow.source].value
    for step in arrow.steps:
        assert graph.steps[step].source == here, f"a gap before {step}"
        here = graph.steps[step].target
    assert here == graph.variables[arrow.target].value, f"{address} does not reach {arrow.target}"


def _verify_nodes(graph: Graph) -> None:
    nodes: list[NetNode | FormulaNode] = [*graph.nets.values(), *graph.formulas.values()]
    for node in nodes:
        assert node.target in graph.values, f"{node.address} gives a missing value"
        assert all(value in graph.values for value in node.inputs), f"{node.address} reads a missing value"
    for formula in graph.formulas.values():
        assert len(formula.names) == len(formula.inputs), f"{formula.address}: names and inputs differ in number"
