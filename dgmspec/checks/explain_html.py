"""The table of a model as HTML: its conditional laws, and of each flow one row a step with its dependency matrix, and
that of all steps so far."""

from __future__ import annotations

from dgmspec.checks.analysis import Analysis, ChainFacts
from dgmspec.checks.drawing import drawing
from dgmspec.checks.explain_table import ExplainTable, FlowTable, Row, explain_table
from dgmspec.checks.patterns import pattern
from dgmspec.checks.svg import to_svg
from dgmspec.core.markup import Html, join, tag
from dgmspec.graph.graph import Graph

__all__ = ["drawing_html", "flows_html"]


def drawing_html(graph: Graph) -> Html:
    """The model's graph as a picture that takes the colours of the page."""
    return tag("div", Html(to_svg(drawing(graph))), class_="dgm-drawing dgm-scroll")


def flows_html(graph: Graph) -> Html:
    """The tables of a typed graph: that of its laws, and one a flow."""
    table, chains = explain_table(graph), list(Analysis(graph).chains.values())
    flows = [_flow(flow, chain) for flow, chain in zip(table.flows, chains, strict=True)]
    rest = [tag("p", f"{ends}: not explained, its types are not all known") for ends in table.unknown]
    shown = [*([_laws(table)] if table.laws else []), *flows, *rest]
    return join(shown) if shown else tag("p", "no flows", class_="dgm-soft")


def _laws(table: ExplainTable) -> Html:
    """The conditional laws: their parameters, how a posterior's divergence and gradient are taken."""
    heads = ("", "law", "parameters", "divergence", "gradient")
    head = tag("tr", *(tag("th", h, scope="col", class_="dgm-right" if h == "parameters" else None) for h in heads))
    body = [
        tag(
            "tr",
            tag("td", tag("span", row.head, class_="dgm-soft")),
            tag("th", tag("code", row.law), scope="row"),
            tag("td", f"{row.parameters:,}", class_="dgm-right"),
            tag("td", row.divergence or "–"),
            tag("td", row.gradient or "–"),
        )
        for row in table.laws
    ]
    caption = tag("caption", f"laws; log-density {table.density}")
    rows = tag("table", caption, tag("thead", head), tag("tbody", *body), class_="dgm-table")
    return tag("div", rows, class_="dgm-scroll")


def _flow(flow: FlowTable, chain: ChainFacts) -> Html:
    forward, inverse = f"{flow.source} → {flow.target}", f"{flow.target} → {flow.source}"
    heads = ["#", "step", "∂ of the step", "∂ so far", "Jacobian", "log-det", forward, inverse, "parameters"]
    right = {0, 8}
    head = tag(
        "tr", *(tag("th", h, scope="col", class_="dgm-right" if i in right else None) for i, h in enumerate(heads))
    )
    body = [
        _row(str(row.number), row, pattern(step.jacobian.dependency, row.step), pattern(prefix.dependency, "so far"))
        for row, step, prefix in zip(flow.rows, chain.steps, chain.prefixes, strict=True)
    ]
    foot = _row("", flow.totals, None, None)
    said = f"{forward}: {flow.source_type} {flow.relation} {flow.target_type}"
    table = tag(
        "table",
        tag("caption", said),
        tag("thead", head),
        tag("tbody", *body),
        tag("tfoot", foot),
        class_="dgm-table",
    )
    return join([tag("div", table, class_="dgm-scroll"), _statements(flow)])


def _row(number: str, row: Row, step: Html | None, so_far: Html | None) -> Html:
    return tag(
        "tr",
        tag("td", tag("span", number, class_="dgm-soft"), class_="dgm-right"),
        tag("th", tag("code", row.step), scope="row"),
        tag("td", step),
        tag("td", so_far),
        tag("td", row.jacobian),
        tag("td", row.log_det),
        tag("td", row.forward),
        tag("td", row.inverse),
        tag("td", f"{row.parameters:,}" if row.parameters else "–", class_="dgm-right"),
    )


def _statements(flow: FlowTable) -> Html:
    said = [
        ("log-density", f"{flow.density}; sampling {flow.sampling}"),
        ("possible", flow.possible),
        ("proved", "; ".join(flow.proved)),
        ("checked", "; ".join(flow.checked)),
        ("assumed", "; ".join(flow.assumed) or "nothing"),
        ("class", flow.classes),
        ("kernel", "; ".join(flow.kernels)),
    ]
    pairs = [part for name, text in said if text for part in (tag("dt", name), tag("dd", text))]
    return tag("dl", *pairs, class_="dgm-facts")
