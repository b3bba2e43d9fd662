"""Steps against the prior at their end, which need not be what the step leads to, and against the loss."""

from __future__ import annotations

from collections.abc import Iterator

from dgmspec.checks.analysis import Analysis
from dgmspec.core.address import child
from dgmspec.core.diagnostics import Diagnostic, Label
from dgmspec.core.losses import AbstractLoss
from dgmspec.core.types import Type


def check_noising(analysis: Analysis) -> Iterator[Diagnostic]:
    """DGM648, 670."""
    graph = analysis.graph
    yield from _unlearned(analysis)
    for step in graph.steps.values():
        variable = graph.variables.get(graph.values[step.target].variable or "")
        event = graph.type_of(step.source)
        if variable is None or variable.prior is None or not isinstance(event, Type):
            continue
        doubt = step.op.doubts(event, variable.prior.op)
        if doubt is not None:
            yield doubt.diagnostic(variable.prior.address, (Label(step.arrow, "this path"),))


def _unlearned(analysis: Analysis) -> Iterator[Diagnostic]:
    """What a step learns and the loss does not train."""
    loss = analysis.graph.loss
    ops = [term.op for term in loss.terms.values() if isinstance(term.op, AbstractLoss)] if loss else []
    for step in analysis.graph.steps.values() if ops else ():
        found = step.op.unlearned(any(op.of_density for op in ops))
        if found is not None:
            yield found.diagnostic(child(step.arrow, found.argument or ""))
