"""The loss against the graph: does each term have the density, the score or the target that it needs?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import networkx as nx

from dgmspec.algebra.evaluate import evaluate
from dgmspec.algebra.rewrite import free_names
from dgmspec.checks.analysis import Analysis, nothing_to_fit
from dgmspec.checks.latents import check_bound, check_posterior, check_tractable, untrained
from dgmspec.checks.scores import check_score, check_score_term
from dgmspec.core.address import child
from dgmspec.core.diagnostics import Diagnostic, Label, Refusal
from dgmspec.core.losses import (
    AbstractArrowLoss,
    AbstractBound,
    AbstractDensityLoss,
    AbstractPosteriorLoss,
    AbstractScoreLoss,
)
from dgmspec.core.types import Type
from dgmspec.graph.graph import Loss, LossTerm, VariableNode
from dgmspec.graph.infer import arriving
from dgmspec.graph.losses import STEP

_LATE: Final = 1e12
"""A step by which every schedule has ended."""


def check_objective(analysis: Analysis) -> Iterator[Diagnostic]:
    """DGM702, 703, 704, 716, and what `check_score` gives."""
    if not analysis.graph.complete:
        return
    for variable in analysis.graph.variables.values():
        yield from _target(analysis, variable)
        yield from check_score(analysis, variable)
    loss = analysis.graph.loss
    if loss is not None:
        yield from _turned(loss)
    for term in loss.terms.values() if loss else ():
        if isinstance(term.op, AbstractScoreLoss) and (term.binds in analysis.graph.variables or not term.binds):
            yield from check_score_term(analysis, term, term.op)
        elif isinstance(term.op, AbstractArrowLoss):
            yield from _arrow(analysis, term, term.op)
        elif isinstance(term.op, AbstractPosteriorLoss):
            law = check_posterior(analysis, term)
            yield from [untrained(analysis, term)] if law is None else _density(Analysis(law), term, term.op)
        elif isinstance(term.op, AbstractDensityLoss):
            yield from _density(analysis, term, term.op)
        elif isinstance(term.op, AbstractBound):
            yield from check_bound(analysis, term, term.op)


def _turned(loss: Loss) -> Iterator[Diagnostic]:
    """DGM716: terms that the loss makes larger, at the first step and at the last."""
    for name, term in loss.terms.items():
        if all(_slope(loss, name, step) < 0 for step in (0.0, _LATE)):
            yield Diagnostic(
                "DGM716",
                f"`{term.op.name}` has a negative factor, so training makes it larger",
                term.address,
                "made larger",
                help=(f"leave the minus out: every term is made smaller, and `{term.op.name}` is meant to be",),
            )


def _slope(loss: Loss, name: str, step: float) -> float:
    """By how much the loss grows as one term goes from 1 to 2, the others 1; 0 where no number says it."""
    before = {STEP: step, **dict.fromkeys(loss.terms, 1.0)}
    with suppress(Refusal):
        found: float = evaluate(loss.formula, {**before, name: 2.0}) - evaluate(loss.formula, before)
        return found
    return 0.0


def _target(analysis: Analysis, variable: VariableNode) -> Iterator[Diagnostic]:
    """A density beside an arrow, or a net, that gives the variable another one is a target, and fixed."""
    if variable.target is None or not (analysis.priors(variable.name) or variable.score):
        return
    graph, values = analysis.graph, [value for _, value in variable.target.named]
    nets = {node.name: node for node in graph.nets.values() if node.target in values}
    learned = [*(n for n in free_names(variable.target.log_density) if n in graph.learned), *nets]
    if learned:
        node = graph.learned[learned[0]] if learned[0] in graph.learned else nets[learned[0]]
        yield Diagnostic(
            "DGM704",
            f"the target of `{variable.name}` depends on `{learned[0]}`, which is learned",
            child(variable.target.address, 0),
            "a target is fixed",
            (Label(node.address, "learned here"),),
            notes=(
                f"{'a net gives' if variable.score else 'an arrow gives'} `{variable.name}` "
                f"its {'score' if variable.score else 'density'}, so `exp(…)` is what that is compared with",
            ),
            help=(
                f"make it a param: `param {learned[0]} = 1` at the top of the file"
                if learned[0] in graph.learned
                else "write the target as a formula, without a net",
            ),
        )


def _arrow(analysis: Analysis, term: LossTerm, op: AbstractArrowLoss) -> Iterator[Diagnostic]:
    """A term about one step: is there one, and can that very one have it?"""
    steps = [s for s in analysis.graph.steps.values() if s.arrow == term.binds and op.fits(s.op)]
    if not steps:
        yield Diagnostic(
            "DGM651",
            f"`{op.name}` is about an arrow that the model does not have",
            term.address,
            "nothing to train",
            help=(op.needs(),),
        )
        return
    event = analysis.graph.type_of(steps[0].source)
    if not isinstance(event, Type) or arriving(analysis.graph, steps[0]) is None:  # what refuses is reported already
        return
    try:
        op.check(steps[0].op, event)
    except Refusal as refusal:
        yield refusal.diagnostic(term.address, (Label(steps[0].arrow, "this arrow"),))


def _one_way(
    analysis: Analysis, term: LossTerm, op: AbstractDensityLoss, variable: VariableNode
) -> Iterator[Diagnostic]:
    """A step that the walk to the prior cannot pass in its direction: a process whose law has no formula, say."""
    legs = analysis.walk(variable.name, op.walk) or []
    for leg in legs:
        for step in analysis.chains[leg.arrow.address].steps if leg.arrow.address in analysis.chains else ():
            if lacks := step.node.op.missing(leg.along is not step.node.inverse):
                yield Diagnostic(
                    "DGM702",
                    f"`{op.name}` needs the density of `{variable.name}`: {lacks}",
                    term.address,
                    "no density",
                    (Label(leg.arrow.address, "this arrow"),),
                    help=(f"train it by another loss, or leave `{op.name}` out",),
                )


def _undetermined(
    analysis: Analysis, term: LossTerm, op: AbstractDensityLoss, variable: VariableNode
) -> Iterator[Diagnostic]:
    """A part of a joint state that no data reach: the density would have to be integrated over it."""
    component = nx.node_connected_component(analysis.joined, variable.name)
    for whole in (w for w in analysis.graph.joints() if w.name in component and op.walk == "log_prob"):
        rest = analysis.joined.subgraph(component - {whole.name})
        for part in whole.parts:
            near = nx.node_connected_component(rest, part)
            if not near & analysis.graph.observed.keys():
                yield Diagnostic(
                    "DGM702",
                    f"`{op.name}` needs the density of `{variable.name}`, and no data determine `{part}` beside it",
                    term.address,
                    "no density",
                    (Label(analysis.graph.variables[part].address, f"a part of {whole.name}, observed nowhere"),),
                    help=(f"declare `observe {part}`, or draw it behind the data by `augment`",),
                )


def _estimated(
    analysis: Analysis, term: LossTerm, op: AbstractDensityLoss, variable: VariableNode
) -> Iterator[Diagnostic]:
    """A term over the model's own samples needs their exact density, and gradients through them."""
    for node in analysis.priors(variable.name):
        if op.walk == "sample_and_log_prob" and node.prior is not None and node.prior.op.density == "estimate":
            yield Diagnostic(
                "DGM702",
                f"`{op.name}` needs the density of the model's samples, and `{node.prior.op.name}` estimates its own",
                term.address,
                "no exact density",
                (Label(node.prior.address, "an estimate, and draws without gradients"),),
                help=("give the variable a law with an exact density, such as `normal(0, 1)` or a `mixture`",),
            )


def _density(analysis: Analysis, term: LossTerm, op: AbstractDensityLoss) -> Iterator[Diagnostic]:
    variable = analysis.graph.variables.get(term.binds or "")
    if variable is None:
        yield nothing_to_fit(term)
        return
    if op.against_target and variable.target is None:
        yield Diagnostic(
            "DGM703",
            f"`{op.name}` compares the model with a density of `{variable.name}`, and the text gives none",
            term.address,
            "no target",
            (Label(variable.address, "no `~ exp(…)` here"),),
            help=(f"write the target: `{variable.role} {variable.name} : … ~ exp(-E({variable.name}))`",),
        )
    if analysis.priors(variable.name):
        yield from _one_way(analysis, term, op, variable)
        yield from _undetermined(analysis, term, op, variable)
        yield from check_tractable(analysis, term, variable.name)
        yield from _estimated(analysis, term, op, variable)
        return
    yield _no_prior(analysis, term, op, variable)


def _no_prior(analysis: Analysis, term: LossTerm, op: AbstractDensityLoss, variable: VariableNode) -> Diagnostic:
    """A density that rests on nothing; what to write depends on what the text says of the variable instead."""
    ends = [v for v in analysis.graph.variables.values() if v.role == "latent"]
    if variable.target is not None and op.walk == "log_prob":
        help_ = (
            "train it without the constant: `cd(10)`, by chains, or by its score, `ism`, `ssm` or `dsm(sigma = 0.1)`"
        )
    elif variable.score is not None:
        help_ = "train the score: `ism`, `ssm`, `dsm(sigma = 0.1)`, or `fisher` beside a known density"
    elif ends:
        help_ = f"give `{ends[0].name}` a prior: `latent {ends[0].name} : … ~ normal(0, 1)`"
    else:
        help_ = f"join `{variable.name}` to a latent variable with a prior: `flow {variable.name} -> z {{ … }}`"
    return Diagnostic(
        "DGM702",
        f"`{op.name}` needs the density of `{variable.name}`, and no arrow joins it to a prior",
        term.address,
        "no density",
        tuple(Label(v.address, "no prior here") for v in ends[:1]),
        ("`~ exp(…)` has no known normalising constant, so it is no likelihood",) if variable.target else (),
        (help_,),
    )
