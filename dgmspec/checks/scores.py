"""Scores and energies against the graph: one density a variable, and for each term about a score what it reads."""

from __future__ import annotations

from collections.abc import Iterator

from dgmspec.checks.analysis import Analysis, nothing_to_fit
from dgmspec.core.address import child
from dgmspec.core.diagnostics import Diagnostic, Label, Refusal
from dgmspec.core.losses import AbstractScoreLoss
from dgmspec.core.types import Type
from dgmspec.graph.graph import LossTerm, VariableNode
from dgmspec.graph.plans import TrainPlan

__all__ = ["check_kept_chains", "check_score", "check_score_term"]


def check_score(analysis: Analysis, variable: VariableNode) -> Iterator[Diagnostic]:
    """DGM751: a learned score is what the model says of a variable, so nothing else says it too."""
    priors = analysis.priors(variable.name)
    if variable.score is None or not priors:
        return
    net = next(node for node in analysis.graph.nets.values() if node.target == variable.score)
    yield Diagnostic(
        "DGM751",
        f"`{variable.name}` has a density already, and with it a score",
        net.address,
        "a second score",
        (Label(priors[0].address, "its density comes from here"),),
        help=("leave one of the two out; `model.score(x)` is the slope of the density",),
    )


def check_score_term(analysis: Analysis, term: LossTerm, op: AbstractScoreLoss) -> Iterator[Diagnostic]:
    """DGM703, 706, 752, 753, 754."""
    variable = analysis.graph.variables.get(term.binds or "")
    if variable is None:
        yield nothing_to_fit(term)
        return
    lacking = list(_lacking(analysis, term, op, variable))
    yield from lacking
    event = analysis.graph.type_of(variable.value)
    if lacking or not isinstance(event, Type):
        return
    try:
        op.check_score(event)
    except Refusal as refusal:
        yield refusal.diagnostic(term.address, (Label(variable.address, f"declared {event} here"),))


def _lacking(analysis: Analysis, term: LossTerm, op: AbstractScoreLoss, variable: VariableNode) -> Iterator[Diagnostic]:
    """What the term reads and the model does not say."""
    name, label = variable.name, Label(variable.address, "this variable")
    has_density = bool(analysis.priors(name))
    if op.against_target:
        if variable.target is None:
            yield Diagnostic(
                "DGM703",
                f"`{op.name}` compares a score with that of a known density of `{name}`, and the text gives none",
                term.address,
                "no target",
                (label,),
                help=(f"write the target: `observe {name} : … ~ exp(-E({name}))`",),
            )
        elif not variable.score and (not has_density or analysis.density(name) != "exact" or _noised(analysis, name)):
            yield Diagnostic(
                "DGM752",
                f"`{op.name}` compares a score with that of `~ exp(…)`, and the model has no other one",
                term.address,
                "nothing to compare",
                (label,),
                help=(f"write `learn score({name}) = mlp(64, 64)`, or a flow with an exact density",),
            )
    elif op.by_density and variable.target is None:
        what = "a score alone is learned" if variable.score else "the text gives it none"
        yield Diagnostic(
            "DGM752",
            f"`{op.name}` compares energies of `{name}`, and {what}",
            term.address,
            "no energy",
            (label,),
            help=(f"write `energy E({name}) = mlp(64, 64)` and `observe {name} : … ~ exp(-E({name}))`",),
        )
    elif has_density:
        yield Diagnostic(
            "DGM752",
            f"`{op.name}` trains an energy or a score, and an arrow gives `{name}` its density",
            term.address,
            "no energy, no score",
            (label,),
            help=("write `nll`, the likelihood of that density",),
        )


def _noised(analysis: Analysis, name: str) -> bool:
    """Whether the density is that of a noising arrow, each value of which is a solve."""
    legs = analysis.walk(name, "log_prob") or []
    return any(analysis.graph.steps[at].op.sampled for leg in legs for at in leg.arrow.steps)


def check_kept_chains(analysis: Analysis, plan: TrainPlan) -> Iterator[Diagnostic]:
    """DGM755, 756: what a run chooses its weights by, and chains for every row of a batch."""
    loss = analysis.graph.loss
    for term in loss.terms.values() if loss else ():
        if not isinstance(term.op, AbstractScoreLoss):
            continue
        most = term.op.most_rows()
        if not term.op.measures and plan.validate is not None:
            yield Diagnostic(
                "DGM755",
                f"`validate` keeps the weights of the least loss, and `{term.op.name}` is no measure of fit",
                child(plan.address, "validate"),
                "chooses by chance",
                (Label(term.address, "compares the data with where chains are"),),
                help=("leave `validate` and `stop` out, and average the weights by `ema = 0.999`",),
            )
        if most is not None and plan.batch > most:
            yield Diagnostic(
                "DGM756",
                f"a batch of {plan.batch:,} rows moves as many chains, and {most:,} are kept",
                child(plan.address, "batch") if "batch" in plan.written else plan.address,
                "more rows than chains",
                (Label(term.address, f"keeps {most:,}"),),
                help=(f"write `buffer = {max(plan.batch, 10_000):_}`",),
            )
