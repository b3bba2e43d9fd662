"""Loss terms about one step: one number a row from the values at its ends, or what it integrates along its way."""

from __future__ import annotations

from dgmspec.core.losses import AbstractArrowLoss, AbstractRateLoss
from dgmspec.graph.graph import LossTerm, StepNode
from dgmspec.program.densities import Terms, shared_density, step_of
from dgmspec.program.listing import MissingValueError
from dgmspec.program.program import Slot
from dgmspec.program.walk import Walk

__all__ = ["arrow_term", "rate_term"]


def arrow_term(terms: Terms, term: LossTerm) -> Slot:
    """A term about one step, whose start is worked out from the data, by draws of posteriors where there are any."""
    op, graph = term.op, terms.graph
    assert isinstance(op, AbstractArrowLoss)
    walk = terms.shared.setdefault("arrow", Walk(graph, terms.routes, terms.listing, origin="posterior"))
    if not walk.slots:
        walk.take(v for v in graph.variables.values() if v.role in ("observe", "given"))
    node = step_of(graph, term)
    begins, ends = _pair(terms, walk, node) if op.pairs else (True, (walk.need(node.source),))
    return terms.listing.mean(term.address, walk.term(node, op, term.address, ends, begins), 1)


def _pair(terms: Terms, walk: Walk, node: StepNode) -> tuple[bool, tuple[Slot, Slot]]:
    """Whether a step begins on the side of the data, and the values at its start and end: one from the data, the other
    from a draw of the prior."""
    graph, component = terms.graph, terms.routes.of[node.source]
    inferred = [] if component.posterior is None else [component.posterior.variable]
    known = [*(v.name for v in component.observed), *inferred]
    if not known or component.prior is None:
        raise MissingValueError("pairs are of data and of draws: join the data to a variable with a prior")
    other = Walk(graph, terms.routes, terms.listing, origin="prior")
    other.take(graph.givens.values())
    begins = node.address not in (terms.routes.path({graph.variables[known[0]].value}, node.source) or ())
    first, last = (walk, other) if begins else (other, walk)
    return begins, (first.need(node.source), last.need(node.target))


def rate_term(terms: Terms, term: LossTerm) -> Slot:
    """A term that a step integrates along its way, where the density of its data is worked out."""
    op, node = term.op, step_of(terms.graph, term)
    assert isinstance(op, AbstractRateLoss)
    walk = shared_density(terms, [v.name for v in terms.routes.of[node.source].observed[:1]])
    for end in (node.source, node.target):
        walk.need(end)
    return terms.listing.mean(term.address, walk.rated[node.address, op.rate], 1)
