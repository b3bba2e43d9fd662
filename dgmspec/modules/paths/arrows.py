"""Torch twins of the noising arrows: the probability flow, or a chain's bound, with the tables of the path."""

from __future__ import annotations

from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.paths import chain
from dgmspec.modules.paths.coefficients import Plan, tables
from dgmspec.modules.paths.denoiser import plan_of
from dgmspec.modules.paths.flow import backward, forward
from dgmspec.modules.twin import StepTwin
from dgmspec.ops.paths.arrows import AbstractNoising, Markov, Perturb, Sde

__all__ = ["TWINS"]


def _tables(op: AbstractNoising, event: Type, given: Type | None) -> dict[str, Tensor]:
    return tables(op.path(event.shape))


def _plan(op: AbstractNoising, event: Type, given: Type | None) -> Plan:
    return plan_of(op, event)


TWINS = {cls: StepTwin(forward, backward, tables=_tables, plan=_plan, loop="bounded") for cls in (Sde, Perturb)} | {
    Markov: StepTwin(chain.forward, chain.inverse, tables=_tables, plan=_plan)
}
