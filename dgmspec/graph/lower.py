"""From a spec to a graph: params put in, repeats unrolled, functions written out, operations made.

`lower` reports every mistake it meets and still gives a graph of what could be understood, marked incomplete where a
member was refused, so that later rooms do not complain of what is merely missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from dgmspec.core.address import child
from dgmspec.core.diagnostics import Diagnostic
from dgmspec.graph.arguments import Caller
from dgmspec.graph.authored import close_bijector
from dgmspec.graph.bijectors import Bijectors
from dgmspec.graph.building import Building
from dgmspec.graph.continuous import lower_ode
from dgmspec.graph.densities import lower_conditional, lower_density
from dgmspec.graph.findings import Findings, Reported, meant
from dgmspec.graph.flows import lower_flow
from dgmspec.graph.graph import Graph
from dgmspec.graph.indexed import written_out
from dgmspec.graph.joined import join_posteriors
from dgmspec.graph.labelled import list_labels
from dgmspec.graph.losses import lower_loss
from dgmspec.graph.noising import lower_noising
from dgmspec.graph.scope import Definitions, FileScope, lower_scope
from dgmspec.graph.scores import NUMBER, is_net, lower_score
from dgmspec.graph.unroll import Unroller
from dgmspec.graph.variables import lower_learn, lower_variable
from dgmspec.spec.model import (
    Conditional,
    Energy,
    Flow,
    Fn,
    Learn,
    LearnFunction,
    Member,
    Model,
    Net,
    Path,
    Setting,
    Spec,
    Variable,
)

__all__ = ["check_definitions", "lower"]


def lower(
    spec: Spec, model: str | None = None, params: Mapping[str, Any] | None = None
) -> tuple[Graph, list[Diagnostic]]:
    """The graph of one model of `spec`, without types, and what was found on the way.

    `model` may be None where the file holds one. `params` overrides params by name.
    """
    findings = Findings()
    scope = lower_scope(spec, params, findings)
    _check_data(scope, findings)
    chosen = _choose(spec, model, findings)
    if chosen is None:
        return Graph(model or "", complete=False), findings.found
    return _graph(Building(chosen, scope, findings)), findings.found


def check_definitions(spec: Spec) -> list[Diagnostic]:
    """What is wrong with a file's params, functions, data sources and bijectors, whether a model uses them or not."""
    findings = Findings()
    scope = lower_scope(spec, None, findings)
    _check_data(scope, findings)
    for name, bijector in scope.bijectors.items():
        with suppress(Reported):
            close_bijector(bijector, scope.home.get(name, scope), findings)
    return findings.found


def _check_data(scope: FileScope, findings: Findings) -> None:
    """Report data sources that do not exist or take other arguments, whether a train block uses them or not."""
    caller = Caller(findings, scope.constants, scope.functions)
    for name, data in scope.data.items():
        with suppress(Reported):
            caller.operation("data", data.value, child(name, "value"))


def _choose(spec: Spec, model: str | None, findings: Findings) -> Model | None:
    """The model of that name, or the only one."""
    if model is None and len(spec.models) == 1:
        return next(iter(spec.models.values()))
    if model in spec.models:
        return spec.models[model or ""]
    listed = ", ".join(f"`{name}`" for name in spec.models)
    message = (
        f"the file has no model `{model}`"
        if model
        else ("the file has several models, and none was chosen" if listed else "the file has no model")
    )
    findings.report(
        "DGM240",
        message,
        None,
        notes=(f"its models are {listed}",) if listed else (),
        help=meant(model or "", list(spec.models)) if listed else ("write `model NAME { … }`",),
    )
    return None


def _graph(building: Building) -> Graph:
    """The members in the order of their needs: parameters, functions, variables, densities, flows, loss."""
    members = written_out(building, list(building.model.members))
    for member in members:
        if isinstance(member, Learn):
            lower_learn(building, member)
    _functions(building, members)
    for member in members:
        if isinstance(member, Variable):
            lower_variable(building, member)
    for member in members:
        if isinstance(member, Variable):
            lower_density(building, member)
        elif isinstance(member, LearnFunction):
            lower_score(building, member)
    bijectors = Bijectors(building.findings, building.scope)
    caller = replace(building.caller(), readable=building.names_in_formulas())
    unroller = Unroller(building.findings, building.scope, caller, bijectors)
    for member in members:
        if isinstance(member, Flow):
            lower_flow(building, unroller, member)
        elif isinstance(member, Path) and not _waits(member):
            (lower_ode if member.head == "ode" else lower_noising)(building, member)
        elif isinstance(member, Conditional):
            lower_conditional(building, member)
    for member in members:
        if isinstance(member, Path) and _waits(member):
            lower_noising(building, member)
    join_posteriors(building)
    list_labels(building)
    _settings(building, [member for member in members if isinstance(member, Setting)])
    return Graph(
        name=building.model.name,
        complete=building.complete,
        values=building.values,
        variables=building.variables,
        steps=building.steps,
        nets=building.nets,
        formulas=building.formulas,
        learned=building.learned,
        arrows=building.arrows,
        loss=building.loss,
    )


def _waits(member: Path) -> bool:
    """Whether an arrow is lowered behind the laws of variables, which the parts of its start may have."""
    return member.head != "ode" and len(member.source) > 1


def _functions(building: Building, members: list[Member]) -> None:
    """The model's functions, and its energies as functions for `~ exp(-E(x))`; its nets, the file's and energies that
    are nets by name."""
    building.named_nets = {name: (name, net) for name, net in building.scope.nets.items()}
    building.named_nets |= {m.name: (building.at(m), m) for m in members if isinstance(m, Net)}
    nets = {m.name: m for m in members if isinstance(m, Energy) and is_net(m.value)}
    building.named_nets |= {
        name: (building.at(m), Net(name=name, args=m.args, type=NUMBER, value=m.value)) for name, m in nets.items()
    }
    own = Definitions(
        building.findings,
        building.scope.functions,
        building.scope.constants,
        frozenset(building.learned),
        nets=frozenset(building.named_nets),
    )
    formulas: dict[str, Fn | Energy] = {
        m.name: m for m in members if isinstance(m, (Fn, Energy)) and m.name not in nets
    }
    own.add_functions(formulas, building.model.name)
    building.functions = own.functions


def _settings(building: Building, settings: list[Setting]) -> None:
    """The loss, the only setting of a model."""
    for setting in settings:
        if setting.name != "loss":
            building.findings.report(
                "DGM714",
                f"a model's only setting is `loss`, and this is `{setting.name}`",
                building.at(setting),
                label="unknown setting",
                help=meant(setting.name, ["loss"]),
                notes=("settings of a run stand in a `train` block",),
            )
        elif building.loss is not None:
            building.findings.report(
                "DGM714", "the loss is given twice", building.at(setting), help=("add the two: `loss = a + b`",)
            )
        else:
            try:
                building.loss = lower_loss(building, setting)
            except Reported:
                building.complete = False
