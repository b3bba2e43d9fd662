"""Means and standard deviations of rows that are never together in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Moments"]


class Moments:
    """The mean and the standard deviation of each number of an event over rows, in float64, a part at a time.

    Parts are joined by their counts, means and sums of squared deviations, so that nothing cancels.
    Reference: Chan, Golub and LeVeque, Algorithms for computing the sample variance, The American Statistician 1983.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.mean: NDArray[np.float64] = np.zeros(())
        self._squares: NDArray[np.float64] = np.zeros(())

    @staticmethod
    def of(values: NDArray[Any]) -> Moments:
        """Those of some rows, (rows, *event)."""
        found = Moments()
        found.add(values)
        return found

    def add(self, values: NDArray[Any]) -> None:
        """Take more rows in, (rows, *event)."""
        if not len(values):
            return
        part = values.astype(np.float64)
        mean, total = part.mean(axis=0), self.rows + len(part)
        gap = mean - self.mean
        self._squares = self._squares + ((part - mean) ** 2).sum(axis=0) + gap**2 * (self.rows * len(part) / total)
        self.mean = self.mean + gap * (len(part) / total)
        self.rows = total

    def std(self, ddof: int = 0) -> NDArray[np.float64]:
        """The standard deviation, of the sample or (`ddof` 1) as an estimate of the law's."""
        return np.asarray(np.sqrt(self._squares / (self.rows - ddof)))
