"""Torch twins of the noising arrows in continuous time: the probability flow, with the tables of the path."""

from __future__ import annotations

from dgmspec.modules.paths.denoiser import step_plan, step_tables
from dgmspec.modules.paths.flow import backward, forward
from dgmspec.modules.twin import StepTwin
from dgmspec.ops.paths.arrows import Perturb, Sde

__all__ = ["TWINS"]

TWINS = {cls: StepTwin(forward, backward, tables=step_tables, plan=step_plan, loop="bounded") for cls in (Sde, Perturb)}
