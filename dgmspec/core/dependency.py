"""Boolean dependency matrices: which output can depend on which input, up to cancellation.

Absence is proved, presence is possible. A row is one Python integer of bits, so that a product of two patterns over 512
coordinates costs a few milliseconds; products, inverses and orders are remembered, as chains repeat their steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache


class Structure(Enum):
    """The named pattern of a Jacobian, from the smallest class to the largest.

    A class holds all that a promise of absence allows: ``dense`` promises no zero, it does not say that none is there.
    """

    IDENTITY = "identity"
    PERMUTATION = "permutation"
    DIAGONAL = "diagonal"
    PERMUTED_DIAGONAL = "permuted diagonal"
    LOWER = "lower triangular"
    UPPER = "upper triangular"
    BLOCK_TRIANGULAR = "triangular"
    """Triangular once the coordinates are put in some other order (`Dependency.order`)."""
    DENSE = "dense"
    TRACE = "trace"
    """Not formed at all: the log-determinant is the integral of a trace."""
    UNKNOWN = "not computed"


def row_bits(indices: Iterable[int]) -> int:
    """A row of the dependency matrix with ones at `indices`."""
    bits = 0
    for index in indices:
        bits |= 1 << index
    return bits


def bit_indices(row: int) -> Iterator[int]:
    """The indices of the ones of a row, ascending."""
    while row:
        low = row & -row
        yield low.bit_length() - 1
        row ^= low


@dataclass(frozen=True)
class Dependency:
    """A boolean matrix, `rows[i]` holding bit j iff output i can depend on input j."""

    rows: tuple[int, ...]
    columns: int

    @staticmethod
    def diagonal(size: int) -> Dependency:
        """Every output depends on its own input alone."""
        return Dependency(tuple(1 << i for i in range(size)), size)

    @staticmethod
    def full(size: int) -> Dependency:
        """Every output may depend on every input."""
        return Dependency(((1 << size) - 1,) * size, size)

    @staticmethod
    def lower(size: int) -> Dependency:
        """Output i may depend on the inputs 0..i."""
        return Dependency(tuple((2 << i) - 1 for i in range(size)), size)

    @staticmethod
    def upper(size: int) -> Dependency:
        """Output i may depend on the inputs i..size-1."""
        return Dependency(tuple((1 << size) - (1 << i) for i in range(size)), size)

    @staticmethod
    def permutation(source: tuple[int, ...]) -> Dependency:
        """Output i is input source[i]."""
        return Dependency(tuple(1 << j for j in source), len(source))

    @property
    def is_full(self) -> bool:
        """Whether every output may depend on every input."""
        return all(row == (1 << self.columns) - 1 for row in self.rows)

    def depends(self, output: int, on: int) -> bool:
        """Whether output `output` can depend on input `on`."""
        return bool(self.rows[output] >> on & 1)

    def transposed(self) -> Dependency:
        """Row j holds the outputs that can depend on input j."""
        rows = [0] * self.columns
        for i, row in enumerate(self.rows):
            for j in bit_indices(row):
                rows[j] |= 1 << i
        return Dependency(tuple(rows), len(self.rows))

    def then(self, after: Dependency) -> Dependency:
        """The dependency of `after` applied to this one's outputs: the boolean product, O(n² / 8) row unions."""
        assert after.columns == len(self.rows), "patterns of different sizes do not compose"
        return _product(self, after)

    def inverse(self) -> Dependency:
        """The pattern of the inverse matrix; exact up to cancellation.

        With the columns matched to the rows so that the diagonal has no zero, the inverse is a polynomial in the
        matrix (Cayley and Hamilton), hence its pattern lies in the reflexive-transitive closure; undoing the matching
        puts the rows back.
        """
        return _inverse(self)

    def order(self) -> tuple[int, ...] | None:
        """An order of the coordinates in which the pattern is lower triangular, or None where there is none."""
        return _order(self)

    def structure(self) -> Structure:
        """The smallest named class that holds this pattern, whatever the values on it."""
        if all(row == 1 << i for i, row in enumerate(self.rows)):
            return Structure.DIAGONAL
        if all(row.bit_count() == 1 for row in self.rows) and len(set(self.rows)) == len(self.rows):
            return Structure.PERMUTED_DIAGONAL
        if all(row >> i == 1 for i, row in enumerate(self.rows)):
            return Structure.LOWER
        if all(row >> i & 1 and not row & ((1 << i) - 1) for i, row in enumerate(self.rows)):
            return Structure.UPPER
        return Structure.DENSE if self.order() is None else Structure.BLOCK_TRIANGULAR


@lru_cache(maxsize=256)
def _product(first: Dependency, after: Dependency) -> Dependency:
    """Each distinct row of `after` as the union of the rows of `first` that it selects, eight at a time.

    The unions of every eight neighbouring rows are tabulated once, after which a row costs n/8 look-ups.
    """
    seen: dict[int, int] = {1 << i: row for i, row in enumerate(first.rows)}
    starts = () if seen.keys() >= set(after.rows) else range(0, len(first.rows), 8)
    tables = [_unions(first.rows[start : start + 8]) for start in starts]
    for row in after.rows:
        if row not in seen:
            total = 0
            for table, byte in zip(tables, row.to_bytes(len(tables), "little"), strict=True):
                if byte:
                    total |= table[byte]
            seen[row] = total
    return Dependency(tuple(seen[row] for row in after.rows), first.columns)


def _unions(rows: tuple[int, ...]) -> list[int]:
    """The union of every subset of at most eight rows, indexed by the subset's bits."""
    table = [0]
    for row in rows:
        table += [row | union for union in table]
    return table


@lru_cache(maxsize=256)
def _inverse(pattern: Dependency) -> Dependency:
    """See `Dependency.inverse`."""
    if pattern.structure() in (Structure.DIAGONAL, Structure.PERMUTED_DIAGONAL):
        return pattern.transposed()
    row_of = _matching(pattern)
    closed = Dependency(tuple(pattern.rows[i] for i in row_of), pattern.columns)
    while (squared := closed.then(closed)) != closed:
        closed = squared
    if row_of == list(range(len(row_of))):
        return closed
    return Dependency.permutation(tuple(row_of)).then(closed)


def _matching(pattern: Dependency) -> list[int]:
    """For each column j the row matched to it, a row that may hold a non-zero there (its own where it may).

    Augmenting paths (Kuhn), breadth first, started from the diagonal.
    """
    assert len(pattern.rows) == pattern.columns, "only square patterns have an inverse"
    row_of = [i if row >> i & 1 else -1 for i, row in enumerate(pattern.rows)]
    for start in [i for i, j in enumerate(row_of) if j < 0]:
        reached_from: dict[int, int] = {}
        queue, free, unseen = [start], -1, (1 << pattern.columns) - 1
        while queue and free < 0:
            row = queue.pop(0)
            for column in bit_indices(pattern.rows[row] & unseen):
                reached_from[column] = row
                unseen ^= 1 << column
                if row_of[column] < 0:
                    free = column
                    break
                queue.append(row_of[column])
        assert free >= 0, "the Jacobian of an invertible map has a non-zero transversal"
        while free >= 0:
            row = reached_from[free]
            before = row_of.index(row) if row in row_of else -1
            row_of[free], free = row, before
    return row_of


@lru_cache(maxsize=256)
def _order(pattern: Dependency) -> tuple[int, ...] | None:
    """A topological order by rounds: what depends on nothing unplaced but itself comes next."""
    if not all(row >> i & 1 for i, row in enumerate(pattern.rows)):
        return None
    placed, order = 0, list[int]()
    left = sorted(range(len(pattern.rows)), key=lambda i: pattern.rows[i].bit_count())
    while left:
        waiting = []
        for i in left:
            if pattern.rows[i] & ~placed == 1 << i:
                placed |= 1 << i
                order.append(i)
            else:
                waiting.append(i)
        if len(waiting) == len(left):
            return None
        left = waiting
    return tuple(order)
