"""One batch on its way from noise to clean data along a noising arrow: its net, its times, what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from dgmspec.modules.guidance import doubled, rows_beyond
from dgmspec.modules.paths.coefficients import AnyAt, AnyRates, At, Rates
from dgmspec.modules.paths.predicted import AbstractDenoiser, Predicted

__all__ = ["ByCoordinate", "Journey", "Known"]

K = TypeVar("K", bound=AnyAt)
R = TypeVar("R", bound=AnyRates)


@dataclass(frozen=True)
class Known:
    """Coordinates that are given: where `mask` is true, `values` stand."""

    values: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Journey(Generic[K, R]):
    """One batch on its way: the denoiser, the falling `times`, and noise by the row whatever the batch.

    Everything about the path at the grid's times is worked out once; `known` fixes coordinates (inpainting). With
    `guidance` the prediction goes beyond the context's own by that many times its distance from that without context.
    """

    net: AbstractDenoiser[Any, K, R]
    times: tuple[float, ...]
    noise: Callable[[], Tensor]
    like: Tensor
    known: Known | None = None
    told: Callable[[int], None] = lambda done: None
    guidance: float = 0.0

    @cached_property
    def grid(self) -> Tensor:
        """The times as a tensor."""
        return torch.tensor(self.times, dtype=torch.float64, device=self.like.device)

    @cached_property
    def _table(self) -> K:
        return self.net.at(self.grid, self.like.dtype)

    def at(self, i: int) -> K:
        """The path at time i."""
        return self._table.row(i)

    @cached_property
    def _process(self) -> R:
        return self.net.rates(self.grid, self.like.dtype)

    def rates(self, i: int) -> R:
        """The process at time i."""
        return self._process.row(i)

    def time(self, i: int) -> Tensor:
        """Time i, one for all rows."""
        return self.grid[i : i + 1]

    def predict(self, x: Tensor, i: int) -> Predicted[K]:
        """What the net predicts at time i."""
        if not self.guidance:
            return self.net(x, self.time(i).expand(x.shape[0]).to(x.dtype), self.at(i))
        both = self._both(torch.cat((x, x)), self.time(i).expand(2 * x.shape[0]).to(x.dtype), self.at(i))
        noise, clean = (rows_beyond(value, self.guidance) for value in (both.noise, both.clean))
        return Predicted(both.at, noise, clean, None if both.between is None else both.between.chunk(2)[0])

    @cached_property
    def _both(self) -> AbstractDenoiser[Any, K, R]:
        """The net for twice the rows, with the context and without it."""
        assert self.net.given is not None
        given, free = doubled(self.net.given, self.like.shape[0])
        return replace(self.net, given=given, dropped=free)

    def settle(self, x: Tensor, i: int) -> Tensor:
        """x at time i with the known coordinates as they are at that time."""
        if self.known is None:
            return x
        fixed = self.at(i).noised(self.known.values, self.noise())
        return torch.where(self.known.mask, fixed, x)

    def end(self, x: Tensor) -> Tensor:
        """The clean data predicted at the last time."""
        clean = self.predict(x, len(self.times) - 1).clean
        return clean if self.known is None else torch.where(self.known.mask, self.known.values, clean)

    def fall(self, x: Tensor, step: Callable[[Tensor, int], Tensor]) -> Tensor:
        """The clean data after ``step(x, i)``, from time i to the next, for all of the grid."""
        for i in range(len(self.times) - 1):
            x = self.settle(step(x, i), i + 1)
            self.told(i + 1)
        return self.end(x)


ByCoordinate = Journey[At, Rates]
