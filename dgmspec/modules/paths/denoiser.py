"""What the net of a noising arrow predicts, as noise, clean data, score, velocity or v.

With y = x_t - m(t): y = α x_0 + σ ε, so any of the five gives the others exactly:
ε = p;  ε = (y - α x_0) / σ;  ε = -σ s;  ε = α v + σ y (where α² + σ² = 1). A velocity u = α' x_0 + m' + σ' ε, that of
the probability flow, gives with y two equations for x_0 and ε of determinant α σ' - σ α' = σ α (log σ/α)' > 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgmspec.algebra.paths.gaussian import AbstractPath, GaussianPath
from dgmspec.algebra.paths.joint import JointPath
from dgmspec.core.types import Type
from dgmspec.modules.paths.coefficients import At, Plan, Rates, Slopes, at, plan, rates, slopes, tables
from dgmspec.modules.paths.joint_coefficients import JointPlan, joint_plan, joint_tables
from dgmspec.modules.paths.joint_denoiser import JointDenoiser
from dgmspec.modules.paths.predicted import AbstractDenoiser, Predicted
from dgmspec.modules.twin import Parameters
from dgmspec.ops.paths.arrows import Perturb
from dgmspec.ops.paths.noising import AbstractNoising, scale_of

__all__ = [
    "AnyDenoiser",
    "AnyPlan",
    "Denoiser",
    "JointDenoiser",
    "Predicted",
    "denoiser",
    "plan_of",
    "step_plan",
    "step_tables",
]

AnyPlan = Plan | JointPlan
AnyDenoiser = AbstractDenoiser[Any, Any, Any]


@dataclass(frozen=True)
class Denoiser(AbstractDenoiser[Plan, At, Rates]):
    """One along a path with numbers for coefficients."""

    @property
    def path(self) -> GaussianPath:
        """The derived path."""
        return self.plan.path

    def at(self, t: Tensor, dtype: torch.dtype) -> At:
        """The path at times (batch,)."""
        return at(self.plan, self.p, t, dtype)

    def rates(self, t: Tensor, dtype: torch.dtype) -> Rates:
        """The process at times (batch,)."""
        return rates(self.plan, t, dtype, self.p)

    def slopes(self, t: Tensor, here: At) -> Slopes:
        """How fast the path changes at times (batch,)."""
        return slopes(self.plan, here, t, here.sigma.dtype, self.p)

    def __call__(self, x: Tensor, t: Tensor, here: At | None = None) -> Predicted[At]:
        """The prediction at x (batch, *event) and times (batch,); `here` is the path there, where it is known."""
        here = self.at(t, x.dtype) if here is None else here
        y = x - here.mean
        (raw, *further), deviation = self.raw(y, x, t, here), scale_of(self.op)
        if deviation is not None:
            radius = (here.alpha**2 * deviation**2 + here.sigma**2).sqrt()
            raw = here.alpha * deviation**2 / radius**2 * y + here.sigma * deviation / radius * raw
        found = self._read(raw, y, t, here)
        return found._replace(between=(further[0] + 1) / 2) if further else found

    def _read(self, raw: Tensor, y: Tensor, t: Tensor, here: At) -> Predicted[At]:
        """Noise and clean data from what the net gives."""
        match self.op.learn:
            case "clean":
                return Predicted(here, (y - here.alpha * raw) / here.sigma, raw)
            case "v":
                return Predicted(here, here.alpha * raw + here.sigma * y, here.alpha * y - here.sigma * raw)
            case "velocity":
                change = self.slopes(t, here)
                u = raw - change.mean
                determinant = here.alpha * change.sigma - here.sigma * change.alpha
                noise = (here.alpha * u - change.alpha * y) / determinant
                return Predicted(here, noise, (change.sigma * y - here.sigma * u) / determinant)
        noise = -here.sigma * raw if self.op.learn == "score" else raw
        return Predicted(here, noise, (y - here.sigma * noise) / here.alpha)

    def velocity(self, x: Tensor, t: Tensor, found: Predicted[At]) -> Tensor:
        """α' x̂_0 + m' + σ' ε̂."""
        change = self.slopes(t, found.at)
        return change.alpha * found.clean + change.mean + change.sigma * found.noise

    def likelihood_squares(self, t: Tensor, here: At, error: Tensor) -> Tensor:
        """(g²/σ²) (ε̂ - ε)².

        Where learned numbers let the signal-to-noise ratio rise, g² counts as 0: a loss that errors there made smaller
        would bound nothing, and what is left passes every ratio on the way down.
        """
        return self.rates(t, here.sigma.dtype).spread.clamp(min=0.0) / here.sigma**2 * error**2

    def raw(self, y: Tensor, x: Tensor, t: Tensor, here: At) -> Tensor:
        """The net's value (planes, batch, *event): what it learns, or F of a preconditioned one, first."""
        deviation, read = scale_of(self.op), x
        if deviation is not None:
            read = y / (here.alpha**2 * deviation**2 + here.sigma**2).sqrt()
        return self.planes(read, self.clock(t, here), x.shape[1:])

    def clock(self, t: Tensor, here: At) -> Tensor:
        """The time as the net reads it, from 0 to 1: the share of the interval, or of log σ/α where that counts."""
        path = self.path
        if scale_of(self.op) is not None or (path.discrete and isinstance(self.op, Perturb)):
            first, last = self.plan.range
            snr = here.log_snr.flatten(1).mean(1) if here.log_snr.dim() > 1 else here.log_snr
            return (first - snr) / (first - last)
        return (t - path.low) / (path.high - path.low)


# ---- by the kind of the path ----------------------------------------------------------------------------------------


def denoiser(
    op: AbstractNoising,
    p: Parameters,
    event: Type,
    plan: AnyPlan,
    given: Tensor | None = None,
    given_type: Type | None = None,
    training: bool = False,
    dropped: Tensor | None = None,
) -> AnyDenoiser:
    """The arrow by the kind of its path."""
    rest = (given, given_type, training, dropped)
    if isinstance(plan, JointPlan):
        return JointDenoiser(op, p, event, plan, *rest)
    return Denoiser(op, p, event, plan, *rest)


def step_tables(op: AbstractNoising, event: Type, given: Type | None) -> dict[str, Tensor]:
    """The tables of the arrow's path; of one that is learned there are none."""
    if op.law_parameters():
        return {}
    path = op.path(event.shape)
    return joint_tables(path) if isinstance(path, JointPath) else tables(_by_coordinate(path))


def step_plan(op: AbstractNoising, event: Type, given: Type | None) -> AnyPlan:
    """`plan_of` for a twin."""
    return plan_of(op, event)


def plan_of(op: AbstractNoising, event: Type) -> AnyPlan:
    """The arrow's path made ready for tensors."""
    path = op.path(event.shape)
    if isinstance(path, JointPath):
        return joint_plan(path, op.start(event.shape))
    return plan(_by_coordinate(path), len(event.shape), op.start(event.shape), op.schedule(event.shape))


def _by_coordinate(path: AbstractPath) -> GaussianPath:
    assert isinstance(path, GaussianPath), "a path has numbers for coefficients, or matrices"
    return path
