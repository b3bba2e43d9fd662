"""Data as training reads them: the batches of each step as tensors on the model's device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from dgmspec.core.address import seed_of
from dgmspec.modules.compiled import CompiledModel
from dgmspec.program.program import Program
from dgmspec.runtime.data import AbstractTable, Batches, Columns, Dataset, Piece, Simulated, held_rows, mean_weight

__all__ = ["AbstractFeed", "Feed", "columns_of", "contexts_of", "feed_of", "split"]

Tensors = dict[str, Tensor]


def columns_of(
    model: CompiledModel, table: AbstractTable, blocks: Sequence[int] | None = None, weight: float | None = None
) -> Tensors:
    """The rows of some blocks, one after another (of all, if none are named), as tensors of the model's precision on
    its device; labels are numbers that nets read as one-hot. With a mean `weight` their weights too, over it."""
    chosen = [b for b in (range(len(table.sizes)) if blocks is None else blocks) if table.sizes[b]]
    parts = [_tensors(model, table.block(b), table.weights, weight) for b in chosen]
    return parts[0] if len(parts) == 1 else {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _tensors(model: CompiledModel, columns: Columns, weights: str | None, weight: float | None) -> Tensors:
    found = {name: model.as_input(name, column) for name, column in columns.items() if name != weights}
    if weights is not None and weight is not None:
        found[weights] = torch.as_tensor(columns[weights] / weight, dtype=model.dtype, device=model.device)
    return found


def split(model: CompiledModel, columns: Mapping[str, Any]) -> tuple[Any, Tensors | None]:
    """Rows of a table as the model's methods take them: the observed variables, and those that are given."""
    x = {name: model.as_input(name, columns[name]) for name in model.observed if name in columns}
    given = {name: model.as_input(name, columns[name]) for name in model.givens if name in columns}
    return (next(iter(x.values())) if len(x) == 1 else x), given or None


def contexts_of(model: CompiledModel, data: Dataset | None, count: int) -> Tensors | None:
    """What samples read of given variables, from the first `count` rows; None where the data do not hold all of it."""
    sampler, held = model.programs["sample"], {} if data is None else data.columns
    read = [i.name for i in sampler.inputs if i.kind == "given"] if isinstance(sampler, Program) else [*model.givens]
    if any(name not in held for name in read):
        return None
    return {name: model.as_input(name, held[name][:count]) for name in read}


def feed_of(model: CompiledModel, table: AbstractTable, batch: int, seed: int) -> AbstractFeed:
    """The batches that training takes from a table, or from the simulator that drew it."""
    if isinstance(table, Simulated):
        return SimulatedFeed(model, table)
    return Feed(model, table, batch, seed)


class AbstractFeed(ABC):
    """Batches by step: which rows step number s sees is a function of the data, the seed and s alone.

    `size` is the number of rows of a batch, over all processes; each takes its own share, rows `offset` to
    `offset + share`. Where the table has weights, a batch holds them by their name, over their mean in the whole table:
    so a batch needs no sum of its own, however it is divided, and its gradient is right on average.
    """

    size: int

    @abstractmethod
    def walk(self, start: int, stop: int, offset: int = 0, share: int | None = None) -> Iterator[Tensors]:
        """The batches of steps start, …, stop - 1, or a share of each."""


class SimulatedFeed(AbstractFeed):
    """The batches that a simulator draws, one a step. Every process draws the whole of each, so that the rows of a step
    do not depend on the number of processes."""

    def __init__(self, model: CompiledModel, first: Simulated) -> None:
        self.model, self.simulator, self.size = model, first.simulator, first.simulator.size
        self.weight = mean_weight(first, "the first rows of the training")

    def walk(self, start: int, stop: int, offset: int = 0, share: int | None = None) -> Iterator[Tensors]:
        last = offset + (self.size if share is None else share)
        for columns in islice(self.simulator.batches(start=start), stop - start):
            rows = {name: column[offset:last] for name, column in columns.items()}
            yield _tensors(self.model, rows, self.simulator.weights, self.weight)


class Feed(AbstractFeed):
    """The batches of a table by step; of a table that streams, a few blocks are held at a time (see `Batches`).

    Every process reads every block that is held and keeps its own share of each batch, rows `offset` to
    `offset + share`, so that the rows of a step do not depend on the number of processes. Of columns that are
    binarised anew the grey levels are held, and their bits are drawn by the seed, the step and the place in the batch.
    """

    def __init__(self, model: CompiledModel, table: AbstractTable, batch: int, seed: int) -> None:
        self.model, self.table, self.seed, self.tops = model, table.levels, seed, table.redrawn
        self.order = Batches(table.sizes, batch, seed, held_rows(table) if table.streams else None)
        self.size, self.weight = self.order.size, mean_weight(self.table, "the training rows")
        self._blocks: tuple[int, ...] = ()
        self._held: Tensors = {}

    @property
    def per_epoch(self) -> int:
        """Steps in one pass over the rows."""
        return self.order.per_epoch

    def walk(self, start: int, stop: int, offset: int = 0, share: int | None = None) -> Iterator[Tensors]:
        share = self.size if share is None else share
        for step, pieces in enumerate(self.order.walk(start, stop), start):
            parts = [self._take(piece) for piece in _cut(pieces, offset, share)]
            rows = parts[0] if len(parts) == 1 else {name: torch.cat([p[name] for p in parts]) for name in parts[0]}
            yield rows | {name: self._bits(name, rows[name], step, offset) for name in self.tops}

    def _bits(self, name: str, levels: Tensor, step: int, offset: int) -> Tensor:
        """Bits that are 1 with the share of their level in the brightest as probability."""
        generator = torch.Generator().manual_seed(seed_of(self.seed, f"binarize {name}", step))
        drawn = torch.rand(self.size, *levels.shape[1:], generator=generator)[offset : offset + len(levels)]
        return (drawn.to(levels.device) < levels / self.tops[name]).to(levels.dtype)

    def _take(self, piece: Piece) -> Tensors:
        if piece.blocks != self._blocks:
            self._held = {}  # let go of the old blocks before the new ones are read
            self._held = columns_of(self.model, self.table, piece.blocks, self.weight)
            self._blocks = piece.blocks
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
