"""What every arrow that learns its way back reads: its own parameters and context, and what its net gives of them."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.nets import below, context_features, evaluate
from dgmspec.modules.twin import Parameters, by_row
from dgmspec.ops.paths.learned import AbstractLearnedPath

__all__ = ["AbstractReader"]

O = TypeVar("O", bound=AbstractLearnedPath)
P = TypeVar("P")


@dataclass(frozen=True)
class AbstractReader(ABC, Generic[O, P]):
    """An arrow with its parameters and its context; `plan` is its path, or its process, made ready for tensors."""

    op: O
    p: Parameters
    event: Type
    plan: P
    given: Tensor | None = None
    given_type: Type | None = None
    training: bool = False
    dropped: Tensor | None = None
    """The rows (batch,) whose context the net does not see."""

    def read(self, x: Tensor, clock: Tensor, given: Tensor | None, dropped: Tensor | None) -> Tensor:
        """What the net gives at x (batch, *shape), a time from 0 to 1 for each row and a context, the learned `null`
        in its place in the `dropped` rows."""
        net, c = self.op.net, None
        assert net is not None, "nothing is learned along this path"
        if given is not None and self.given_type is not None:
            c = context_features(given, self.given_type, x)
            c = c if dropped is None else torch.where(by_row(dropped, c), self.p["null"], c)
        return evaluate(net, below(self.p, "net"), (x,), c, self.training, clock)
