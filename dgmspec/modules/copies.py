"""Copies of the rows of a batch: draws and values of discrete variables side by side, and what is made of them.

Row i of a batch with k copies stands in rows i·k … i·k + k - 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.sums import Run

__all__ = ["VALUES", "average", "expectation", "fold", "log_mean_exp", "log_sum_exp", "repeat", "score",
           "states", "table"]  # fmt: skip

VALUES = "values"
"""The table of the values that a discrete variable takes in turn."""


def repeat(copies: int) -> Run:
    """Every row `copies` times; what is the same for all rows stays."""

    def run(training: bool, p: Mapping[str, Tensor], x: Any) -> Any:
        if not isinstance(x, Tensor) or x.dim() == 0:
            return x
        return x.unsqueeze(1).expand(x.shape[0], copies, *x.shape[1:]).flatten(0, 1)

    return run


def fold(training: bool, p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """(batch, copies, …) -> (batch · copies, …)."""
    return x.flatten(0, 1)


def table(event: Type, index: tuple[int, ...]) -> Tensor:
    """The values that a discrete variable takes in turn: each for index[0] combinations, index[1] of them in all."""
    low, high = int(event.support.low), int(event.support.high)
    every = torch.cartesian_prod(*[torch.arange(low, high + 1)] * max(event.size, 1))
    stride, combinations = index
    place = torch.arange(combinations) // stride % len(every)
    return every.reshape(len(every), *event.shape)[place].double()


def states(copies: int) -> Run:
    """The table once for each of `copies` over its length copies of a row."""

    def run(training: bool, p: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        values = p[VALUES]
        times = rows.shape[0] * (copies // values.shape[0])
        return values.unsqueeze(0).expand(times, *values.shape).flatten(0, 1)

    return run


def average(copies: int) -> Run:
    """The mean over the copies of a row; what is the same for all rows stays."""
    return lambda training, p, x: x.reshape(-1, copies).mean(1) if x.dim() else x


def log_mean_exp(copies: int) -> Run:
    """The log of the mean of exp over the copies of a row."""
    return lambda training, p, x: torch.logsumexp(x.reshape(-1, copies), 1) - math.log(copies)


def log_sum_exp(copies: int) -> Run:
    """The log of the sum of exp over the copies of a row."""
    return lambda training, p, x: torch.logsumexp(x.reshape(-1, copies), 1)


def expectation(copies: int) -> Run:
    """Σ exp(log-weight) · value; a value of -inf at a weight of 0 counts as 0."""

    def run(training: bool, p: Mapping[str, Tensor], x: Tensor, log_weights: Tensor) -> Tensor:
        weights = log_weights.exp()
        x = torch.where(weights > 0, x, 0.0)
        return (weights * x).reshape(-1, copies).sum(1)

    return run


def score(copies: int) -> Run:
    """f, with the gradient of f + (f - mean of f over the other copies) · log q, both factors of the product fixed."""

    def run(training: bool, p: Mapping[str, Tensor], f: Tensor, log_q: Tensor) -> Tensor:
        values = f.detach().reshape(-1, copies)
        others = (values.sum(1, keepdim=True) - values) / (copies - 1)
        advantage = (values - others).reshape(-1)
        return f + advantage * (log_q - log_q.detach())

    return run
