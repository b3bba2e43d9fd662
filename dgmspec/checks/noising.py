"""Steps against the prior at their end: what a step itself leads to need not be what is declared there."""

from __future__ import annotations

from collections.abc import Iterator

from dgmspec.checks.analysis import Analysis
from dgmspec.core.address import child
from dgmspec.core.diagnostics import Diagnostic, Label
from dgmspec.core.types import Type


def check_noising(analysis: Analysis) -> Iterator[Diagnostic]:
    """DGM648."""
    graph = analysis.graph
    for step in graph.steps.values():
        variable = graph.variables.get(graph.values[step.target].variable or "")
        event = graph.type_of(step.source)
        if variable is None or variable.prior is None or not isinstance(event, Type):
            continue
        doubt = step.op.doubts(event, variable.prior.op)
        if doubt is not None:
            yield doubt.diagnostic(child(variable.address, "prior"), (Label(step.arrow, "this path"),))
