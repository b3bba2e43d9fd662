"""Diagnostics as HTML: as a terminal shows them, its colours as classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dgmspec.core.diagnostics import Diagnostic
from dgmspec.core.markup import Html, painted, tag
from dgmspec.core.render import render

__all__ = ["findings_html"]


def findings_html(
    diagnostics: Sequence[Diagnostic], sources: Mapping[str, str], names: Mapping[str, str] | None = None
) -> Html:
    """The findings, each with its lines of the text and its marks under them."""
    return tag("pre", painted(render(diagnostics, sources, color=True, names=names).rstrip("\n")))
