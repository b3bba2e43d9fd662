"""What a source gives, and the table that is made of it: read whole, or streamed where it is large."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from dgmspec.core.types import Type
from dgmspec.runtime.data.binarized import Binarized, Levels
from dgmspec.runtime.data.dataset import AbstractTable, Columns, DataError, common_rows, joined
from dgmspec.runtime.data.support import Origin, check_column

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

    `levels` says which columns are grey levels that shall become bits, and how.
    """

    names: tuple[str, ...]
    blocks: tuple[Block, ...]
    row_bytes: int = 0
    stream: Stream = False
    levels: Levels | None = None

    @staticmethod
    def of(columns: Columns, origins: Mapping[str, Origin] | None = None, levels: Levels | None = None) -> Rows:
        """Rows that are in memory already."""
        rows = common_rows({name: column.shape for name, column in columns.items()})
        return Rows(tuple(columns), (Block(rows, lambda: columns, origins or {}),), levels=levels)

    @property
    def streams(self) -> bool:
        """Whether the rows are read block by block each time they are needed."""
        if self.stream == "auto":
            return self.row_bytes * sum(block.rows for block in self.blocks) > LARGE_BYTES
        return self.stream


@dataclass(frozen=True)
class Streamed(AbstractTable):
    """A table whose blocks are read from their files each time; `names` are the variables with their columns."""

    source: Rows
    names: Mapping[str, str]

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
        return {variable: columns[name] for variable, name in self.names.items()}

    @property
    def drawn(self) -> Levels | None:
        """The variables whose columns are grey levels that become bits."""
        return self.source.levels and self.source.levels.named(self.names)

    def checked(self, index: int, variables: Mapping[str, Type]) -> Columns:
        """A block, once every value of it (every bit of a level) is what its variable declares."""
        columns = self.block(index)
        values = self.drawn.bits(columns, index) if self.drawn else columns
        block = self.source.blocks[index]
        for variable, declared in variables.items():
            check_column(variable, values[variable], declared, block.origins.get(self.names[variable]))
        return columns


def held_rows(table: AbstractTable) -> int:
    """How many rows of a table that streams may be held at a time."""
    return max(1, HELD_BYTES // max(1, table.row_bytes))


def table_of(source: Rows, names: Mapping[str, str], variables: Mapping[str, Type]) -> AbstractTable:
    """The table of a source's columns by variable; every value is checked, once, also of one that streams."""
    table = Streamed(source, names)
    if not table.rows:
        listed = ", ".join(f"`{name}`" for name in variables)
        raise DataError("DGM851", f"there are no rows for {listed}", "give at least one row")
    kept = []
    for index in range(len(source.blocks)):
        columns = table.checked(index, variables)
        kept += [] if source.streams else [columns]
    held: AbstractTable = table if source.streams else joined(kept)
    if table.drawn is None:
        return held
    read = Binarized(held, table.drawn)
    return read if source.streams or read.redrawn else read.whole()
