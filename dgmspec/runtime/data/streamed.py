"""What a source gives, and the table that is made of it: read whole, or streamed where it is large."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np

from dgmspec.core.diagnostics import Diagnostic
from dgmspec.core.types import Type
from dgmspec.runtime.data.binarized import Binarized, Levels
from dgmspec.runtime.data.dataset import AbstractTable, Column, Columns, DataError, Dataset, common_rows, joined
from dgmspec.runtime.data.drowned import Ranges
from dgmspec.runtime.data.support import DOUBLE, Origin, Precision, check_column, check_levels, check_weights
from dgmspec.runtime.data.weights import check_total, total_of

__all__ = ["BLOCK_BYTES", "HELD_BYTES", "LARGE_BYTES", "Block", "Rows", "Stream", "Streamed", "held_rows", "table_of"]

Stream = bool | Literal["auto"]

LARGE_BYTES: Final = 1 << 30
"""A source streams by itself where its rows, as numbers in memory, take more than this. A constant, and not a share of
the memory that happens to be free: streaming changes the order of rows, which may depend on the data alone."""

HELD_BYTES: Final = 1 << 28
"""The rows that training holds, and shuffles, at a time."""

BLOCK_BYTES: Final = 1 << 24
"""The size of a block where the source may choose it."""


@dataclass(frozen=True)
class Block:
    """Rows that are read at once: how many, what reads them, and where the rows of each column stand in a file."""

    rows: int
    read: Callable[[], Columns]
    origins: Mapping[str, Origin] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """What a source gives: columns by name in blocks, the memory a row takes, and whether they shall be streamed.

    `white` is the brightest of its grey levels, where the source tells.
    """

    names: tuple[str, ...]
    blocks: tuple[Block, ...]
    row_bytes: int = 0
    stream: Stream = False
    white: float | None = None

    @staticmethod
    def of(columns: Columns, origins: Mapping[str, Origin] | None = None) -> Rows:
        """Rows that are in memory already."""
        rows = common_rows({name: column.shape for name, column in columns.items()})
        return Rows(tuple(columns), (Block(rows, lambda: columns, origins or {}),))

    @property
    def streams(self) -> bool:
        """Whether the rows are read block by block each time they are needed."""
        if self.stream == "auto":
            return self.row_bytes * sum(block.rows for block in self.blocks) > LARGE_BYTES
        return self.stream


@dataclass(frozen=True)
class Streamed(AbstractTable):
    """A table whose blocks are read from their files each time; `names` are the variables (and the weights) with their
    columns, and `drawn` those whose columns are grey levels that become bits."""

    source: Rows
    names: Mapping[str, str]
    drawn: Levels | None = None
    weights: str | None = None
    remarks: tuple[Diagnostic, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(block.rows for block in self.source.blocks)

    @property
    def row_bytes(self) -> int:
        return self.source.row_bytes

    @property
    def streams(self) -> bool:
        return True

    def block(self, index: int) -> Columns:
        columns = self.source.blocks[index].read()
        return {variable: _numbers(columns[name]) for variable, name in self.names.items()}

    def origins(self, index: int) -> Mapping[str, Origin | None]:
        """Where the rows of a block stand, by variable."""
        return {name: self.source.blocks[index].origins.get(column) for name, column in self.names.items()}

    def checked(self, index: int, variables: Mapping[str, Type], read: Precision) -> Columns:
        """A block, once every value of it (every level, and its bit) is what its variable declares, as it is `read`."""
        columns, tops = self.block(index), self.drawn.tops if self.drawn else {}
        origins = self.origins(index)
        for variable, top in tops.items():
            check_levels(variable, columns[variable], variables[variable], top, origins[variable])
        values = self.drawn.bits(columns, index) if self.drawn else columns
        for variable, declared in variables.items():
            check_column(variable, values[variable], declared, origins[variable], read)
        if self.weights is not None:
            check_weights(self.weights, columns[self.weights], origins[self.weights])
        return columns


def _numbers(column: Column) -> Column:
    """A column with 0 and 1 for truths, of which NumPy takes no differences."""
    return column.view(np.uint8) if column.dtype == np.bool_ else column


def held_rows(table: AbstractTable) -> int:
    """How many rows of a table that streams may be held at a time."""
    return max(1, HELD_BYTES // max(1, table.row_bytes))


def table_of(
    source: Rows,
    names: Mapping[str, str],
    variables: Mapping[str, Type],
    drawn: Levels | None = None,
    read: Precision = DOUBLE,
    weights: str | None = None,
) -> AbstractTable:
    """The table of a source's columns by variable, and that of the `weights`, grey levels `drawn` as bits; every value
    is checked as it will be `read`, once, also of one that streams."""
    table = Streamed(source, names, drawn, weights)
    if not table.rows:
        listed = ", ".join(f"`{name}`" for name in variables)
        files = [origin.of for block in source.blocks for origin in block.origins.values()]
        where = f" in {files[0]}" if files else ""
        raise DataError("DGM851", f"there are no rows for {listed}{where}", "give at least one row")
    kept, total, ranges = list[Columns](), 0.0, Ranges(variables)
    for index in range(len(source.blocks)):
        columns = table.checked(index, variables, read)
        ranges.add(columns)
        kept += [] if source.streams else [columns]
        total += 0.0 if weights is None else total_of(columns[weights])
    if weights is not None:
        origin = source.blocks[0].origins.get(names[weights])
        check_total(weights, total, "these rows" if origin is None else origin.of)
    remarks = ranges.drowned(table.origins(0), read)
    held: Streamed | Dataset = replace(table, remarks=remarks)
    if not source.streams:
        held = replace(joined(kept, weights), remarks=remarks)
    if drawn is None:
        return held
    bits = Binarized(held, drawn)
    return bits if source.streams or bits.redrawn else replace(bits.whole(), remarks=remarks)
