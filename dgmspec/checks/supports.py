"""Supports and shapes: what arrives at an arrow's end is what the variable there is declared to be, onto."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress

from dgmspec.checks.analysis import Analysis, ChainFacts, StepFacts, place
from dgmspec.core.address import child
from dgmspec.core.diagnostics import Diagnostic, Label, Refusal
from dgmspec.core.types import POSITIVE, REAL, UNIT, Support, Type
from dgmspec.graph.graph import Prior, VariableNode
from dgmspec.graph.infer import arriving
from dgmspec.graph.parts import given_by


def check_supports(analysis: Analysis) -> Iterator[Diagnostic]:
    """DGM301, 302, 306."""
    for variable in analysis.graph.variables.values():
        for law in (variable.prior, variable.posterior):
            if law is not None:
                yield from _law(analysis, variable, law)
    for chain in analysis.chains.values():
        yield from _end(analysis, chain)


def _law(analysis: Analysis, variable: VariableNode, law: Prior) -> Iterator[Diagnostic]:
    """A law lives on exactly its variable's support."""
    type_ = analysis.graph.type_of(variable.value)
    if variable.support is None or not isinstance(type_, Type):
        return
    try:
        support = law.op.support(type_)
    except Refusal:
        return
    if support == variable.support:
        return
    other = _declaration(variable, type_.with_support(support))
    named = prior_on(variable.support)
    help_ = f"declare `{other}`" + (f", or write another distribution: `~ {named}`" if named else "")
    yield Diagnostic(
        "DGM306",
        f"`{law.op.name}` lives on {support.describe()}, but `{variable.name}` is declared on "
        f"{variable.support.describe()}",
        law.address,
        f"a distribution on {support.describe()}",
        (Label(child(variable.address, "type"), f"declared {type_} here"),),
        help=(help_,),
    )


def _end(analysis: Analysis, chain: ChainFacts) -> Iterator[Diagnostic]:
    """What arrives at the end of an arrow, against the declaration there."""
    variable = analysis.graph.variables[chain.arrow.target]
    declared = analysis.graph.type_of(variable.value)
    arrived = arriving(analysis.graph, chain.steps[-1].node)
    if arrived is None or not isinstance(declared, Type) or variable.support is None:
        return
    if arrived.shape != declared.shape:
        yield _shape(analysis, chain, arrived, declared, variable)
    elif arrived.support != declared.support and not any(w.reader is None for w in chain.widenings):
        yield _support(analysis, chain, arrived, declared, variable)


def _shape(analysis: Analysis, chain: ChainFacts, arrived: Type, declared: Type, variable: VariableNode) -> Diagnostic:
    source = analysis.graph.variables[chain.arrow.source]
    last = chain.steps[-1]
    if arrived.size == declared.size and not last.before.aside:
        help_ = f"add a step that changes the shape: `reshape([{', '.join(map(str, declared.shape))}])`"
    else:
        help_ = f"declare `{_declaration(variable, arrived)}`, or correct the dimensions of `{source.name}`"
    return Diagnostic(
        "DGM301",
        f"{arrived} arrives at `{variable.name}`, which is declared {declared}",
        place(last.node),
        f"gives {arrived}",
        (Label(child(variable.address, "type"), f"declared {declared} here"),),
        notes=(_types_note(analysis, chain),),
        help=(help_,),
    )


def _support(
    analysis: Analysis, chain: ChainFacts, arrived: Type, declared: Type, variable: VariableNode
) -> Diagnostic:
    """Into, beyond, or beside: the image is not the support that the end needs."""
    culprit = _culprit(chain)
    source = analysis.graph.variables[chain.arrow.source]
    into = declared.support.contains(arrived.support)
    image, wanted = arrived.support.describe(), declared.support.describe()
    what = f"the image of `{culprit.name}`" if culprit else f"what arrives at `{variable.name}`"
    needs = (
        f"the prior of `{variable.name}` lives on {wanted}"
        if variable.prior
        else (f"`{variable.name}` is declared on {wanted}")
    )
    step = culprit or chain.steps[-1]
    relation = f"into {arrived}, not onto {declared}" if into else f"onto {arrived}, which is not {declared}"
    second = Label(
        variable.prior.address if variable.prior else child(variable.address, "type"),
        _need(declared.support) if variable.prior else f"declared {declared} here",
    )
    return Diagnostic(
        "DGM302",
        f"{what} is {image}, but {needs}",
        place(step.node),
        f"maps {step.before} {relation}",
        (second,),
        notes=(_consequence(source.name, variable, into),),
        help=(_remedy(chain, culprit, arrived, declared, variable),),
    )


def _culprit(chain: ChainFacts) -> StepFacts | None:
    """The last step that changes the support; None where no step does."""
    for step in reversed(chain.steps):
        given = step.after.support
        with suppress(Refusal):
            given = given_by(step.node, step.before, step.context).support
        if given != step.before.support:
            return step
    return None


def _consequence(source: str, variable: VariableNode, into: bool) -> str:
    if not variable.prior:
        return (
            f"as written, no point of `{variable.name}` outside the image can be reached"
            if into
            else (f"as written, the arrow gives values that `{variable.name}` cannot take")
        )
    if into:
        return f'as written, the "density" of {source} would not integrate to 1'
    return f"as written, some values of {source} would have density zero"


def _need(support: Support) -> str:
    """What a prior asks of the map before it, in words."""
    if support == REAL:
        return "this prior needs every real number to be reachable"
    return f"this prior needs {support.describe()} to be reached, all of it and nothing else"


def _remedy(chain: ChainFacts, culprit: StepFacts | None, arrived: Type, declared: Type, variable: VariableNode) -> str:
    """What to write instead, right when followed."""
    redeclared = _redeclaration(arrived, variable)
    onto = onto_line(arrived.support) if declared.support == REAL else None
    droppable = culprit is not None and culprit.before.support == declared.support
    first = "drop the step" if droppable else f"add {onto} as the last step" if onto else ""
    if redeclared and first:
        return f"{first}, or {redeclared}"
    return first or redeclared or f"change the steps so that their image is {declared.support.describe()}"


def _redeclaration(arrived: Type, variable: VariableNode) -> str:
    """The other way out: another prior, or another type for the variable."""
    if variable.prior is None:
        return f"declare `{_declaration(variable, arrived)}`"
    prior = prior_on(arrived.support)
    if not prior:
        return ""
    written = f"{_declaration(variable, arrived)} ~ {prior}"
    return f"give {variable.name} a prior on {arrived.support.describe()}: `{written}`"


def _declaration(variable: VariableNode, type_: Type) -> str:
    return f"{variable.role} {variable.name} : {type_}"


def prior_on(support: Support) -> str:
    """A distribution of the library whose support this is, as it is written; nothing where there is none."""
    if not support.continuous:
        return ""
    if support.circular:
        return "uniform(-pi, pi)"
    if support == REAL:
        return "normal(0, 1)"
    if support == POSITIVE:
        return "exponential(1)"
    if support == UNIT:
        return "uniform(0, 1)"
    if math.isfinite(support.low) and math.isfinite(support.high):
        return f"uniform({support.low:g}, {support.high:g})"
    return ""


def onto_line(support: Support) -> str:
    """A step that maps an interval onto the line, as it is written; nothing where one step does not do it."""
    if support.circular:
        return ""
    if support.continuous and math.isfinite(support.low) and math.isfinite(support.high):
        return "`logit`"
    return "`inverse exp`" if support == POSITIVE else ""


def _types_note(analysis: Analysis, chain: ChainFacts) -> str:
    """The types of the names involved."""
    ends = (chain.arrow.source, chain.arrow.target)
    said = (f"{name} : {analysis.graph.type_of(analysis.graph.variables[name].value)}" for name in ends)
    return ", ".join(said)
