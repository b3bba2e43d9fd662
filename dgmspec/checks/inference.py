"""The generative and the inference graph: no circles, and a posterior for every latent variable that needs one."""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx

from dgmspec.checks.analysis import Analysis
from dgmspec.core.diagnostics import Diagnostic, Label
from dgmspec.core.losses import AbstractPosteriorLoss
from dgmspec.graph.dependence import Group


def check_inference(analysis: Analysis) -> Iterator[Diagnostic]:
    """DGM721, 722, 723, 724, 728."""
    if not analysis.graph.complete:
        return
    yield from _observed_inferred(analysis)
    dependence = analysis.dependence
    circles = [
        *_circle(analysis, dependence.generative, "DGM722", "generates", "generation"),
        *_circle(analysis, dependence.inference, "DGM723", "is inferred from", "inference"),
    ]
    yield from circles
    if not circles:
        yield from _available(analysis)
        yield from _generated(analysis)


def _observed_inferred(analysis: Analysis) -> Iterator[Diagnostic]:
    """What is inferred of an observed variable is trained."""
    loss = analysis.graph.loss
    trained = [t.binds for t in loss.terms.values() if isinstance(t.op, AbstractPosteriorLoss)] if loss else []
    for name in analysis.dependence.inferred if loss else ():
        law = analysis.dependence.of[name].posterior
        if law is not None and name not in trained:
            yield Diagnostic(
                "DGM721",
                f"`{name}` is observed, so nothing is to be inferred about it, and the loss does not train its `infer`",
                law.address,
                "known from the data",
                (Label(analysis.graph.variables[name].address, "declared `observe` here"),),
                help=(
                    f"write `generate {name} | … ~ …` for its law, or declare `latent {name}`",
                    f"to learn the posterior from pairs, add `forward_kl({name})` to the loss",
                ),
            )


def _circle(analysis: Analysis, graph: nx.DiGraph, code: str, verb: str, what: str) -> Iterator[Diagnostic]:
    """A variable that depends on itself."""
    try:
        edges = [(a, b) for a, b in nx.find_cycle(graph)]
    except nx.NetworkXNoCycle:
        return
    names = [a for a, _ in edges] if code == "DGM722" else [b for _, b in reversed(edges)]
    laws = list(dict.fromkeys(graph.edges[edge]["law"] for edge in edges))
    path = f" {verb} ".join(f"`{name}`" for name in (*names, names[0]))
    help_ = (
        ("a posterior reads what is inferred before it: the data, and latent variables that do not depend on it",)
        if code == "DGM723"
        else ("decide which of them comes first, and leave the other law out",)
    )
    yield Diagnostic(
        code,
        f"the {what} of `{names[0]}` runs in a circle: {path}",
        laws[-1],
        "closes the circle",
        tuple(Label(law, "part of it") for law in laws[:-1]),
        help=help_,
    )


def _available(analysis: Analysis) -> Iterator[Diagnostic]:
    """What a posterior reads is known or inferred."""
    dependence, graph = analysis.dependence, analysis.dependence.inference
    known = {g.name for g in dependence.groups.values() if g.observed or g.posterior is not None}
    known |= {dependence.of[v.name].name for v in dependence.enumerated(analysis.graph.observed, inferred=False)}
    for group in dependence.groups.values():
        for source in graph.predecessors(group.name) if group.posterior is not None else ():
            if source in known:
                continue
            edge, missing = graph.edges[source, group.name], dependence.groups[source]
            reads = edge["reads"]
            node = analysis.graph.variables[reads]
            yield Diagnostic(
                "DGM724",
                f"`{group.name}` is inferred from `{reads}`, which nothing gives when the data are seen: "
                f"{_path(analysis, missing)}",
                edge["law"],
                f"reads `{reads}`",
                (Label(node.address, f"`{reads}` has no `infer`"),),
                help=(f"infer it first: `infer {reads} | … ~ …`, or let the posterior read the data alone",),
            )


def _path(analysis: Analysis, missing: Group) -> str:
    """How generation reaches a group from what has a law by itself, in words."""
    above = nx.ancestors(analysis.dependence.generative, missing.name)
    order = [n for n in nx.topological_sort(analysis.dependence.generative) if n in above]
    return f"it is only generated, {' -> '.join((*order, missing.name))}" if order else "it has a prior only"


def _generated(analysis: Analysis) -> Iterator[Diagnostic]:
    """A variable with a posterior is generated too, or an arrow leads from it to one that is."""
    for group in analysis.dependence.groups.values():
        if group.posterior is not None and group.prior is None and not group.observed:
            name = group.posterior.variable
            yield Diagnostic(
                "DGM728",
                f"`{name}` is inferred, and nothing generates it",
                group.posterior.address,
                "no prior",
                (Label(analysis.graph.variables[name].address, f"`{name}` is declared here"),),
                help=(f"give it a prior: `latent {name} : … ~ normal(0, 1)`", f"or a law: `generate {name} | … ~ …`"),
            )
