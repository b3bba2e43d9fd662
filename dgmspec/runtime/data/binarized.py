"""Bits that are drawn from grey levels, whose shares of the brightest stand for probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from dgmspec.core.types import BINARY, Type
from dgmspec.runtime.data.dataset import AbstractTable, AbstractView, Column, Columns, DataError
from dgmspec.runtime.keyed import keyed_generator

__all__ = ["Binarized", "Levels"]


@dataclass(frozen=True)
class Levels:
    """Columns of grey levels that are read as bits, by the names of variables; `tops` are the levels that are surely 1.

    With `how` = ``threshold`` a bit is 1 from half the brightest level on, else it is 1 with its level's share as
    probability, drawn by the seed and the block: whoever reads a block finds the same bits. With ``dynamic`` training
    keeps the levels and draws the bits again at each step.
    """

    tops: Mapping[str, float]
    how: str
    seed: int

    @staticmethod
    def of(columns: Columns, variables: Mapping[str, Type], how: str, white: float | None, seed: int) -> Levels:
        """Those of the variables that are declared binary, but for single bits a row (labels); `columns` hold some rows
        of each, which tell what numbers the levels are."""
        binary = [name for name, declared in variables.items() if declared.support == BINARY and declared.shape]
        if not binary:
            listed = ", ".join(f"`{name}` is {declared}" for name, declared in variables.items())
            raise DataError(
                "DGM852",
                f"`binarize` makes bits of levels for a variable that is declared `binary`, and {listed}",
                "declare it `binary`, or leave `binarize` out",
            )
        return Levels({name: white or _white(name, columns[name]) for name in binary}, how, seed)

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


def _white(name: str, levels: Column) -> float:
    """The brightest level that numbers of this kind can be."""
    kind = levels.dtype.kind
    if kind == "u":
        return float(np.iinfo(levels.dtype).max)
    if kind == "f":
        return 1.0
    what = "bits already" if kind == "b" else f"{levels.dtype}, which do not tell how bright the brightest is"
    help_ = "leave `binarize` out" if kind == "b" else "write the level that is surely 1, `white = 255`"
    raise DataError("DGM852", f"`binarize` takes levels, and the data of `{name}` are {what}", help_)


@dataclass(frozen=True)
class Binarized(AbstractView):
    """A table whose columns of grey levels are read as bits."""

    drawn: Levels

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.table.sizes

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
