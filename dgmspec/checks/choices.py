"""Choices that a loss would have to learn: a step undone by one is trained the way in which it draws nothing."""

from __future__ import annotations

from collections.abc import Iterator

from dgmspec.checks.analysis import Analysis, Leg, place
from dgmspec.core.diagnostics import Diagnostic, Label
from dgmspec.core.losses import AbstractBound, AbstractDensityLoss
from dgmspec.graph.choices import learns_choice
from dgmspec.graph.graph import LossTerm, Prior


def check_choices(analysis: Analysis) -> Iterator[Diagnostic]:
    """DGM737."""
    loss = analysis.graph.loss
    if loss is None or not analysis.graph.complete:
        return
    for term in loss.terms.values():
        yield from (_untold(term, law) for law in _drawn(analysis, term) if learns_choice(analysis.graph, law))
        for leg in _walked(analysis, term):
            chain = analysis.chains.get(leg.arrow.address)
            for step in chain.steps if chain else ():
                if step.node.op.chooses and leg.along is step.node.inverse:
                    yield _unlearned(term, step.node.op.name, place(step.node))


def _walked(analysis: Analysis, term: LossTerm) -> Iterator[Leg]:
    """The arrows that a term passes, as it passes them."""
    op, variables = term.op, analysis.graph.variables
    if isinstance(op, AbstractDensityLoss) and term.binds in variables:
        yield from analysis.walk(term.binds, op.walk) or ()
    elif isinstance(op, AbstractBound):
        names = [term.binds] if term.binds else list(analysis.graph.observed)
        drawn = [group.posterior.variable for group in analysis.dependence.latents(names) if group.posterior]
        for name in (*names, *drawn):
            yield from analysis.walk(name, "log_prob" if op.origin == "posterior" else "sample_and_log_prob") or ()


def _drawn(analysis: Analysis, term: LossTerm) -> Iterator[Prior]:
    """The laws that a term draws from as variables are generated."""
    op, variables = term.op, analysis.graph.variables
    if isinstance(op, AbstractDensityLoss) and op.walk == "sample_and_log_prob" and term.binds in variables:
        yield from (node.prior for node in analysis.priors(term.binds) if node.prior is not None)
    elif isinstance(op, AbstractBound) and op.origin == "prior":
        names = [term.binds] if term.binds else list(analysis.graph.observed)
        yield from (group.prior for group in analysis.dependence.latents(names) if group.prior is not None)


def _untold(term: LossTerm, law: Prior) -> Diagnostic:
    return Diagnostic(
        "DGM737",
        f"`{term.op.name}` draws `{law.variable}` from `{law.op.name}`, which chooses at random by what is learned, "
        "and no gradient reaches the law of choices",
        law.address,
        "drawn while training",
        (Label(term.address, "trained by this"),),
        help=(
            "write `loss = nll`, which sums over few values, or `elbo` with an `infer` of it"
            if isinstance(term.op, AbstractBound)
            else "give the weights as numbers, `weights = [1, 2]`, which stay as they are",
        ),
    )


def _unlearned(term: LossTerm, step: str, at: str) -> Diagnostic:
    return Diagnostic(
        "DGM737",
        f"`{term.op.name}` passes `{step}` the way that chooses at random, and no gradient reaches the law of choices",
        at,
        "drawn while training",
        (Label(term.address, "trained by this"),),
        help=("turn the flow round, so that what is trained passes the step as it is written, or drop the step",),
    )
