"""A table as training reads it: the batches of each step as tensors on the model's device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from dgmspec.core.address import seed_of
from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.data import AbstractTable, Batches, Piece, held_rows

__all__ = ["Feed", "columns_of"]

Tensors = dict[str, Tensor]


def columns_of(model: CompiledModel, table: AbstractTable, blocks: Sequence[int] | None = None) -> Tensors:
    """The rows of some blocks, one after another (of all, if none are named), as tensors of the model's precision on
    its device; labels are numbers that nets read as one-hot."""
    chosen = [b for b in (range(len(table.sizes)) if blocks is None else blocks) if table.sizes[b]]
    parts = [{name: model.as_input(name, column) for name, column in table.block(b).items()} for b in chosen]
    return parts[0] if len(parts) == 1 else {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


class Feed:
    """The batches of a table by step; of a table that streams, a few blocks are held at a time (see `Batches`).

    Every process reads every block that is held and keeps its own share of each batch, rows `offset` to
    `offset + share`, so that the rows of a step do not depend on the number of processes. Of columns that are
    binarised anew the grey levels are held, and their bits are drawn by the seed, the step and the place in the batch.
    """

    def __init__(self, model: CompiledModel, table: AbstractTable, batch: int, seed: int) -> None:
        self.model, self.table, self.seed, self.tops = model, table.levels, seed, table.redrawn
        self.order = Batches(table.sizes, batch, seed, held_rows(table) if table.streams else None)
        self._blocks: tuple[int, ...] = ()
        self._held: Tensors = {}

    def walk(self, start: int, stop: int, offset: int = 0, share: int | None = None) -> Iterator[Tensors]:
        """The batches of steps start, …, stop - 1, or a share of each."""
        share = self.order.size if share is None else share
        for step, pieces in enumerate(self.order.walk(start, stop), start):
            parts = [self._take(piece) for piece in _cut(pieces, offset, share)]
            rows = parts[0] if len(parts) == 1 else {name: torch.cat([p[name] for p in parts]) for name in parts[0]}
            yield rows | {name: self._bits(name, rows[name], step, offset) for name in self.tops}

    def _bits(self, name: str, levels: Tensor, step: int, offset: int) -> Tensor:
        """Bits that are 1 with the share of their level in the brightest as probability."""
        generator = torch.Generator().manual_seed(seed_of(self.seed, f"binarize {name}", step))
        drawn = torch.rand(self.order.size, *levels.shape[1:], generator=generator)[offset : offset + len(levels)]
        return (drawn.to(levels.device) < levels / self.tops[name]).to(levels.dtype)

    def _take(self, piece: Piece) -> Tensors:
        if piece.blocks != self._blocks:
            self._held = {}  # let go of the old blocks before the new ones are read
            self._held, self._blocks = columns_of(self.model, self.table, piece.blocks), piece.blocks
        index = torch.from_numpy(piece.rows).to(self.model.device)
        return {name: column.index_select(0, index) for name, column in self._held.items()}


def _cut(pieces: Sequence[Piece], offset: int, share: int) -> Iterator[Piece]:
    """The pieces that hold rows `offset` to `offset + share` of a batch."""
    seen = 0
    for piece in pieces:
        rows = piece.rows[max(0, offset - seen) : max(0, offset + share - seen)]
        if len(rows):
            yield Piece(piece.blocks, rows)
        seen += len(piece.rows)
