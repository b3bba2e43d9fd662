"""Samplers against the model: is there the arrow that one runs along, or the density that it follows?"""

from __future__ import annotations

from collections.abc import Iterator

from dgmspec.algebra.rewrite import free_names
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
    kind = _kind(analysis, observed[0])
    if kind == "exact":
        return
    name = observed[0].name
    what, help_ = {
        "none": (
            "nothing says its density",
            f"write it up to a constant, `observe {name} : … ~ exp(-E({name}))`, or join it to a prior",
        ),
        "constant": (
            f"its formula does not read `{name}`, and a constant is no density on all of ℝ",
            f"write a formula of `{name}` that falls far out, such as `exp(-dot({name}, {name}) / 2)`",
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
    yield Diagnostic(
        "DGM715",
        f"`{op.name}` follows the density of `{name}`, but {what}",
        at,
        "no density to follow",
        (Label(observed[0].address, "this variable"),),
        help=(help_,),
    )


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


def _kind(analysis: Analysis, variable: VariableNode) -> str:
    """What the density is. Beside an arrow with a prior `~ exp(e)` is a target, else the variable's own density."""
    if variable.target is None or analysis.priors(variable.name):
        return analysis.density(variable.name)
    return "exact" if variable.name in free_names(variable.target.log_density) else "constant"
