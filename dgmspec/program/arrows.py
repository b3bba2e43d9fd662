"""Loss terms about one step: one number a row from the values at its start."""

from __future__ import annotations

from dgmspec.core.op import AbstractArrowLoss
from dgmspec.graph.graph import LossTerm
from dgmspec.program.densities import Terms
from dgmspec.program.listing import MissingValueError
from dgmspec.program.program import Slot
from dgmspec.program.walk import Walk

__all__ = ["arrow_term"]


def arrow_term(terms: Terms, term: LossTerm) -> Slot:
    """A term about one step, whose start is worked out from the data, by draws of posteriors where there are any."""
    op, graph = term.op, terms.graph
    assert isinstance(op, AbstractArrowLoss)
    walk = terms.shared.setdefault("arrow", Walk(graph, terms.routes, terms.listing, origin="posterior"))
    if not walk.slots:
        walk.take(v for v in graph.variables.values() if v.role in ("observe", "given"))
    node = next((s for s in graph.steps.values() if s.arrow == term.binds and op.fits(s.op)), None)
    if node is None:
        raise MissingValueError(f"`{op.name}` has no arrow that it is about")
    return terms.listing.mean(term.address, walk.term(node, op, term.address), 1)
