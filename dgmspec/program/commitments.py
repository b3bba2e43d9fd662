"""The loss term that keeps a posterior's vectors close to the codes that stand for them."""

from __future__ import annotations

from dgmspec.algebra.nodes import Name, expr, multiply
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.losses import AbstractCommitment
from dgmspec.graph.graph import LossTerm
from dgmspec.graph.losses import STEP
from dgmspec.program.densities import Terms
from dgmspec.program.listing import MissingValueError
from dgmspec.program.program import Slot
from dgmspec.program.walk import Walk

__all__ = ["commitment_term"]


def commitment_term(terms: Terms, term: LossTerm) -> Slot:
    """weight · mean over the batch of Σ ‖e - c‖², of all posteriors that have codes."""
    op, graph, listing = term.op, terms.graph, terms.listing
    assert isinstance(op, AbstractCommitment)
    laws = [law for law in graph.laws if law.op.updates]
    if not laws:
        raise MissingValueError(f"`{op.name}` needs a posterior with codes: `infer z | x ~ nearest(…)`")
    walk = terms.shared.setdefault("posterior", Walk(graph, terms.routes, listing, origin="posterior"))
    if not walk.slots:
        walk.take(v for v in graph.variables.values() if v.role in ("observe", "given"))
    slots = {f"t{i}": listing.mean(term.address, walk.about(law, "commitment", 1)[0], 1) for i, law in enumerate(laws)}
    total = expr(0)
    for name in slots:
        total = total + Name(id=name)
    formula = multiply(expr(op.weight()), "*", total)
    if STEP in free_names(formula):
        slots[STEP] = listing.input("step", STEP)
    return listing.formula(term.address, formula, slots)
