"""Samplers against the model: is there the arrow that one runs along, or the density that it follows?"""

from __future__ import annotations

from collections.abc import Iterator

from dgmspec.checks.analysis import Analysis
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Diagnostic, Label
from dgmspec.core.samplers import AbstractSampler
from dgmspec.core.types import Support, SupportKind, Type
from dgmspec.graph.graph import VariableNode
from dgmspec.graph.plans import SamplePlan

__all__ = ["check_sampler", "check_sampling"]

_REAL = Support(SupportKind.CONTINUOUS)


def check_sampling(analysis: Analysis, plan: SamplePlan) -> Iterator[Diagnostic]:
    """DGM715."""
    if analysis.graph.complete and isinstance(plan.method, AbstractSampler):
        yield from check_sampler(analysis, plan.method, child(plan.address, "method"))


def check_sampler(analysis: Analysis, op: AbstractSampler, at: Address) -> Iterator[Diagnostic]:
    """What a sampler lacks in a model, if anything."""
    graph = analysis.graph
    if op.by_density:
        yield from _density(analysis, op, at)
    elif not any(op.fits(step.op) for step in graph.steps.values()):
        arrows = [Label(arrow.address, "does not run along this arrow") for arrow in graph.arrows.values()]
        yield Diagnostic(
            "DGM715",
            f"`{op.name}` does not run along any arrow of `{graph.name}`",
            at,
            "nothing to run along",
            tuple(arrows[:1]),
            help=("leave `method` out to run the model's own direction, or follow a density by `mala`",),
        )


def _density(analysis: Analysis, op: AbstractSampler, at: Address) -> Iterator[Diagnostic]:
    """One observed variable, real, with an exact density or one known up to a constant."""
    observed = [v for v in analysis.graph.variables.values() if v.role == "observe"]
    if len(observed) != 1:
        yield Diagnostic(
            "DGM715",
            f"`{op.name}` moves one observed variable, and `{analysis.graph.name}` has {len(observed)}",
            at,
            "which one?",
            tuple(Label(v.address, "observed") for v in observed[1:2]),
            help=("declare them as one, such as `observe x : real[3]`, or leave `method` out",),
        )
        return
    yield from _support(analysis, op, observed[0], at)
    kind = "exact" if _up_to_a_constant(analysis, observed[0]) else analysis.density(observed[0].name)
    if kind == "exact":
        return
    name = observed[0].name
    what = "nothing says its density" if kind == "none" else f"its density is known by {_ARTICLE[kind]} alone"
    help_ = {
        "none": f"write it up to a constant, `observe {name} : … ~ exp(-E({name}))`, or join it to a prior",
        "estimate": "take steps with an exact density, such as `trace = exact` of an `ode`, or leave `method` out",
        "lower bound": "leave `method` out to run the model's own direction",
    }[kind]
    yield Diagnostic(
        "DGM715",
        f"`{op.name}` follows the density of `{name}`, but {what}",
        at,
        "no density to follow",
        (Label(observed[0].address, "this variable"),),
        help=(help_,),
    )


_ARTICLE = {"estimate": "an estimate", "lower bound": "a lower bound"}


def _support(analysis: Analysis, op: AbstractSampler, variable: VariableNode, at: Address) -> Iterator[Diagnostic]:
    """Steps with normal noise leave any other set."""
    type_ = analysis.graph.type_of(variable.value)
    if not isinstance(type_, Type) or type_.support == _REAL:
        return
    name = variable.name
    if variable.target is None or not type_.support.continuous:
        over = "leave `method` out to run the model's own direction"
    else:
        over = (
            f"write it of a real variable that `{name}` is a function of, such as its logarithm, with the log of that "
            "function's slope added to the exponent"
        )
    yield Diagnostic(
        "DGM715",
        f"`{op.name}` adds normal noise, and `{name}` lives on {type_.support.describe()}",
        at,
        "would leave the support",
        (Label(variable.address, f"declared {type_} here"),),
        help=(over,),
    )


def _up_to_a_constant(analysis: Analysis, variable: VariableNode) -> bool:
    """Whether `~ exp(e)` is the variable's own density; beside an arrow with a prior it is a target."""
    return variable.target is not None and not analysis.priors(variable.name)
