"""Priors of multi-scale latents, and steps that follow the data they meet."""

from __future__ import annotations

from collections.abc import Iterator

from dgmspec.checks.analysis import Analysis, ChainFacts, StepFacts, place
from dgmspec.core.diagnostics import Diagnostic, Label
from dgmspec.core.losses import AbstractDensityLoss


def check_conditional_priors(analysis: Analysis) -> Iterator[Diagnostic]:
    """DGM345: a net may place and scale what is set aside only under a prior of independent coordinates."""
    for chain in analysis.chains.values():
        step = next((s for s in chain.steps if s.node.op.aside and s.parameters), None)
        if step is not None:
            yield from _dependent(analysis, chain, step)


def _dependent(analysis: Analysis, chain: ChainFacts, step: StepFacts) -> Iterator[Diagnostic]:
    for name in (chain.arrow.source, chain.arrow.target):
        prior = analysis.graph.variables[name].prior
        if prior is not None and not prior.op.factorises:
            yield Diagnostic(
                "DGM345",
                f"the prior of `{name}` does not factorise, so no part of `{name}` has a law of its own given the rest",
                place(step.node),
                "gives this part a place and a scale of its own",
                (Label(prior.address, f"`{prior.op.name}` joins the coordinates"),),
                help=("write a prior of independent coordinates, such as `normal(0, 1)`, or a plain `split`",),
            )


def check_batches(analysis: Analysis) -> Iterator[Diagnostic]:
    """DGM510: a step that follows the batches of training meets the data forward."""
    loss = analysis.graph.loss
    for term in loss.terms.values() if loss else ():
        if not isinstance(term.op, AbstractDensityLoss) or term.op.walk != "log_prob" or term.binds is None:
            continue
        for leg in analysis.walk(term.binds, "log_prob") or ():
            chain = analysis.chains.get(leg.arrow.address)
            for step in chain.steps if chain else ():
                if step.node.op.updates and leg.along is step.node.inverse:
                    turned = step.node.label if step.node.inverse else f"inverse {step.node.label}"
                    yield Diagnostic(
                        "DGM510",
                        f"`{term.op.name}` runs this step backwards, so it never sees the data it should follow",
                        place(step.node),
                        "its averages stay as they start",
                        (Label(term.address, "this loss runs it"),),
                        help=(f"write `{turned}`",),
                    )
