"""Loss terms about what `infer` says of observed variables: the mean of their log-density given the other ones."""

from __future__ import annotations

from dgmspec.core.losses import AbstractPosteriorLoss
from dgmspec.graph.conditioning import inferred
from dgmspec.graph.graph import Graph, LossTerm
from dgmspec.program.densities import Terms, density
from dgmspec.program.listing import Listing, MissingValueError
from dgmspec.program.program import Slot
from dgmspec.program.routes import Routes
from dgmspec.program.walk import Walk

__all__ = ["initialise_posteriors", "posterior_term"]


def posterior_term(terms: Terms, term: LossTerm) -> Slot:
    """Minus the mean of log q."""
    walk = _walk(terms.graph, terms.listing, term, updates=True)
    terms.ledger += walk.ledger
    return terms.listing.mean(term.address, terms.listing.total(walk.ledger), -1)


def initialise_posteriors(graph: Graph, listing: Listing) -> None:
    """Start the steps of the posteriors that the loss trains from the data that reach them."""
    for term in graph.loss.terms.values() if graph.loss else ():
        if isinstance(term.op, AbstractPosteriorLoss):
            _walk(graph, listing, term, initialise=True)


def _walk(graph: Graph, listing: Listing, term: LossTerm, updates: bool = False, initialise: bool = False) -> Walk:
    law = inferred(graph, (name for name in graph.observed if name != term.binds))
    if law is None:
        raise MissingValueError(
            f"`{term.op.name}` needs an `infer` of `{term.binds}` given the other observed variables"
        )
    for variable in graph.observed.values():  # data to the whole program, whatever they are to this term
        listing.input("variable", variable.name, type=graph.type_of(variable.value))
    return density(law, Routes(law), listing, updates=updates, initialise=initialise)
