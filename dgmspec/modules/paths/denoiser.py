"""What the net of a noising arrow predicts, as noise, clean data, score, velocity or v.

With y = x_t - m(t): y = α x_0 + σ ε, so any of the five gives the others exactly:
ε = p;  ε = (y - α x_0) / σ;  ε = -σ s;  ε = α v + σ y (where α² + σ² = 1). A velocity u = α' x_0 + m' + σ' ε, that of
the probability flow, gives with y two equations for x_0 and ε of determinant α σ' - σ α' = σ α (log σ/α)' > 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from dgmspec.algebra.paths.gaussian import AbstractPath, GaussianPath
from dgmspec.algebra.paths.joint import JointPath
from dgmspec.core.types import SupportKind, Type
from dgmspec.modules.nets import below, context_features, evaluate, features_of, planes_of
from dgmspec.modules.paths.coefficients import AnyAt, AnyRates, At, Plan, Rates, Slopes, at, plan, rates, slopes, tables
from dgmspec.modules.paths.joint_coefficients import (
    JointAt,
    JointPlan,
    JointRates,
    joint_at,
    joint_plan,
    joint_rates,
    joint_tables,
)
from dgmspec.modules.twin import Parameters
from dgmspec.ops.paths.arrows import Perturb
from dgmspec.ops.paths.noising import AbstractNoising, scale_of

__all__ = [
    "AbstractDenoiser",
    "AnyDenoiser",
    "AnyPlan",
    "Denoiser",
    "JointDenoiser",
    "Predicted",
    "denoiser",
    "plan_of",
    "seen",
    "step_plan",
    "step_tables",
]


P = TypeVar("P", Plan, JointPlan)
K = TypeVar("K", bound=AnyAt)
R = TypeVar("R", bound=AnyRates)


class Predicted(NamedTuple, Generic[K]):
    """What is known of x_t at one time a row: the path there, the noise and the clean data; and where the variance of a
    reverse step lies, 0 at the posterior's and 1 at the forward one's logarithm, if that is learned."""

    at: K
    noise: Tensor
    clean: Tensor
    between: Tensor | None = None

    @property
    def score(self) -> Tensor:
        """∇ log p(x_t)."""
        return self.at.score(self.noise)


@dataclass(frozen=True)
class AbstractDenoiser(ABC, Generic[P, K, R]):
    """A noising arrow with its parameters and its context: reads (x_t, t), one time a row."""

    op: AbstractNoising
    p: Parameters
    event: Type
    plan: P
    given: Tensor | None = None
    given_type: Type | None = None
    training: bool = False
    dropped: Tensor | None = None
    """The rows (batch,) whose context the net does not see."""

    @property
    @abstractmethod
    def path(self) -> AbstractPath:
        """The derived path."""

    @abstractmethod
    def at(self, t: Tensor, dtype: torch.dtype) -> K:
        """The path at times (batch,)."""

    @abstractmethod
    def rates(self, t: Tensor, dtype: torch.dtype) -> R:
        """The process at times (batch,)."""

    @abstractmethod
    def __call__(self, x: Tensor, t: Tensor, here: K | None = None) -> Predicted[K]:
        """The prediction at x (batch, *event) and times (batch,); `here` is the path there, where it is known."""

    @abstractmethod
    def velocity(self, x: Tensor, t: Tensor, found: Predicted[K]) -> Tensor:
        """The probability flow f - G Gᵀ s / 2 at x, where `found` is predicted."""

    @abstractmethod
    def likelihood_squares(self, t: Tensor, here: K, error: Tensor) -> Tensor:
        """The squares whose sum is ‖Gᵀ (ŝ - s)‖², for scores whose noises differ by `error`."""

    def data(self, x: Tensor) -> Tensor:
        """Data as the path has them: reals as they are, whole numbers in the middles of their cells in (-1, 1)."""
        return features_of(x, self.event.support, 1)

    def values(self, clean: Tensor) -> Tensor:
        """The data that clean values of the path stand for: the whole numbers in whose cells they lie."""
        support = self.event.support
        if support.kind is not SupportKind.INTEGER:
            return clean
        cell = torch.floor((clean + 1) / 2 * (support.high - support.low + 1))
        return (support.low + cell).clamp(support.low, support.high)

    def planes(self, x: Tensor, clock: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The net's value (planes, batch, *shape) at what it reads."""
        net = self.op.net
        assert net is not None, "nothing is learned along this path"
        c = seen(self.p, x, self.given, self.given_type, self.dropped)
        out = evaluate(net, below(self.p, "net"), (x,), c, self.training, clock.to(x.dtype))
        return planes_of(net, out, self.op.planes, shape)


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
        """(g²/σ²) (ε̂ - ε)²."""
        return self.rates(t, here.sigma.dtype).spread / here.sigma**2 * error**2

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


def seen(
    p: Parameters, x: Tensor, given: Tensor | None, given_type: Type | None, dropped: Tensor | None
) -> Tensor | None:
    """What the net of an arrow sees of its context beside x, the learned `null` in the `dropped` rows."""
    if given is None or given_type is None:
        return None
    c = context_features(given, given_type, x)
    return c if dropped is None else torch.where(dropped.reshape(-1, *(1,) * (c.dim() - 1)), p["null"], c)


@dataclass(frozen=True)
class JointDenoiser(AbstractDenoiser[JointPlan, JointAt, JointRates]):
    """One along a path with matrices for coefficients, which tells the noise of the coordinates that have some of their
    own, or their score."""

    @property
    def path(self) -> JointPath:
        """The derived path."""
        return self.plan.path

    def at(self, t: Tensor, dtype: torch.dtype) -> JointAt:
        """The path at times (batch,)."""
        return joint_at(self.plan, self.p, t, dtype)

    def rates(self, t: Tensor, dtype: torch.dtype) -> JointRates:
        """The process at times (batch,)."""
        return joint_rates(self.plan, t, dtype)

    def __call__(self, x: Tensor, t: Tensor, here: JointAt | None = None) -> Predicted[JointAt]:
        """The noise, and clean data by one step of the reverse process without noise down to the start."""
        here = self.at(t, x.dtype) if here is None else here
        noise, flow = self._noise(x, t, here), self.rates(t, x.dtype)
        span = (t - self.path.low).to(x.dtype).reshape(-1, 1)
        return Predicted(here, noise, x - span * (flow.drift(x) - flow.pull(here.score(noise))))

    def _noise(self, x: Tensor, t: Tensor, here: JointAt) -> Tensor:
        """ε_n: what the net gives, from what it gives as the score, or what Gaussian data leave to it."""
        layout, deviation = self.plan.layout, scale_of(self.op)
        size = ((len(layout.order) - layout.silent) * layout.copies,)
        if deviation is None:
            found: Tensor = self.planes(x, (t - self.path.low) / (self.path.high - self.path.low), size)[0]
            if self.op.learn == "noise":
                return found
            own = here.factor[:, layout.silent :, layout.silent :]
            return -(own.mT @ layout.beside(found)).flatten(1)
        told, (first, last) = here.expected(x, deviation), self.plan.range
        clock = ((first - told.log_snr) / (first - last)).expand(x.shape[0])
        (found,) = self.planes(told.white, clock, size)
        noise: Tensor = (told.mean + told.deviation * layout.beside(found)).flatten(1)
        return noise

    def velocity(self, x: Tensor, t: Tensor, found: Predicted[JointAt]) -> Tensor:
        """A x + b - G Gᵀ s / 2."""
        flow = self.rates(t, x.dtype)
        return flow.drift(x) - flow.pull(found.score) / 2

    def likelihood_squares(self, t: Tensor, here: JointAt, error: Tensor) -> Tensor:
        """Those of Gᵀ L_n⁻ᵀ (ε̂ - ε)."""
        noise = self.rates(t, error.dtype).noise[:, self.plan.layout.silent :]
        return (noise.mT @ here.whitening @ self.plan.layout.beside(error)) ** 2


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
    return plan(_by_coordinate(path), len(event.shape), op.start(event.shape), op.schedule())


def _by_coordinate(path: AbstractPath) -> GaussianPath:
    assert isinstance(path, GaussianPath), "a path has numbers for coefficients, or matrices"
    return path
