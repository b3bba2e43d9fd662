"""The table of a model's flows as plain text."""

from __future__ import annotations

from typing import Final

from dgmspec.checks.explain_table import ExplainTable, FlowTable, Row, explain_table
from dgmspec.core.width import ellipsis, wrap
from dgmspec.graph.graph import Graph

__all__ = ["explain", "render_table"]

MAX_WIDTH: Final = 10_000
"""Columns where there is no terminal."""

_LEAST: Final = 12
"""Columns that a step or a structure keeps."""


def explain(graph: Graph, source: str = "", width: int | None = None) -> str:
    """The table of a typed graph as text; `source` is the file to name in its first line, `width` the terminal's."""
    return render_table(explain_table(graph), source, width)


def render_table(table: ExplainTable, source: str = "", width: int | None = None) -> str:
    """Every flow of a table, one after the other."""
    parts = [_flow(table.model, flow, source, width) for flow in table.flows]
    parts += [f"model {table.model}   {ends}   not explained: its types are not all known" for ends in table.unknown]
    if table.laws:
        parts.insert(0, _laws(table, source, width))
    return "\n\n".join(parts) or f"model {table.model}   no flows"


def _laws(table: ExplainTable, source: str, terminal: int | None) -> str:
    """The conditional laws, one a line: how many parameters, how a posterior's divergence and gradient are taken."""
    head = "   ".join([*([source] if source else []), f"model {table.model}", f"log_prob {table.density}"])
    width = max(len(row.law) for row in table.laws)
    lines = []
    for row in table.laws:
        said = f", divergence {row.divergence}, gradient {row.gradient}" if row.divergence else ""
        lines.append(f"  {row.head:8}  {row.law:{width}}  {row.parameters:>8,} parameters{said}")
    return "\n".join([wrap(head, terminal, 2), *(wrap(line, terminal, 10) for line in lines)])


def _flow(model: str, flow: FlowTable, source: str, width: int | None) -> str:
    head = [
        *([source] if source else []),
        f"model {model}",
        f"{flow.source} -> {flow.target}",
        f"{flow.source_type} {flow.relation} {flow.target_type}",
        f"log_prob {flow.density}",
        f"sampling {flow.sampling}",
    ]
    said = [wrap(line, width, 9) for line in _statements(flow)]
    return "\n".join([wrap("   ".join(head), width, 2), *_rows(flow, width), *said])


def _rows(flow: FlowTable, width: int | None) -> list[str]:
    """The table itself: columns as wide as their widest cell, numbers to the right; a narrow terminal cuts the steps,
    then the structures."""
    forward, inverse = f"{flow.source}→{flow.target}", f"{flow.target}→{flow.source}"
    header = ("#", "step", "jacobian", "log-det", forward, inverse, "parameters")
    cells = [_cells(str(row.number), row) for row in flow.rows]
    cells.append(_cells("", flow.totals))
    widths = [max(len(row[i]) for row in (header, *cells)) for i in range(len(header))]
    widths[0] = max(widths[0], 2)
    for column in (1, 2):
        over = sum(widths) + 2 * (len(widths) - 1) - (width or MAX_WIDTH)
        widths[column] = min(widths[column], max(_LEAST, widths[column] - over))
    return [_line(header, widths), *(_line(row, widths) for row in cells)]


def _cells(number: str, row: Row) -> tuple[str, ...]:
    parameters = f"{row.parameters:,}" if row.parameters else "–"
    return (number, row.step, row.jacobian, row.log_det, row.forward, row.inverse, parameters)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    shown = [ellipsis(cell, width) for cell, width in zip(row, widths, strict=True)]
    middle = [cell.ljust(width) for cell, width in zip(shown[1:-1], widths[1:-1], strict=True)]
    return "  ".join([shown[0].rjust(widths[0]), *middle, shown[-1].rjust(widths[-1])])


def _statements(flow: FlowTable) -> list[str]:
    said = [
        ("possible", flow.possible),
        ("proved", "; ".join(flow.proved)),
        ("assumed", "; ".join(flow.assumed) or "nothing"),
        *([("checked", "; ".join(flow.checked))] if flow.checked else []),
        ("class", flow.classes),
        *([("kernel", "; ".join(flow.kernels))] if flow.kernels else []),
    ]
    return [f" {name:8} {text}" for name, text in said]
