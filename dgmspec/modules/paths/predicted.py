"""The net of a noising arrow read: what it predicts of x_t, whatever kind of path the arrow has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from dgmspec.algebra.paths.gaussian import AbstractPath
from dgmspec.core.types import SupportKind, Type
from dgmspec.modules.nets import below, context_features, evaluate, features_of, planes_of
from dgmspec.modules.paths.coefficients import AnyAt, AnyRates, Plan
from dgmspec.modules.paths.joint_coefficients import JointPlan
from dgmspec.modules.twin import Parameters, by_row
from dgmspec.ops.paths.noising import AbstractNoising

__all__ = ["AbstractDenoiser", "Predicted", "seen"]

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


def seen(
    p: Parameters, x: Tensor, given: Tensor | None, given_type: Type | None, dropped: Tensor | None
) -> Tensor | None:
    """What the net of an arrow sees of its context beside x, the learned `null` in the `dropped` rows."""
    if given is None or given_type is None:
        return None
    c = context_features(given, given_type, x)
    return c if dropped is None else torch.where(by_row(dropped, c), p["null"], c)
