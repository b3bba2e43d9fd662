"""What operations have to say about uses that are right."""

from __future__ import annotations

from collections.abc import Iterator

from dgmspec.checks.analysis import Analysis
from dgmspec.core.diagnostics import Diagnostic
from dgmspec.graph.infer import refused

__all__ = ["check_remarks"]


def check_remarks(analysis: Analysis) -> Iterator[Diagnostic]:
    """The remarks of every step, at the arguments that they name."""
    for chain in analysis.chains.values():
        for step in chain.steps:
            x = step.after if step.node.inverse else step.before
            for remark in step.node.op.remarks(x, step.context):
                yield refused(step.node, remark)
