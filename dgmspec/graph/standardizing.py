"""`standardize = true`: a graph whose flows and nets see the data less their mean, over their standard deviation.

A fixed affine step stands at the data end of each flow, behind which other arrows and nets read the variable too, and
one behind each variable that a net reads and no flow gives, labels, integers and angles aside. So log-densities,
samples, ledgers and whatever else is derived from a graph are in the units of the data by construction. Formulas read
variables in the units of the data.
"""

from __future__ import annotations

from dataclasses import replace

from dgmspec.algebra.nodes import Name, Vector
from dgmspec.core.address import Address, child
from dgmspec.core.types import REAL, UNKNOWN, Support, Type
from dgmspec.graph.graph import ArrowNode, FormulaNode, Graph, Prior, StepNode, Value, ValueId, VariableNode
from dgmspec.ops.standardizing import Standardize

__all__ = ["data_end", "standardized", "standardizer", "unstandardized", "variable_at"]


def standardizer(variable: VariableNode) -> Address:
    """The address of the step that standardises a variable, where there is one."""
    return child(variable.address, Standardize.name)


def data_end(graph: Graph, variable: VariableNode) -> ValueId:
    """Where the data of a variable enter its arrow: behind the step that standardises it, where there is one."""
    step = graph.steps.get(standardizer(variable))
    if step is None:
        return variable.value
    return step.target if step.source == variable.value else step.source


def variable_at(graph: Graph, value: ValueId) -> str | None:
    """The variable that a value is, standardised or not."""
    return next((v.name for v in graph.variables.values() if value in (v.value, data_end(graph, v))), None)


def standardized(graph: Graph) -> Graph:
    """The graph with the steps put in; a variable that cannot be standardised stays as it is (see `unstandardized`)."""
    for variable in graph.variables.values():
        if variable.role == "given" or _stands_alone(graph, variable):
            if isinstance(variable.declared, Type) and _scales(variable.declared.support):
                graph = _behind(graph, variable, variable.declared.with_support(REAL))
        elif variable.role == "observe" and unstandardized(graph, variable) is None:
            graph = _at_end(graph, variable)
    return graph


def _stands_alone(graph: Graph, variable: VariableNode) -> bool:
    """Whether an observed variable has a law of its own and is the end of no arrow: what else reads it conditions."""
    ends = {end for arrow in graph.arrows.values() for end in (arrow.source, arrow.target)}
    return variable.role == "observe" and variable.prior is not None and variable.name not in ends and bool(ends)


def unstandardized(graph: Graph, variable: VariableNode) -> str | None:
    """Why an observed variable cannot be standardised, or None. One with a law of its own beside a flow keeps its units
    there, and is standardised where the flow's nets read it."""
    if _stands_alone(graph, variable):
        return None
    ends = [a for a in graph.arrows.values() if variable.name in (a.source, a.target)]
    if _support(variable) != REAL:
        return f"shifts and scales numbers of all of ℝ, and `{variable.name}` is {variable.declared}"
    if (variable.prior is not None and not _inferred(graph, ends)) or len(ends) != 1:
        return f"stands at the data end of a flow, and `{variable.name}` is the end of {len(ends) or 'no'} flow" + (
            "s" * (len(ends) > 1)
        )
    return None


def _inferred(graph: Graph, arrows: list[ArrowNode]) -> bool:
    """Whether the arrows at a variable are what infers it, so that its own law stands aside."""
    ends = {end for arrow in arrows for end in (arrow.source, arrow.target)}
    return any(graph.variables[name].posterior is not None for name in ends)


def _scales(support: Support) -> bool:
    """Whether a given variable is standardised: angles are not, whose cosines and sines nets read."""
    return support.continuous and not support.circular


def _support(variable: VariableNode) -> Support | None:
    return variable.declared.support if isinstance(variable.declared, Type) else variable.support


def _at_end(graph: Graph, variable: VariableNode) -> Graph:
    """The step before the first of the flow that begins at the variable, or, undone, after the last that ends there."""
    arrow = next(a for a in graph.arrows.values() if variable.name in (a.source, a.target))
    at, begins = standardizer(variable), arrow.source == variable.name
    inner = f"{at}:out"
    ends = (variable.value, inner) if begins else (inner, variable.value)
    node = StepNode(at, Standardize(), not begins, *ends, None, arrow.address, Standardize.name, arrow.address)
    steps = {k: _moved(s, variable.value, inner) for k, s in graph.steps.items()}
    steps = {at: node, **steps} if begins else {**steps, at: node}
    order = (at, *arrow.steps) if begins else (*arrow.steps, at)
    arrows = {**graph.arrows, arrow.address: replace(arrow, steps=order)}
    changed = replace(graph, steps=steps, arrows=arrows)
    typed = variable.declared if isinstance(variable.declared, Type) else UNKNOWN
    return replace(_reading(changed, variable, inner), values={**graph.values, inner: Value(inner, typed)})


def _moved(step: StepNode, old: ValueId, new: ValueId) -> StepNode:
    """The step with its end at `old` moved to `new`."""
    source, target = (new if end == old else end for end in (step.source, step.target))
    return replace(step, source=source, target=target)


def _behind(graph: Graph, variable: VariableNode, type_: Type) -> Graph:
    """The step behind a given variable, and every net that reads the variable reading what the step gives."""
    old, at = variable.value, standardizer(variable)
    new = f"{at}:out"
    changed = _reading(graph, variable, new)
    if changed == graph or not graph.arrows:
        return graph
    arrow = next(iter(graph.arrows))
    node = StepNode(at, Standardize(), False, old, new, None, arrow, Standardize.name, variable.address)
    return replace(changed, values={**graph.values, new: Value(new, type_)}, steps={**changed.steps, at: node})


def _reading(graph: Graph, variable: VariableNode, new: ValueId) -> Graph:
    """The graph with every arrow and net that reads a variable by itself reading another value in its place."""
    old = variable.value
    named = {s.arrow: s.context for s in graph.steps.values() if s.op.names_context()}
    steps = {
        k: replace(s, context=new) if s.context == old and s.arrow not in named else s for k, s in graph.steps.items()
    }
    arrows = {k: replace(a, context=new) if a.context == old and k not in named else a for k, a in graph.arrows.items()}
    nets = {k: replace(n, inputs=_swapped(n.inputs, old, new)) for k, n in graph.nets.items()}
    kept = set(named.values())
    formulas = {k: f if f.target in kept else _read(f, variable, new) for k, f in graph.formulas.items()}
    variables = {
        k: replace(v, prior=_law(v.prior, old, new), posterior=_law(v.posterior, old, new))
        for k, v in graph.variables.items()
    }
    return replace(graph, variables=variables, steps=steps, arrows=arrows, nets=nets, formulas=formulas)


def _law(law: Prior | None, old: ValueId, new: ValueId) -> Prior | None:
    """A law whose own nets read another value."""
    if law is None:
        return None
    trunks = tuple(replace(trunk, inputs=_swapped(trunk.inputs, old, new)) for trunk in law.trunks)
    return replace(law, trunks=trunks, context=_swapped(law.context, old, new) if law.op.conditioned else law.context)


def _swapped(values: tuple[ValueId, ...], old: ValueId, new: ValueId) -> tuple[ValueId, ...]:
    return tuple(new if value == old else value for value in values)


def _read(node: FormulaNode, variable: VariableNode, new: ValueId) -> FormulaNode:
    """A context that joins items: the variable as an item by itself is standardised, in a formula it is not."""
    if not isinstance(node.formula, Vector):
        return node
    name = f"{variable.name}.{Standardize.name}"
    items = tuple(Name(id=name) if i == Name(id=variable.name) else i for i in node.formula.items)
    if items == node.formula.items:
        return node
    return replace(node, formula=Vector(items=items), inputs=(*node.inputs, new), names=(*node.names, name))
