"""Tables of rows by variable: in memory or in blocks that are read when they are needed, with their splits.

Everything that reads data sees an `AbstractTable`. Its rows come in blocks; a table in memory is one block, one that
streams has many and holds none. Whatever is random about rows is decided block by block from keyed draws, so that both
kinds are split, sampled and walked through by the same code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmspec.core.diagnostics import Diagnostic
from dgmspec.runtime.keyed import keyed_generator

__all__ = [
    "AbstractTable",
    "AbstractView",
    "Column",
    "Columns",
    "DataError",
    "Dataset",
    "Indices",
    "common_rows",
    "joined",
]

Column = NDArray[Any]
Columns = Mapping[str, Column]
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

    def _render_traceback_(self) -> list[str]:
        """What IPython prints in place of a traceback: where in Python wrong data were met helps nobody."""
        return [f"error[{self.code}]: {self.message}", f"  help: {self.help}"]


class AbstractTable(ABC):
    """Columns by variable name, (rows, *event), in blocks of `sizes` rows that `block` reads one at a time."""

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """The number of rows of each block."""

    @property
    @abstractmethod
    def row_bytes(self) -> int:
        """The memory that a row takes once it is read."""

    @property
    @abstractmethod
    def streams(self) -> bool:
        """Whether blocks are read from their files each time, and no table of all rows is ever held."""

    @property
    @abstractmethod
    def weights(self) -> str | None:
        """The column, (rows,), of no variable, that says how much each row counts: numbers from 0 up, of which only the
        ratios matter. None where all rows count alike."""

    @abstractmethod
    def block(self, index: int) -> Columns:
        """The rows of one block."""

    @property
    def remarks(self) -> tuple[Diagnostic, ...]:
        """Warnings about the rows, of a table that a source gave."""
        return ()

    @property
    def levels(self) -> AbstractTable:
        """The table that training holds: the grey levels of `redrawn` columns in place of their bits."""
        return self

    @property
    def redrawn(self) -> Mapping[str, float]:
        """The columns whose bits training draws again at each step, with the level that is surely 1."""
        return {}

    def reseeded(self, seed: int) -> AbstractTable:
        """The same rows, what is drawn in them drawn by another seed."""
        return self

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(self.sizes)

    def batches(self, size: int) -> Iterator[Columns]:
        """All rows in their order, at most `size` at a time."""
        for index, rows in enumerate(self.sizes):
            columns = self.block(index) if rows else {}
            for start in range(0, rows, size):
                yield {name: column[start : start + size] for name, column in columns.items()}

    def head(self, rows: int) -> Dataset:
        """The first rows, in memory."""
        parts: list[Columns] = []
        left = rows
        for index, size in enumerate(self.sizes):
            if size:
                parts.append({name: column[:left] for name, column in self.block(index).items()})
                left -= min(left, size)
            if not left:
                break
        return joined(parts, self.weights)

    def sample(self, rows: int, seed: int) -> Dataset:
        """That many rows in memory, drawn from every block by the seed; all of them where there are no more."""
        if rows >= self.rows:
            return self.whole()
        return _parts(self, (0.0, rows / self.rows), "sample", seed)[0].whole()

    def whole(self) -> Dataset:
        """All rows in memory."""
        return joined([self.block(index) for index, size in enumerate(self.sizes) if size], self.weights)

    def split(self, fractions: Sequence[float], seed: int) -> tuple[AbstractTable, ...]:
        """Disjoint random parts of sizes `fractions` (of the rows, at most 1 together), by the seed alone.

        Part boundaries are the cumulative fractions rounded, so that parts of fractions adding to 1 cover all rows.
        """
        edges = tuple(accumulate(fractions, initial=0.0))
        if min(fractions) <= 0 or edges[-1] > 1 + 1e-9:
            raise ValueError(f"fractions must be positive and at most 1 together, got {tuple(fractions)}")
        parts = _parts(self, edges, "split", seed)
        if not all(part.rows for part in parts):
            raise DataError(
                "DGM851",
                f"{_counted(self.rows)} too few for parts of {', '.join(f'{f:g}' for f in fractions)}",
                "give more rows, or hold out a larger fraction",
            )
        return parts if self.streams or self.redrawn else tuple(part.whole() for part in parts)


def _counted(rows: int) -> str:
    return "1 row is" if rows == 1 else f"{rows:,} rows are"


@dataclass(frozen=True)
class Dataset(AbstractTable):
    """A table in memory."""

    columns: Columns
    weights: str | None = None
    remarks: tuple[Diagnostic, ...] = ()

    def __post_init__(self) -> None:
        common_rows({name: column.shape for name, column in self.columns.items()})

    @property
    def sizes(self) -> tuple[int, ...]:
        return (len(next(iter(self.columns.values()))),)

    @property
    def row_bytes(self) -> int:
        return sum(column.nbytes // max(1, len(column)) for column in self.columns.values())

    @property
    def streams(self) -> bool:
        return False

    def block(self, index: int) -> Columns:
        return self.columns

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]


@dataclass(frozen=True)
class AbstractView(AbstractTable, ABC):
    """Rows that are read from another table."""

    table: AbstractTable

    @property
    def weights(self) -> str | None:
        return self.table.weights

    @property
    def row_bytes(self) -> int:
        return self.table.row_bytes

    @property
    def streams(self) -> bool:
        return self.table.streams

    @property
    def remarks(self) -> tuple[Diagnostic, ...]:
        return self.table.remarks


@dataclass(frozen=True)
class _Part(AbstractView):
    """Some rows of each block of a table: those between two places of the block's keyed order."""

    bounds: tuple[tuple[int, int], ...]
    purpose: str
    seed: int

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(stop - start for start, stop in self.bounds)

    @property
    def levels(self) -> AbstractTable:
        return replace(self, table=self.table.levels)

    @property
    def redrawn(self) -> Mapping[str, float]:
        return self.table.redrawn

    def reseeded(self, seed: int) -> AbstractTable:
        return replace(self, table=self.table.reseeded(seed))

    def block(self, index: int) -> Columns:
        start, stop = self.bounds[index]
        order = keyed_generator(self.purpose, self.seed, index).permutation(self.table.sizes[index])
        return {name: column[order[start:stop]] for name, column in self.table.block(index).items()}


def _parts(table: AbstractTable, edges: tuple[float, ...], purpose: str, seed: int) -> tuple[_Part, ...]:
    """The parts between cumulative fractions of the rows; each block gives every part its share.

    What a block's rounding gives a part too many or too few, the next block makes good.
    """
    seen, given = 0, [0] * len(edges)
    cuts: list[list[int]] = []
    for size in table.sizes:
        seen += size
        low, cut = 0, list[int]()
        for place, edge in enumerate(edges):
            low = min(size, max(low, int(edge * seen + 0.5) - given[place]))
            cut.append(low)
        given = [before + here for before, here in zip(given, cut, strict=True)]
        cuts.append(cut)
    starts_and_stops = zip(*([*pairwise(cut)] for cut in cuts), strict=True)
    return tuple(_Part(table, tuple(bounds), purpose, seed) for bounds in starts_and_stops)


def common_rows(shapes: Mapping[str, tuple[int, ...]], files: Mapping[str, object] | None = None) -> int:
    """The number of rows that columns of these shapes, each in a file perhaps, have in common."""
    lengths = {name: shape[0] if shape else None for name, shape in shapes.items()}
    found = set(lengths.values())
    if len(found) != 1 or None in found:
        places = {name: f" in {file}" for name, file in (files or {}).items()}
        counts = {name: "no rows" if n is None else n for name, n in lengths.items()}
        listed = ", ".join(f"`{name}` {count}{places.get(name, '')}" for name, count in counts.items())
        raise DataError(
            "DGM851",
            f"columns must have one common number of rows, got {listed or 'no columns'}",
            "give every variable an array whose first dimension counts the samples",
        )
    return int(found.pop() or 0)


def joined(parts: Sequence[Columns], weights: str | None = None) -> Dataset:
    """The rows of several tables of the same columns, one after another."""
    if len(parts) == 1:
        return Dataset(parts[0], weights)
    return Dataset({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, weights)
