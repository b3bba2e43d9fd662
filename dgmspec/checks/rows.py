"""Laws that draw rows of data: are the rows of the variable's type, and does anything ask for their density?"""

from __future__ import annotations

from collections.abc import Iterator

from dgmspec.checks.analysis import Analysis
from dgmspec.checks.training import check_columns
from dgmspec.core.address import child
from dgmspec.core.diagnostics import Diagnostic, Label
from dgmspec.core.losses import AbstractBound, AbstractDensityLoss, AbstractPosteriorLoss, AbstractRateLoss
from dgmspec.graph.graph import LossTerm, Prior

__all__ = ["check_rows"]

HELP = (
    "train by `flow_matching`, which draws the rows and needs no density",
    "or give it a law with a density: `normal(0, 1)`, or a `mixture` of a few kernels",
)


def check_rows(analysis: Analysis) -> Iterator[Diagnostic]:
    """DGM740, and DGM804 and 810 of the rows."""
    for variable in analysis.graph.variables.values():
        for law in (variable.prior, variable.posterior):
            data = None if law is None else law.op.data()
            if law is not None and data is not None:
                source = law.address if data[1] is None else child(data[1], "value")
                yield from check_columns(analysis, data[0], {variable.name: variable}, law.address, source)
        if variable.posterior is not None and variable.posterior.op.density == "none":
            yield _asked(variable.posterior, f"what is inferred of `{variable.name}`", variable.posterior.address)
    loss = analysis.graph.loss
    for term in loss.terms.values() if loss and analysis.graph.complete else ():
        yield from _term(analysis, term)


def _term(analysis: Analysis, term: LossTerm) -> Iterator[Diagnostic]:
    """The laws whose density a loss term needs."""
    needs = isinstance(term.op, AbstractDensityLoss | AbstractBound | AbstractRateLoss)
    if not needs or isinstance(term.op, AbstractPosteriorLoss):  # whose law `check_rows` has looked at
        return
    graph = analysis.graph
    arrow = graph.arrows.get(term.binds or "")
    near = [term.binds] if term.binds in graph.variables else [arrow.source] if arrow else []
    names = near or list(graph.observed)
    behind = [v.name for group in analysis.dependence.latents(names) for v in group.variables]
    laws = dict.fromkeys(v.prior for name in (*names, *behind) for v in analysis.priors(name))
    for law in laws:
        if law is not None and law.op.density == "none":
            yield _asked(law, f"`{term.op.name}`", term.address)


def _asked(law: Prior, what: str, at: str) -> Diagnostic:
    return Diagnostic(
        "DGM740",
        f"{what} needs the density of `{law.variable}`, which is a row of data and has none",
        at,
        "no density",
        (Label(law.address, "rows of data"),),
        help=HELP,
    )
