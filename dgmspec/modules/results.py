"""What a model returns besides tensors: the loss with its terms, and the ledger of a log-density."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from dgmspec.core.address import Address

__all__ = ["Ledger", "LedgerStep", "LossValue"]


@dataclass(frozen=True)
class LossValue:
    """A loss: `total` (a 0-dimensional tensor, nats) and the mean of each of its terms by name."""

    total: Tensor
    terms: Mapping[str, Tensor]


@dataclass(frozen=True)
class LedgerStep:
    """One contribution to log p(x), per sample.

    `logdet` is log|det ∂out/∂in| of the direction that was run (or a log-probability), shape (batch,);
    log p takes it times `sign`.
    """

    name: str
    address: Address
    kind: str
    direction: str
    cost: str
    sign: int
    logdet: Tensor


@dataclass(frozen=True)
class Ledger:
    """The contributions in the order they were run; they sum, with their signs, to `total` = log p, (batch,)."""

    steps: tuple[LedgerStep, ...]
    total: Tensor

    def __iter__(self) -> Iterator[LedgerStep]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> LedgerStep:
        return self.steps[index]
