"""Rows that do not all count alike: what their weights must be together, their mean, rows drawn by them."""

from __future__ import annotations

from typing import Final

import numpy as np

from dgmspec.runtime.data.dataset import AbstractTable, Column, DataError, Dataset
from dgmspec.runtime.keyed import keyed_generator

__all__ = ["by_weight", "check_total", "mean_weight", "total_of"]

_SUMS: Final = (1e-150, 1e150)
"""The least and the greatest sum of weights, whose square is a number too."""


def total_of(weights: Column) -> float:
    """The sum of weights, in float64."""
    with np.errstate(over="ignore"):
        return float(weights.sum(dtype=np.float64))


def check_total(name: str, total: float, of: str) -> None:
    """Raise a `DataError` where weights, or numbers as small or large as they are, leave nothing to divide by."""
    if total == 0:
        message = f"all weights `{name}` of {of} are 0"
        raise DataError("DGM852", message, "give some of these rows a positive weight, or leave `weights` out")
    if not _SUMS[0] <= total <= _SUMS[1]:
        message = f"the weights `{name}` of {of} add up to {total:g}"
        raise DataError("DGM852", message, "divide them by their mean: only their ratios matter")


def mean_weight(table: AbstractTable, of: str) -> float | None:
    """The mean of a table's weights, by which its rows' are divided so that they are 1 on average; None without any.
    `of` says which rows they are, should all be 0."""
    name = table.weights
    if name is None:
        return None
    total = sum(total_of(table.block(index)[name]) for index, rows in enumerate(table.sizes) if rows)
    check_total(name, total, of)
    return total / table.rows


def by_weight(rows: Dataset, seed: int) -> Dataset:
    """As many rows in their order, each as often as its weight says, up to a draw (systematic resampling); the same
    rows where none has a weight. For what reads rows alone: pictures, and models that are fitted beside."""
    upto = np.zeros(1) if rows.weights is None else np.cumsum(rows[rows.weights], dtype=np.float64)
    if not upto.any():
        return rows
    places = (np.arange(rows.rows) + keyed_generator("by weight", seed, 0).random()) / rows.rows
    chosen = np.searchsorted(upto, places * upto[-1], "right").clip(max=rows.rows - 1)
    return Dataset({name: column[chosen] for name, column in rows.columns.items() if name != rows.weights})
