"""Bits that are drawn from grey levels, whose shares of the brightest stand for probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from dgmspec.core.types import BINARY, Type
from dgmspec.runtime.data.dataset import AbstractTable, AbstractView, Column, Columns, DataError
from dgmspec.runtime.keyed import keyed_generator

__all__ = ["Asked", "Binarized", "Levels", "asked"]


@dataclass(frozen=True)
class Levels:
    """Columns of grey levels that are read as bits, by the names of variables; `tops` are the levels that are surely 1.

    With `hows` of ``threshold`` a bit is 1 from half the brightest level on, else it is 1 with its level's share as
    probability, drawn by the seed and the block: whoever reads a block finds the same bits. With ``dynamic`` training
    keeps the levels and draws the bits again at each step.
    """

    tops: Mapping[str, float]
    hows: Mapping[str, str]
    seed: int

    @staticmethod
    def of(columns: Columns, asked: Mapping[str, Asked], white: float | None, seed: int) -> Levels:
        """Those of the variables `asked` for; `columns` hold some rows of each, which tell what numbers the levels
        are."""
        tops = {name: own or white or _white(name, columns[name]) for name, (_, own) in asked.items()}
        return Levels(tops, {name: how for name, (how, _) in asked.items()}, seed)

    def bits(self, columns: Columns, index: int) -> Columns:
        """The columns of block number `index` with bits for levels."""
        return {name: self._drawn(name, column, index) for name, column in columns.items()}

    def those(self, dynamic: bool) -> Levels:
        """The columns whose bits training draws again at each step, or the other ones."""
        tops = {name: top for name, top in self.tops.items() if (self.hows[name] == "dynamic") is dynamic}
        return replace(self, tops=tops)

    def _drawn(self, name: str, column: Column, index: int) -> Column:
        if name not in self.tops:
            return column
        shares = column / self.tops[name]
        if self.hows[name] == "threshold":
            return np.asarray(shares >= 0.5, np.uint8)
        drawn = keyed_generator(f"binarize {name}", self.seed, index).random(shares.shape, np.float32)
        return np.asarray(drawn < shares, np.uint8)


Asked = tuple[str, float | None]
"""How the levels of a variable become bits, and which of them is surely 1 where that is said."""


def asked(
    variables: Mapping[str, Type], every: str, white: float | None, own: Mapping[str, Asked]
) -> Mapping[str, Asked]:
    """How the levels of each variable become bits: as its `own` says, else as `every`, which is for the variables that
    are declared binary, but for single bits a row (labels)."""
    binary = [name for name, declared in variables.items() if declared.support == BINARY]
    rest = [name for name in binary if variables[name].shape and name not in own] if every != "none" else []
    wrong = [name for name in own if name not in binary]
    if wrong or (every != "none" and not rest and not own):
        listed = ", ".join(f"`{name}` is {variables.get(name, 'no data variable')}" for name in wrong or variables)
        raise DataError(
            "DGM852",
            f"`binarize` makes bits of levels for a variable that is declared `binary`, and {listed}",
            "declare it `binary`, or leave `binarize` out",
        )
    return dict(own) | dict.fromkeys(rest, (every, white))


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
        return replace(self, drawn=self.drawn.those(dynamic=False))

    @property
    def redrawn(self) -> Mapping[str, float]:
        return self.drawn.those(dynamic=True).tops

    def reseeded(self, seed: int) -> AbstractTable:
        return replace(self, drawn=replace(self.drawn, seed=seed))

    def block(self, index: int) -> Columns:
        return self.drawn.bits(self.table.block(index), index)
