"""Origins: every variable has one, no arrow leads in a circle, no chain has two priors."""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx

from dgmspec.checks.analysis import Analysis
from dgmspec.core.diagnostics import Diagnostic, Label
from dgmspec.graph.graph import ArrowNode


def check_origins(analysis: Analysis) -> Iterator[Diagnostic]:
    """DGM701, 707, 708, 709, 710."""
    graph = analysis.graph
    yield from _given(analysis)
    if not graph.complete:
        return
    circles = list(_circles(analysis))
    yield from circles
    if not circles:
        yield from _two_origins(analysis)
    yield from _two_priors(analysis)
    for variable in graph.variables.values():
        alone = not analysis.joined.degree(variable.name)
        laws = (variable.prior, variable.posterior, variable.target, variable.score)
        lawless = all(law is None for law in laws)
        if alone and variable.role != "given" and lawless:
            yield Diagnostic(
                "DGM709",
                f"`{variable.name}` stands alone: no arrow joins it and it has no distribution",
                variable.address,
                "nothing generates it",
                help=(
                    f"join it by a flow, or give it a density: `{variable.role} {variable.name} : … ~ normal(0, 1)`",
                ),
            )


def _given(analysis: Analysis) -> Iterator[Diagnostic]:
    """A given variable is no arrow's end."""
    for arrow in analysis.graph.arrows.values():
        node = analysis.graph.variables[arrow.target]
        if node.role == "given":
            yield Diagnostic(
                "DGM710",
                f"`{node.name}` is given with every call, so no arrow explains it",
                arrow.address,
                "ends at a given variable",
                (Label(node.address, "declared `given` here"),),
                help=(f"declare `observe {node.name}`, or use it as a context: `flow … | {node.name} {{ … }}`",),
            )


def _circles(analysis: Analysis) -> Iterator[Diagnostic]:
    """Arrows that lead back to their start."""
    directed: nx.DiGraph = nx.DiGraph()
    arrows = {(arrow.source, arrow.target): arrow for arrow in analysis.graph.arrows.values()}
    directed.add_edges_from(arrows)
    for whole in analysis.graph.joints():
        starts = any(arrow.source == whole.name for arrow in analysis.graph.arrows.values())
        directed.add_edges_from((part, whole.name) if starts else (whole.name, part) for part in whole.parts)
    for group in nx.strongly_connected_components(directed):
        inside = [arrow for ends, arrow in arrows.items() if set(ends) <= group]
        if not inside or (len(group) == 1 and inside[0].source != inside[0].target):
            continue
        last = inside[-1]
        path = " -> ".join(arrow.source for arrow in inside)
        yield Diagnostic(
            "DGM707",
            f"the arrows run in a circle: {path} -> {inside[0].source}",
            last.address,
            "closes the circle",
            tuple(Label(arrow.address, "part of it") for arrow in inside[:-1]),
            help=("leave one arrow out: a flow is run in both directions anyway",),
        )


def _two_origins(analysis: Analysis) -> Iterator[Diagnostic]:
    """Arrows that join variables already joined: a forest has none."""
    joined: nx.Graph = nx.Graph()
    joined.add_nodes_from(analysis.graph.variables)
    joined.add_edges_from((part, whole.name) for whole in analysis.graph.joints() for part in whole.parts)
    for arrow in analysis.graph.arrows.values():
        if nx.has_path(joined, arrow.source, arrow.target):
            first = next(a for a in analysis.graph.arrows.values() if arrow.target in (a.source, a.target))
            yield _second(arrow, first)
            return
        joined.add_edge(arrow.source, arrow.target)


def _second(arrow: ArrowNode, first: ArrowNode) -> Diagnostic:
    return Diagnostic(
        "DGM701",
        f"`{arrow.target}` has two origins: two chains of arrows join it to `{arrow.source}`",
        arrow.address,
        "a second origin",
        (Label(first.address, "the first"),),
        help=("write the steps of one after those of the other, or leave one out",),
    )


def _two_priors(analysis: Analysis) -> Iterator[Diagnostic]:
    """At most one prior among variables that arrows join."""
    seen: set[str] = set()
    for name in analysis.graph.variables:
        priors = analysis.priors(name)
        if len(priors) < 2 or priors[0].name in seen:
            continue
        seen |= {variable.name for variable in priors}
        first, second = priors[:2]
        yield Diagnostic(
            "DGM708",
            f"`{first.name}` and `{second.name}` both have a prior, and arrows join them",
            second.prior.address if second.prior else second.address,
            "a second prior",
            (Label(first.prior.address if first.prior else first.address, "the first"),),
            notes=("the arrows already carry the first prior to every variable they join",),
            help=(f"leave one out, such as that of `{first.name}`",),
        )
