"""Means and standard deviations of rows that are never together in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Moments"]


class Moments:
    """The mean and the standard deviation of each number of an event over rows, in float64, a part at a time; rows may
    count by weights, and `rows` is the number of those that count at all.

    Parts are joined by their weights, means and sums of squared deviations, so that nothing cancels.
    Reference: Chan, Golub and LeVeque, Algorithms for computing the sample variance, The American Statistician 1983.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.weight = 0.0
        self.mean: NDArray[np.float64] = np.zeros(())
        self._squares: NDArray[np.float64] = np.zeros(())
        self._by_square: Moments | None = None

    @staticmethod
    def of(values: NDArray[Any]) -> Moments:
        """Those of some rows, (rows, *event)."""
        found = Moments()
        found.add(values)
        return found

    def add(self, values: NDArray[Any], weights: NDArray[Any] | None = None) -> None:
        """Take more rows in, (rows, *event), with their weights (rows,), all of them or none."""
        self._join(values, weights)
        if weights is not None:
            self._by_square = self._by_square or Moments()
            self._by_square._join(values, weights.astype(np.float64) ** 2)

    def _join(self, values: NDArray[Any], weights: NDArray[Any] | None) -> None:
        if weights is not None:  # rows that do not count may hold anything, infinities too
            values, weights = values[weights > 0], weights[weights > 0].astype(np.float64)
        if not len(values):
            return
        part = values.astype(np.float64)
        counts = None if weights is None else weights.reshape(-1, *(1,) * (part.ndim - 1))
        weight = float(len(part)) if weights is None else float(weights.sum())
        mean, total = _sum(part, counts) / weight, self.weight + weight
        gap = mean - self.mean
        self._squares = self._squares + _sum((part - mean) ** 2, counts) + gap**2 * (self.weight * weight / total)
        self.mean = self.mean + gap * (weight / total)
        self.rows, self.weight = self.rows + len(part), total

    def std(self, ddof: int = 0) -> NDArray[np.float64]:
        """The standard deviation, of the sample or (`ddof` 1, of rows that count alike) as an estimate of the law's."""
        return np.asarray(np.sqrt(self._squares / (self.weight - ddof)))

    @property
    def worth(self) -> float:
        """How many rows that count alike these are worth, (Σ w)² / Σ w² (Kish, Survey sampling, 1965)."""
        return float(self.rows) if self._by_square is None else self.weight**2 / self._by_square.weight

    def error(self) -> NDArray[np.float64]:
        """The standard error of the mean; infinite of a single row.

        With weights sqrt(n / (n - 1) Σ w² (x - mean)²) / Σ w, that of a ratio of means (Cochran, Sampling techniques,
        1977, chapter 6), which is the usual one where all are equal.
        """
        if self.rows < 2:
            return np.full_like(self.mean, np.inf)
        if self._by_square is None:
            return np.asarray(self.std(ddof=1) / np.sqrt(self.rows))
        other = self._by_square
        spread = other._squares + other.weight * (other.mean - self.mean) ** 2
        return np.asarray(np.sqrt(spread * (self.rows / (self.rows - 1))) / self.weight)


def _sum(values: NDArray[np.float64], counts: NDArray[np.float64] | None) -> NDArray[np.float64]:
    return np.asarray((values if counts is None else values * counts).sum(axis=0))
