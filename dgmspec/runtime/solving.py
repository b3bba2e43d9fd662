"""Likelihoods that are solved for, held against a finer solve: with few steps a density need not integrate to one, and
training finds that out before anybody else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from dgmspec.core.address import Address, child
from dgmspec.modules.compiled import CompiledModel
from dgmspec.ops.continuous import AbstractSolver, Ode
from dgmspec.runtime.feed import split
from dgmspec.spec import Spec, parse
from dgmspec.spec.defaults import as_written
from dgmspec.spec.model import Model, Path, Setting, member_name

__all__ = ["ALLOWED", "DOUBLINGS", "ROWS", "doubled_line", "solver_line", "solver_shift", "strays", "with_solvers"]

ROWS: Final = 512
"""Rows that are solved for once more."""

ALLOWED: Final = 0.01
"""Nats by which a finer solve may move the mean log-density."""

DOUBLINGS: Final = 5
"""How often a run doubles the steps of its solvers, at most; a velocity that asks for more has gone wrong."""


@torch.no_grad()
def solver_shift(model: CompiledModel, columns: Mapping[str, Tensor], seed: int) -> float | None:
    """By how many nats a finer solve, at twice the steps or a tenth of the tolerance, moves the mean log-density of
    some rows; None of a model that solves for none."""
    finer = model.refined()
    if finer is model or model.density in ("none", "unnormalised") or not columns:
        return None
    x, given = split(model, {name: column[:ROWS] for name, column in columns.items()})
    return float((finer.log_prob(x, given, seed=seed) - model.log_prob(x, given, seed=seed)).double().mean())


def solver_line(shift: float) -> str:
    """The shift in a line of a report, with what to do about one that is too large."""
    said = f"solved more finely; that moves the log-density by {shift:+.4f} nats"
    if abs(shift) <= ALLOWED:
        return said
    return f"{said}, more than {ALLOWED:g}: give the arrow's `solver` more steps, or a smaller tolerance"


def strays(shift: float) -> bool:
    """Whether a finer solve moves the log-density by more than a solver may err."""
    return ALLOWED < abs(shift) < math.inf


def doubled_line(shift: float) -> str:
    """That solvers take twice the steps from here on, and why."""
    return f"solved more finely; that moves the log-density by {shift:+.4f} nats: twice the steps from here on"


def with_solvers(text: str, model: CompiledModel) -> str:
    """A spec's text with the steps that the model's arrows take now."""
    spec, name = parse(text, model.bundle.sources if model.bundle else {}), model.name
    solvers = {node.arrow: node.op.solver for node in model.graph.steps.values() if isinstance(node.op, Ode)}
    items = [_solved(i, solvers) if isinstance(i, Model) and i.name == name else i for i in spec.items]
    return Spec(*items, edition=spec.edition, sources=spec.sources).text()


def _solved(item: Model, solvers: Mapping[Address, AbstractSolver]) -> Model:
    """A model with these solvers in its arrows' braces."""
    members = []
    for member in item.members:
        solver = solvers.get(child(item.name, member_name(member)))
        if isinstance(member, Path) and solver is not None:
            kept = tuple(part for part in member.body if not (isinstance(part, Setting) and part.name == "solver"))
            member = member.model_copy(update={"body": (*kept, Setting(name="solver", value=as_written(solver)))})
        members.append(member)
    return item.model_copy(update={"members": tuple(members)})
