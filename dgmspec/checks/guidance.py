"""Guidance and values of given variables in a sample block: is there what it compares, are they possible?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from dgmspec.checks.analysis import Analysis
from dgmspec.core.address import child
from dgmspec.core.diagnostics import Diagnostic, Label
from dgmspec.core.types import Support, SupportKind, Type
from dgmspec.graph.graph import StepNode
from dgmspec.graph.plans import SamplePlan
from dgmspec.graph.standardizing import data_end

__all__ = ["check_guidance"]


def check_guidance(analysis: Analysis, plan: SamplePlan) -> Iterator[Diagnostic]:
    """DGM814, 815, 816."""
    if plan.guidance is not None:
        yield from _guidance(analysis, plan)
    for name, value in plan.given.items():
        yield from _given(analysis, plan, name, value)
    for name, value in plan.known.items():
        yield from _given(analysis, plan, name, value)
        yield from _kept(analysis, plan, name)


def _guidance(analysis: Analysis, plan: SamplePlan) -> Iterator[Diagnostic]:
    """A sampler along an arrow whose net was trained without its context too."""
    graph, at = analysis.graph, child(plan.address, "guidance")
    along = [step for step in graph.steps.values() if step.op.sampled or step.op.guides]
    if not any(step.op.drops for step in along):
        yield Diagnostic(
            "DGM814",
            f"`guidance` compares the predictions with the context and without it, and nothing trains `{graph.name}` "
            "without",
            at,
            "no prediction without the context",
            tuple(
                Label(step.arrow, "its net always sees its context" if step.context else "it has no context")
                for step in along[:1]
            ),
            help=(f"write `drop = 0.1` in `train {graph.name}`, or leave `guidance` out",),
        )
    elif not any(_guided(plan, step) for step in along):
        yield Diagnostic(
            "DGM814",
            "`guidance` belongs to an `ode`, or to a sampler along the noising arrow, and "
            + (f"`{plan.method.name}` is none" if plan.method else "the model's own direction is none"),
            at,
            "not guided",
            help=("write `method = ddim(steps = 50)`",),
        )


def _guided(plan: SamplePlan, step: StepNode) -> bool:
    """Whether samples are drawn along the step in a way that is guided."""
    if plan.method is not None:
        return bool(plan.method.fits(step.op))
    return step.op.guides or bool(step.op.missing(False))


def _given(analysis: Analysis, plan: SamplePlan, name: str, value: Any) -> Iterator[Diagnostic]:
    """The value of a variable is one of its type, but for what is `free`."""
    type_ = analysis.graph.type_of(analysis.graph.variables[name].value)
    if not isinstance(type_, Type):
        return
    numbers = _flat(value)
    if len(numbers) == type_.size and all(math.isnan(n) or _inside(n, type_.support) for n in numbers):
        return
    yield Diagnostic(
        "DGM815",
        f"`{name}` is {type_}, and this value is "
        + (f"{len(numbers)} number{'s' * (len(numbers) != 1)}" if len(numbers) != type_.size else "outside of that"),
        child(plan.address, name),
        "not one of its values",
        (Label(child(analysis.graph.variables[name].address, "type"), f"declared {type_} here"),),
        help=(f"write {_wanted(type_)}",),
    )


def _kept(analysis: Analysis, plan: SamplePlan, name: str) -> Iterator[Diagnostic]:
    """Known coordinates stand at the start of an arrow along which a sampler can keep them."""
    variable, steps = analysis.graph.variables[name], analysis.graph.steps.values()
    start = data_end(analysis.graph, variable)
    if any(step.op.keeps and step.source == start and _guided(plan, step) for step in steps):
        return
    yield Diagnostic(
        "DGM816",
        f"`{name}` is observed, and this block draws it: known coordinates of it are kept by a sampler along a noising "
        "arrow that starts there, whose kernel has a formula for each coordinate by itself",
        child(plan.address, name),
        "not kept",
        (Label(variable.address, "observed"),),
        help=(
            "write `method = ddim(steps = 50)` beside an `sde`, `markov` or `perturb` from it, or leave the value out",
        ),
    )


def _wanted(type_: Type) -> str:
    """The values of a type in words."""
    if type_.support.kind is SupportKind.CATEGORY:
        what, among = "label", f"0..{int(type_.support.high)}"
    else:
        what, among = "number", f"of {type_.support.describe()}"
    return f"one {what} {among}" if type_.size == 1 else f"{type_.size} {what}s {among}"


def _flat(value: Any) -> list[float]:
    """The numbers of a value, row by row."""
    return [number for item in value for number in _flat(item)] if isinstance(value, (list, tuple)) else [float(value)]


def _inside(number: float, support: Support) -> bool:
    if support.discrete:
        return number.is_integer() and support.low <= number <= support.high
    closed = support.circular or support.kind is SupportKind.SIMPLEX
    return closed or support.low < number < support.high
