"""Invertibility: what the declarations do not prove is said, each reason once."""

from __future__ import annotations

from collections.abc import Iterator

from dgmspec.checks.analysis import Analysis, place
from dgmspec.core.diagnostics import Diagnostic


def check_invertibility(analysis: Analysis) -> Iterator[Diagnostic]:
    """DGM404. Every step of the library is a bijection by construction, or states what it assumes."""
    seen: set[tuple[str, str]] = set()
    for chain in analysis.chains.values():
        for step in chain.steps:
            for reason in step.facts.assumed:
                if (place(step.node), reason) not in seen:
                    seen.add((place(step.node), reason))
                    yield Diagnostic("DGM404", f"assumed: {reason}", place(step.node), "not proved")
