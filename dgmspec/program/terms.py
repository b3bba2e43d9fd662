"""Loss terms as programs: each kind of term, by its abstract class, has the builder that computes it.

A builder gives the slot of the term's mean over the batch, to be minimised. A new kind of term is an abstract class
beside those of `core.losses`, a builder in this room, and a line in `TERMS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dgmspec.core.losses import (
    AbstractArrowLoss,
    AbstractBound,
    AbstractCommitment,
    AbstractDensityLoss,
    AbstractLoss,
    AbstractPosteriorLoss,
    AbstractRateLoss,
    AbstractScoreLoss,
)
from dgmspec.graph.graph import LossTerm
from dgmspec.program.arrows import arrow_term, rate_term
from dgmspec.program.bounds import bound_term
from dgmspec.program.commitments import commitment_term
from dgmspec.program.densities import Terms, density_term
from dgmspec.program.posteriors import posterior_term
from dgmspec.program.program import Slot
from dgmspec.program.scores import score_term

__all__ = ["TERMS", "build_term"]

# The first kind that a term is of decides: one about a posterior is also one about a density, one along a step's way is
# also one about a step, and one about a score or a step is about what it is bound to.
TERMS: Final[tuple[tuple[type[AbstractLoss], Callable[[Terms, LossTerm], Slot]], ...]] = (
    (AbstractPosteriorLoss, posterior_term),
    (AbstractDensityLoss, density_term),
    (AbstractBound, bound_term),
    (AbstractScoreLoss, score_term),
    (AbstractRateLoss, rate_term),
    (AbstractArrowLoss, arrow_term),
    (AbstractCommitment, commitment_term),
)


def build_term(terms: Terms, term: LossTerm) -> Slot:
    """One loss term as a mean over the batch."""
    kinds = ((kind, build) for kind, build in TERMS if isinstance(term.op, kind))
    along = term.binds not in terms.graph.variables
    return next(build for kind, build in kinds if not (along and kind is AbstractScoreLoss))(terms, term)
