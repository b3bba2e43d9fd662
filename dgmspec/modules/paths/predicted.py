"""The net of a noising arrow read: what it predicts of x_t, whatever kind of path the arrow has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from dgmspec.algebra.paths.gaussian import AbstractPath
from dgmspec.core.types import SupportKind
from dgmspec.modules.nets import features_of, planes_of
from dgmspec.modules.paths.coefficients import AnyAt, AnyRates, Plan
from dgmspec.modules.paths.joint_coefficients import JointPlan
from dgmspec.modules.paths.reading import AbstractReader
from dgmspec.ops.paths.noising import AbstractNoising

__all__ = ["AbstractDenoiser", "Predicted"]

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
class AbstractDenoiser(AbstractReader[AbstractNoising, P], ABC, Generic[P, K, R]):
    """A noising arrow with its parameters and its context: reads (x_t, t), one time a row."""

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
        out = self.read(x, clock.to(x.dtype), self.given, self.dropped)
        assert self.op.net is not None
        return planes_of(self.op.net, out, self.op.planes, shape)
