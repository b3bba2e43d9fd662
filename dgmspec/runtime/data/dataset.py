"""A table in memory, its splits, and the order in which training walks through it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmspec.runtime.keyed import keyed_generator

__all__ = ["Batches", "Column", "DataError", "Dataset", "Indices"]

Column = NDArray[Any]
Indices = NDArray[np.int64]


class DataError(Exception):
    """A mistake in the user's data; the caller turns it into a diagnostic.

    DGM851: a shape differs from the declared one, or columns differ in length. DGM852: a value lies outside the
    declared support, or is not a finite number. DGM853: a source, a column or a file cannot be had.
    """

    def __init__(self, code: str, message: str, help: str) -> None:
        super().__init__(f"{code}: {message} (help: {help})")
        self.code = code
        self.message = message
        self.help = help


@dataclass(frozen=True)
class Dataset:
    """Columns by variable name, each of shape (rows, *event)."""

    columns: Mapping[str, Column]

    def __post_init__(self) -> None:
        lengths = {name: len(column) if column.ndim else None for name, column in self.columns.items()}
        if len(set(lengths.values())) != 1 or None in lengths.values():
            listed = ", ".join(f"`{name}` {'no rows' if n is None else n}" for name, n in lengths.items())
            raise DataError(
                "DGM851",
                f"columns must have one common number of rows, got {listed or 'no columns'}",
                "give every variable an array whose first dimension counts the samples",
            )

    @property
    def rows(self) -> int:
        """The number of samples."""
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def take(self, indices: Indices) -> Dataset:
        """The rows at `indices`, in that order."""
        return Dataset({name: column[indices] for name, column in self.columns.items()})

    def split(self, fractions: Sequence[float], seed: int) -> tuple[Dataset, ...]:
        """Disjoint random parts of sizes `fractions` (of the rows, at most 1 together), by the seed alone.

        Part boundaries are the cumulative fractions rounded, so that parts of fractions adding to 1 cover all rows.
        """
        edges = np.cumsum([0.0, *fractions])
        if min(fractions) <= 0 or edges[-1] > 1 + 1e-9:
            raise ValueError(f"fractions must be positive and at most 1 together, got {tuple(fractions)}")
        bounds = [min(self.rows, math.floor(edge * self.rows + 0.5)) for edge in edges]
        parts = list(pairwise(bounds))
        if any(start == stop for start, stop in parts):
            raise DataError(
                "DGM851",
                f"{self.rows} rows are too few for parts of {', '.join(f'{f:g}' for f in fractions)}",
                "give more rows, or hold out a larger fraction",
            )
        order = keyed_generator("split", seed, 0).permutation(self.rows)
        return tuple(self.take(order[start:stop]) for start, stop in parts)


@dataclass(frozen=True)
class Batches:
    """Shuffled epochs: which rows step number s uses is a function of (rows, batch, seed, s).

    A resumed run and every process of a parallel one therefore see the same order; a process takes its share of each
    batch. Rows that do not fill a last batch sit that epoch out (others in the next); fewer rows than `batch` make
    one batch of them all.
    """

    rows: int
    batch: int
    seed: int

    @property
    def size(self) -> int:
        """Rows in each batch, over all processes."""
        return min(self.batch, self.rows)

    @property
    def per_epoch(self) -> int:
        """Steps in one epoch."""
        return self.rows // self.size

    def order(self, epoch: int) -> Indices:
        """The permutation of all rows that epoch number `epoch` walks through."""
        return keyed_generator("epoch", self.seed, epoch).permutation(self.rows)

    def walk(self, start: int, stop: int) -> Iterator[Indices]:
        """The row indices of steps start, …, stop - 1."""
        step = start
        while step < stop:
            epoch, position = divmod(step, self.per_epoch)
            order = self.order(epoch)
            for place in range(position, min(self.per_epoch, position + stop - step)):
                yield order[place * self.size : (place + 1) * self.size]
                step += 1
