"""Bits that are drawn from grey levels, whose shares of the brightest stand for probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dgmspec.runtime.data.dataset import AbstractTable, Column, Columns
from dgmspec.runtime.keyed import keyed_generator

__all__ = ["Binarized", "Levels"]


@dataclass(frozen=True)
class Levels:
    """Columns of grey levels that are read as bits; `tops` are their brightest levels.

    With `how` = ``threshold`` a bit is 1 from half the brightest level on, else it is 1 with its level's share as
    probability, drawn by the seed and the block: whoever reads a block finds the same bits. With ``dynamic`` training
    keeps the levels and draws the bits again at each step.
    """

    tops: Mapping[str, float]
    how: str
    seed: int

    @staticmethod
    def of(columns: Mapping[str, np.dtype[Any]], how: str, seed: int) -> Levels | None:
        """The columns of bytes; None where nothing is to become bits."""
        if how == "none":
            return None
        for dtype in columns.values():
            if dtype.kind != "u":
                raise ValueError(f"`binarize` takes grey levels, unsigned whole numbers, and the file holds {dtype}")
        return Levels({name: float(np.iinfo(dtype).max) for name, dtype in columns.items()}, how, seed)

    def named(self, names: Mapping[str, str]) -> Levels:
        """The same for tables whose columns have other names: each new name with its old."""
        return replace(self, tops={new: self.tops[old] for new, old in names.items() if old in self.tops})

    def bits(self, columns: Columns, index: int) -> Columns:
        """The columns of block number `index` with bits for levels."""
        return {name: self._drawn(name, column, index) for name, column in columns.items()}

    def _drawn(self, name: str, column: Column, index: int) -> Column:
        if name not in self.tops:
            return column
        shares = column / self.tops[name]
        if self.how == "threshold":
            return np.asarray(shares >= 0.5, np.uint8)
        drawn = keyed_generator(f"binarize {name}", self.seed, index).random(shares.shape, np.float32)
        return np.asarray(drawn < shares, np.uint8)


@dataclass(frozen=True)
class Binarized(AbstractTable):
    """A table whose columns of grey levels are read as bits."""

    table: AbstractTable
    drawn: Levels

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.table.sizes

    @property
    def row_bytes(self) -> int:
        return self.table.row_bytes

    @property
    def streams(self) -> bool:
        return self.table.streams

    @property
    def levels(self) -> AbstractTable:
        return self.table if self.redrawn else self

    @property
    def redrawn(self) -> Mapping[str, float]:
        return self.drawn.tops if self.drawn.how == "dynamic" else {}

    def reseeded(self, seed: int) -> AbstractTable:
        return replace(self, drawn=replace(self.drawn, seed=seed))

    def block(self, index: int) -> Columns:
        return self.drawn.bits(self.table.block(index), index)
