"""What operations have to say about uses that are right, and what laws name without reading it."""

from __future__ import annotations

from collections.abc import Iterator

from dgmspec.checks.analysis import Analysis
from dgmspec.core.diagnostics import Diagnostic, Label
from dgmspec.graph.graph import Prior
from dgmspec.graph.infer import refused

__all__ = ["check_remarks"]


def check_remarks(analysis: Analysis) -> Iterator[Diagnostic]:
    """The remarks of every step, at the arguments that they name; DGM503 of laws."""
    for chain in analysis.chains.values():
        for step in chain.steps:
            x = step.after if step.node.inverse else step.before
            for remark in step.node.op.remarks(x, step.context):
                yield refused(step.node, remark)
    for law in analysis.graph.laws:
        yield from _unread(analysis, law)


def _unread(analysis: Analysis, law: Prior) -> Iterator[Diagnostic]:
    """What stands after the bar of a law that would be the same without it."""
    read = set(analysis.dependence.variables(law.inputs))
    for i, value in enumerate(law.context):
        names = list(dict.fromkeys(analysis.dependence.variables((value,))))
        if not names or not read.isdisjoint(names):
            continue
        yield Diagnostic(
            "DGM503",
            f"the law of `{law.variable}` is the same for every `{names[0]}`: nothing in `{law.op.name}` reads it",
            f"{law.address}/context/{i}",
            "never read",
            tuple(Label(analysis.graph.variables[name].address, f"`{name}` is declared here") for name in names),
            help=("leave it out, or take a law with a parameter that reads it: a formula, or a net written in place",),
        )
