"""Runs of instructions that are no operation of the library: sums, means, folded maps, learned parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.initial import learned_value

__all__ = [
    "AFFINE",
    "CONSTANT",
    "INDEX",
    "SCALED",
    "Run",
    "adjacent",
    "affine",
    "gather",
    "held",
    "learned",
    "mean",
    "scaled",
    "total",
]

Run = Callable[..., Any]
"""(training, p, *inputs) -> the instruction's results."""

AFFINE, SCALED = ("matrix", "shift", "log_det"), ("scale", "shift", "log_det")
"""The tables of a folded run of steps: mixing coordinates, or not."""
CONSTANT = "constant"
"""The table of a sum's constant part."""


def learned(type_: Type) -> Run:
    """A learned parameter in its support, (1, *shape)."""
    support = type_.support

    def run(training: bool, p: Mapping[str, Tensor]) -> Tensor:
        return learned_value(support, p["raw"])

    return run


def held(training: bool, p: Mapping[str, Tensor], x: Any) -> Any:
    """A value through which no gradient passes; a number is as it is."""
    return x.detach() if isinstance(x, Tensor) else x


def affine(training: bool, p: Mapping[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """y = x matrix + shift: several steps with a constant Jacobian in one product."""
    return torch.addmm(p["shift"], x, p["matrix"]), p["log_det"]


def scaled(training: bool, p: Mapping[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """y = x scale + shift, coordinate by coordinate."""
    return torch.addcmul(p["shift"], x, p["scale"]), p["log_det"]


INDEX = "index"
"""The table of a gathering whose columns do not stand side by side."""


def gather(index: tuple[int, ...]) -> Run:
    """Columns of the pieces side by side: as they are, a view where they are neighbours, else a copy by a table."""
    neighbours, first, count = adjacent(index), index[0] if index else 0, len(index)

    def run(training: bool, p: Mapping[str, Tensor], *pieces: Tensor) -> Tensor:
        x = pieces[0] if len(pieces) == 1 else torch.cat(pieces, 1)
        if not neighbours:
            return x.index_select(1, p[INDEX])
        return x if count == x.shape[1] else x.narrow(1, first, count)

    return run


def adjacent(index: tuple[int, ...]) -> bool:
    """Whether columns stand side by side, in order."""
    return index == tuple(range(index[0], index[0] + len(index))) if index else True


def _wide(value: Tensor) -> Tensor:
    """At least float32: a sum of many half-precision terms would lose the density."""
    return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value


def total(signs: tuple[int, ...]) -> Run:
    """Σ sign · part, (batch,), the parts that are one number for all rows added up first."""

    def run(training: bool, p: Mapping[str, Tensor], *parts: Tensor) -> Tensor:
        constant = _wide(p[CONSTANT]) if p else None
        varying: Tensor | None = None
        for sign, part in zip(signs, parts, strict=True):
            part = _wide(part)
            if part.dim() == 0:
                constant = _accumulate(constant, sign, part)
            else:
                varying = _accumulate(varying, sign, part)
        assert varying is not None, "a density has a term per sample"
        return varying if constant is None else varying + constant

    return run


def _accumulate(total: Tensor | None, sign: int, part: Tensor) -> Tensor:
    if total is None:
        return part if sign > 0 else -part
    return total + part if sign > 0 else total - part


def mean(sign: int, copies: int) -> Run:
    """sign · mean over the rows, of weight times value where rows have weights: each stands for its `copies`."""

    def run(training: bool, p: Mapping[str, Tensor], values: Tensor, weights: Tensor | None = None) -> Tensor:
        if weights is not None:
            values = values * (weights.repeat_interleave(copies) if copies > 1 else weights)
        return values.mean() if sign > 0 else -values.mean()

    return run
