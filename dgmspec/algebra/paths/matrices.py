"""Small dense matrices as tuples of rows of floats, for what is worked out once before anything runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul
from typing import Final

Row = tuple[float, ...]
Matrix = tuple[Row, ...]

__all__ = ["LOST", "Matrix", "Row", "factor", "identity", "product", "solved", "transposed"]

LOST: Final = 1e-11
"""The share of a row that is rounding, once all that the rows above hold of it is taken away."""


def identity(size: int) -> Matrix:
    """Ones on the diagonal."""
    return tuple(tuple(float(i == j) for j in range(size)) for i in range(size))


def transposed(a: Sequence[Sequence[float]]) -> Matrix:
    """Rows for columns."""
    return tuple(zip(*a, strict=True))


def product(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> Matrix:
    """A B."""
    columns = transposed(b)
    return tuple(tuple(sum(map(mul, row, column)) for column in columns) for row in a)


def factor(rows: Sequence[Sequence[float]]) -> Matrix:
    """The lower triangular L with positive diagonal and L Lᵀ = M Mᵀ, for the rows of M.

    Row by row, by Gram and Schmidt's modified process: each row keeps the accuracy of M's, which the Cholesky factor of
    M Mᵀ loses where the rows are nearly dependent. A diagonal entry is 0 where less than `LOST` of a row is left.
    """
    units: list[list[float]] = []
    found: list[Row] = []
    for row in rows:
        left, entries = list(row), list[float]()
        for unit in units:
            share = sum(map(mul, unit, left))
            left = [x - share * u for x, u in zip(left, unit, strict=True)]
            entries.append(share)
        length = math.hypot(*left)
        if length <= LOST * math.hypot(*row):
            length = 0.0
        units.append([x / length for x in left] if length else [0.0] * len(left))
        found.append((*entries, length, *(0.0,) * (len(rows) - len(entries) - 1)))
    return tuple(found)


def solved(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> Matrix:
    """A⁻¹ B, by elimination with row pivots; numbers that are no numbers where A is singular."""
    size = len(a)
    rows = [[*left, *right] for left, right in zip(a, b, strict=True)]
    for k in range(size):
        best = max(range(k, size), key=lambda i: abs(rows[i][k]))
        rows[k], rows[best] = rows[best], rows[k]
        if not rows[k][k]:
            return tuple((math.nan,) * (len(rows[0]) - size) for _ in range(size))
        rows[k] = [x / rows[k][k] for x in rows[k]]
        for i in range(size):
            if i != k and rows[i][k]:
                share = rows[i][k]
                rows[i] = [x - share * y for x, y in zip(rows[i], rows[k], strict=True)]
    return tuple(tuple(row[size:]) for row in rows)
