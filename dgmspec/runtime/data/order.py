"""The order in which training walks through the rows of a table, whether all of them are held or a few blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dgmspec.runtime.data.dataset import Indices
from dgmspec.runtime.keyed import keyed_generator

__all__ = ["Batches", "Piece"]


@dataclass(frozen=True)
class Piece:
    """A batch, or a part of one: `rows` among those of `blocks`, which are read together and joined in that order."""

    blocks: tuple[int, ...]
    rows: Indices


@dataclass(frozen=True)
class Batches:
    """Shuffled epochs: which rows step number s uses is a function of (sizes, held, batch, seed, s).

    An epoch shuffles the blocks (of `sizes` rows), takes as many of them at a time as fit into `held` rows, one at
    least, and shuffles the rows of those together; a table of one block, or held whole, is shuffled as a whole. So
    every row comes once an epoch, and a resumed run and every process of a parallel one see the same order; a process
    takes its share of each batch. Rows that do not fill a last batch sit that epoch out (others in the next); fewer
    rows than `batch` make one batch of them all.
    """

    sizes: tuple[int, ...]
    batch: int
    seed: int
    held: int | None = None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(self.sizes)

    @property
    def size(self) -> int:
        """Rows in each batch, over all processes."""
        return min(self.batch, self.rows)

    @property
    def per_epoch(self) -> int:
        """Steps in one epoch."""
        return self.rows // self.size

    def windows(self, epoch: int) -> Iterator[tuple[int, ...]]:
        """The blocks that epoch number `epoch` holds together, one set after another."""
        several = len(self.sizes) > 1
        order = keyed_generator("blocks", self.seed, epoch).permutation(len(self.sizes)).tolist() if several else [0]
        window: list[int] = []
        count = 0
        for block in order:
            if window and self.held is not None and count + self.sizes[block] > self.held:
                yield tuple(window)
                window, count = [], 0
            window.append(block)
            count += self.sizes[block]
        yield tuple(window)

    def order(self, epoch: int, window: int, count: int) -> Indices:
        """The permutation of the `count` rows of the `window`-th set of blocks of an epoch."""
        purpose = f"epoch, window {window}" if window else "epoch"
        return keyed_generator(purpose, self.seed, epoch).permutation(count)

    def walk(self, start: int, stop: int) -> Iterator[tuple[Piece, ...]]:
        """The rows of steps start, …, stop - 1; a batch is in pieces where it spans several sets of blocks."""
        step = start
        while step < stop:
            epoch, place = divmod(step, self.per_epoch)
            last = min(self.per_epoch, place + stop - step)
            yield from self._part(epoch, place * self.size, last * self.size)
            step += last - place

    def _part(self, epoch: int, start: int, stop: int) -> Iterator[tuple[Piece, ...]]:
        """The batches between two places of an epoch's order; what lies before is passed over without a draw."""
        pieces: list[Piece] = []
        seen, wanted = 0, self.size
        for number, blocks in enumerate(self.windows(epoch)):
            count = sum(self.sizes[block] for block in blocks)
            low, high = max(start - seen, 0), min(count, stop - seen)
            order = self.order(epoch, number, count) if low < high else None
            while order is not None and low < high:
                taken = min(wanted, high - low)
                pieces.append(Piece(blocks, order[low : low + taken]))
                low, wanted = low + taken, wanted - taken
                if not wanted:
                    yield tuple(pieces)
                    pieces, wanted = [], self.size
            seen += count
