"""Samplers against the model: is there the arrow that one runs along, or the density that it follows?"""

from __future__ import annotations

from collections.abc import Iterator

from dgmspec.checks.analysis import Analysis
from dgmspec.checks.guidance import check_guidance
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Diagnostic, Label
from dgmspec.core.samplers import AbstractSampler
from dgmspec.core.types import MaybeType, Type
from dgmspec.graph.graph import VariableNode
from dgmspec.graph.plans import SamplePlan

__all__ = ["check_sampler", "check_sampling"]

_BY_DENSITY = ", or follow the density by `mala`"


def check_sampling(analysis: Analysis, plan: SamplePlan) -> Iterator[Diagnostic]:
    """DGM715, 814, 815."""
    if not analysis.graph.complete:
        return
    if isinstance(plan.method, AbstractSampler):
        yield from check_sampler(analysis, plan.method, child(plan.address, "method"), None)
    yield from check_guidance(analysis, plan)


def check_sampler(
    analysis: Analysis, op: AbstractSampler, at: Address, known: frozenset[str] | None = frozenset()
) -> Iterator[Diagnostic]:
    """What a sampler lacks in a model, if anything; `known` are observed variables that it is told, None where that is
    still open."""
    graph = analysis.graph
    if op.by_density:
        yield from _density(analysis, op, at, known)
        return
    along = [step for step in graph.steps.values() if op.fits(step.op)]
    if not along:
        exact = all(_kind(analysis, v) == "exact" for v in graph.observed.values())
        arrows = [Label(arrow.address, "does not run along this arrow") for arrow in graph.arrows.values()]
        yield Diagnostic(
            "DGM715",
            f"`{op.name}` does not run along any arrow of `{graph.name}`",
            at,
            "nothing to run along",
            tuple(arrows[:1]),
            help=(f"leave `method` out to run the model's own direction{_BY_DENSITY if exact else ''}",),
        )
    for step in along:
        refusal = op.refusal(step.op)
        if refusal is not None:
            yield refusal.diagnostic(at, (Label(step.arrow, "along this arrow"),))


def _density(
    analysis: Analysis, op: AbstractSampler, at: Address, known: frozenset[str] | None
) -> Iterator[Diagnostic]:
    """One observed variable on an interval beside known ones, and densities exact or known up to a constant."""
    every = list(analysis.graph.observed.values())
    moved = [v for v in every if v.name not in (known or ())]
    if len(moved) != 1 and not (known is None and every):
        yield Diagnostic(
            "DGM715",
            f"`{op.name}` moves one observed variable, and `{analysis.graph.name}` has {len(moved)}",
            at,
            "which one?",
            tuple(Label(v.address, "observed") for v in moved[1:2]),
            help=(
                "say what the others are, `--given NAME=VALUE` or `given={…}`, or declare them as one, such as "
                "`observe x : real[3]`",
            ),
        )
        return
    if len(moved) == 1:
        yield from _support(op, moved[0], analysis.graph.type_of(moved[0].value), at)
    for variable in every:
        kind = _kind(analysis, variable)
        alone = kind == "score" and len(every) == 1 and not op.compares
        if kind != "exact" and not alone:
            yield _unknown(op, variable, kind, at)
            return


def _unknown(op: AbstractSampler, variable: VariableNode, kind: str, at: Address) -> Diagnostic:
    """What a density lacks, and what to write."""
    name = variable.name
    what, help_ = {
        "none": (
            "nothing says its density",
            f"write it up to a constant, `observe {name} : … ~ exp(-E({name}))`, or join it to a prior",
        ),
        "constant": (
            f"its formula does not read `{name}`, and a constant is no density on all of ℝ",
            f"write a formula of `{name}` that falls far out, such as `exp(-dot({name}, {name}) / 2)`",
        ),
        "score": (
            "a score alone is known, and it compares densities",
            "follow the score by `langevin(steps, step_size)`, or learn an energy, `energy E(x) = mlp(64, 64)`",
        ),
        "estimate": (
            "that is known by an estimate alone",
            "take steps with an exact density, such as `trace = exact` of an `ode`, or leave `method` out",
        ),
        "lower bound": (
            "that is known by a lower bound alone",
            "leave `method` out to run the model's own direction",
        ),
    }[kind]
    return Diagnostic(
        "DGM715",
        f"`{op.name}` follows the density of `{name}`, but {what}",
        at,
        "no density to follow",
        (Label(variable.address, "this variable"),),
        help=(help_,),
    )


def _support(op: AbstractSampler, variable: VariableNode, type_: MaybeType, at: Address) -> Iterator[Diagnostic]:
    """Steps with normal noise move numbers of ℝ, which a map takes onto an interval and onto no other set."""
    if not isinstance(type_, Type) or (type_.support.continuous and not type_.support.circular):
        return
    own = "leave `method` out to run the model's own direction"
    yield Diagnostic(
        "DGM715",
        f"`{op.name}` adds normal noise, and `{variable.name}` lives on {type_.support.describe()}",
        at,
        "would leave the support",
        (Label(variable.address, f"declared {type_} here"),),
        help=(own if variable.target is None else "write the density of a variable on ℝ or an interval",),
    )


def _kind(analysis: Analysis, variable: VariableNode) -> str:
    """What the density is. Beside an arrow with a prior, or a score, `~ exp(e)` is a target, else the own density."""
    if variable.score is not None:
        return "score"
    if variable.target is None or analysis.priors(variable.name):
        return analysis.density(variable.name)
    read = analysis.dependence.variables(variable.target.inputs)
    return "exact" if variable.name in read else "constant"
