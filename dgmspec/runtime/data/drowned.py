"""Columns whose spread drowns: of so large numbers that the precision of the model hardly tells them apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from dgmspec.core.diagnostics import Diagnostic
from dgmspec.core.types import Type
from dgmspec.runtime.data.dataset import Column, Columns
from dgmspec.runtime.data.support import Origin, Precision

__all__ = ["Ranges"]

LEAST: Final = 1_000
"""Numbers of the precision within the range of a column, at least: rounding then moves a value by less than a
thousandth of that."""


class Ranges:
    """The least and the greatest of every real number of an event over rows, a part at a time."""

    def __init__(self, variables: Mapping[str, Type]) -> None:
        lines = {name: type_ for name, type_ in variables.items() if type_.support.continuous}
        self.types = {name: type_ for name, type_ in lines.items() if not type_.support.circular}
        self.found: dict[str, tuple[Column, Column]] = {}

    def add(self, columns: Columns) -> None:
        """Take more rows in."""
        for name in self.types:
            if len(columns[name]):
                low, high = columns[name].min(axis=0), columns[name].max(axis=0)
                before = self.found.get(name, (low, high))
                self.found[name] = np.minimum(low, before[0]), np.maximum(high, before[1])

    def drowned(self, origins: Mapping[str, Origin | None], read: Precision) -> tuple[Diagnostic, ...]:
        """A warning for each variable with such columns, at the first of them."""
        return tuple(found for name in self.found if (found := self._drowned(name, origins.get(name), read)))

    def _drowned(self, name: str, origin: Origin | None, read: Precision) -> Diagnostic | None:
        low, high = (np.asarray(end, np.float64) for end in self.found[name])
        apart = np.spacing(np.maximum(np.abs(low), np.abs(high)).astype(read)).astype(np.float64)
        with np.errstate(over="ignore"):
            wrong = np.argwhere((low < high) & (high - low < LEAST * apart))
        if not len(wrong):
            return None
        first = tuple(int(i) for i in wrong[0])
        where = (origin or Origin(f"`{name}`")).column(first, self.types[name].shape)
        others = f", and {len(wrong) - 1:,} more of `{name}` likewise" if len(wrong) > 1 else ""
        return Diagnostic(
            "DGM854",
            f"{where} runs from {low[first]:.12g} to {high[first]:.12g}, where the numbers of {read} are "
            f"{apart[first]:.3g} apart{others}",
            None,
            help=("subtract an offset from the data, or write `precision = float64` in the train block",),
        )
