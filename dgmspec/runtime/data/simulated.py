"""Rows that a callable of Python gives, batch by batch and without end: the pairs of a simulator.

`simulate(n, generator)` gives n rows as a dict of arrays, or of tensors, by the names of variables; what it draws from
`generator` alone is a function of the run's seed and of the batch's number. It may also give an iterator over such
dicts, as a generator function does: that is asked once, and its batches are taken in order.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import torch

from dgmspec.core.address import seed_of
from dgmspec.core.types import Type
from dgmspec.runtime.data.dataset import AbstractTable, Columns, DataError, common_rows, joined
from dgmspec.runtime.data.sources import named_columns
from dgmspec.runtime.data.support import DOUBLE, Precision, check_column, check_weights

__all__ = ["FromPython", "Simulate", "Simulated", "Simulator"]

Simulate = Callable[[int, torch.Generator], Any]
"""n and a generator -> n rows by the names of variables, or an iterator over such batches."""

FromPython = Mapping[str, Any] | Simulate
"""Data that a call gives in place of the spec's own: arrays by the names of variables, or what draws them."""

TRAINING: Final = "training"


@dataclass(frozen=True)
class Simulator:
    """Batches of `size` rows by their number; every value is checked against its variable's type, as it is `read`.

    `weights` names the array of a batch that says how much its rows count.
    """

    simulate: Simulate
    variables: Mapping[str, Type]
    size: int
    seed: int
    read: Precision = DOUBLE
    weights: str | None = None

    def __post_init__(self) -> None:
        try:
            inspect.signature(self.simulate).bind(self.size, torch.Generator())
        except TypeError as mistake:
            raise DataError(
                "DGM853", f"the callable given as `data` cannot be called with two arguments: {mistake}", _CALLED
            ) from None
        except ValueError:
            return  # one that tells no signature

    def batches(self, purpose: str = TRAINING, start: int = 0) -> Iterator[Columns]:
        """The batches for one purpose from number `start` on; of an iterator those before it are drawn and dropped."""
        given = self._call(purpose, start)
        if isinstance(given, Iterator):
            yield from self._taken(given if start == 0 else self._call(purpose, 0), purpose, start)
        else:
            while True:
                yield self._checked(given, purpose, start)
                start += 1
                given = self._call(purpose, start)

    def table(self, purpose: str, count: int) -> Simulated:
        """The rows of the first `count` batches, drawn when they are first read."""
        return Simulated(self, purpose, count)

    def _taken(self, batches: Iterator[Any], purpose: str, start: int) -> Iterator[Columns]:
        for number, given in enumerate(batches):
            if number >= start:
                yield self._checked(given, purpose, number)
                start = number + 1
        raise DataError(
            "DGM851", f"the batches given as `data` end before {_named(purpose, start)}", "yield them without end"
        )

    def _call(self, purpose: str, number: int) -> Any:
        return self.simulate(
            self.size, torch.Generator().manual_seed(seed_of(self.seed, f"simulated {purpose}", number))
        )

    def _checked(self, given: Any, purpose: str, number: int) -> Columns:
        """A batch of as many rows as were asked for, every value what its variable declares."""
        where = _named(purpose, number)
        if not isinstance(given, Mapping):
            raise DataError("DGM853", f"{where} is {_a(given)}, no dict of arrays by the names of variables", _CALLED)
        try:
            columns = named_columns(given, self.variables, self.weights)
            rows = common_rows({name: column.shape for name, column in columns.items()})
            if rows != self.size:
                raise DataError(
                    "DGM851",
                    f"it has {rows:,} rows",
                    f"give the {self.size:,} rows that are asked for by the first argument",
                )
            for name, declared in self.variables.items():
                check_column(name, columns[name], declared, read=self.read)
            if self.weights is not None:
                check_weights(self.weights, columns[self.weights])
        except DataError as error:
            raise DataError(error.code, f"{where}: {error.message}", error.help) from None
        return columns


_CALLED: Final = (
    "write `def simulate(n, generator)`: n rows, drawn by the torch.Generator, as {'theta': array, 'x': array}"
)


def _named(purpose: str, number: int) -> str:
    return f"batch {number + 1:,} of the {purpose}"


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


@dataclass(frozen=True)
class Simulated(AbstractTable):
    """The first `count` batches that a simulator draws for one purpose: rows that stay the same, in memory once read.

    Those of the training stand for all rows that it draws: statistics are taken from them.
    """

    simulator: Simulator
    purpose: str
    count: int

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.count * self.simulator.size,)

    @property
    def row_bytes(self) -> int:
        return 8 * sum(type_.size for type_ in self.simulator.variables.values())

    @property
    def streams(self) -> bool:
        return False

    @property
    def weights(self) -> str | None:
        return self.simulator.weights

    def reseeded(self, seed: int) -> AbstractTable:
        return replace(self, simulator=replace(self.simulator, seed=seed))

    def block(self, index: int) -> Columns:
        return self._drawn

    @cached_property
    def _drawn(self) -> Columns:
        batches = self.simulator.batches(self.purpose)
        return joined([next(batches) for _ in range(self.count)]).columns
