"""The table of a model's flows as plain text."""

from __future__ import annotations

from dgmspec.checks.explain_table import ExplainTable, FlowTable, Row, explain_table
from dgmspec.graph.graph import Graph

__all__ = ["explain", "render_table"]


def explain(graph: Graph, source: str = "") -> str:
    """The table of a typed graph as text; `source` is the file to name in its first line."""
    return render_table(explain_table(graph), source)


def render_table(table: ExplainTable, source: str = "") -> str:
    """Every flow of a table, one after the other."""
    parts = [_flow(table.model, flow, source) for flow in table.flows]
    parts += [f"model {table.model}   {ends}   not explained: its types are not all known" for ends in table.unknown]
    return "\n\n".join(parts) or f"model {table.model}   no flows"


def _flow(model: str, flow: FlowTable, source: str) -> str:
    head = [
        *([source] if source else []),
        f"model {model}",
        f"{flow.source} -> {flow.target}",
        f"{flow.source_type} {flow.relation} {flow.target_type}",
        f"log_prob {flow.density}",
        f"sampling {flow.sampling}",
    ]
    return "\n".join(["   ".join(head), *_rows(flow), *_statements(flow)])


def _rows(flow: FlowTable) -> list[str]:
    """The table itself: columns as wide as their widest cell, numbers to the right."""
    forward, inverse = f"{flow.source}→{flow.target}", f"{flow.target}→{flow.source}"
    header = ("#", "step", "jacobian", "log-det", forward, inverse, "parameters")
    cells = [_cells(str(row.number), row) for row in flow.rows]
    cells.append(_cells("", flow.totals))
    widths = [max(len(row[i]) for row in (header, *cells)) for i in range(len(header))]
    widths[0] = max(widths[0], 2)
    return [_line(header, widths), *(_line(row, widths) for row in cells)]


def _cells(number: str, row: Row) -> tuple[str, ...]:
    parameters = f"{row.parameters:,}" if row.parameters else "–"
    return (number, row.step, row.jacobian, row.log_det, row.forward, row.inverse, parameters)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    middle = [cell.ljust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
    return "  ".join([row[0].rjust(widths[0]), *middle, row[-1].rjust(widths[-1])])


def _statements(flow: FlowTable) -> list[str]:
    said = [
        ("possible", flow.possible),
        ("proved", "; ".join(flow.proved)),
        ("assumed", "; ".join(flow.assumed) or "nothing"),
        *([("checked", "; ".join(flow.checked))] if flow.checked else []),
        ("class", flow.classes),
    ]
    return [f" {name:8} {text}" for name, text in said]
