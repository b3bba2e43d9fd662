"""Where columns come from: the built-in sources by name, and arrays given from Python.

A source is one function of its own arguments, by keyword, and a `Context`; it returns columns by name, of shape
(rows, *event). A new one is a function and its line in `SOURCES`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike
from sklearn.datasets import load_digits

from dgmspec.core.types import Type
from dgmspec.runtime.data.dataset import Column, DataError, Dataset
from dgmspec.runtime.data.support import check_column
from dgmspec.runtime.toys import TOYS

__all__ = ["SOURCES", "Context", "from_arrays", "open_source"]

Columns = dict[str, Column]
Source = Callable[..., Columns]


@dataclass(frozen=True)
class Context:
    """What a source may use besides its arguments: the seed of its draws and the folder that paths start from."""

    seed: int = 0
    folder: Path | None = None


def digits(context: Context, *, flat: bool = False, labels: bool = False) -> Columns:
    """The 1,797 handwritten digits of scikit-learn (8 × 8, grey levels 0..16).

    `x`: integer(0..16)[1, 8, 8], or [64] when flat, row by row from the top left; with `labels` also
    `label`: category(10). Source: E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998 (its test part).
    """
    table = load_digits()
    columns: Columns = {"x": table.images.astype(np.uint8).reshape((-1, 64) if flat else (-1, 1, 8, 8))}
    if labels:
        columns["label"] = table.target.astype(np.int64)
    return columns


def _toy(name: str) -> Source:
    """The source of one toy set: `n` fresh points by the context's seed, `x`: real[2]."""

    def draw(context: Context, *, n: int = 20_000, **constants: float) -> Columns:
        return {"x": TOYS[name](n, seed=context.seed, **constants)}

    own = [p for p in inspect.signature(TOYS[name]).parameters.values() if p.name not in ("n", "seed")]
    shown = inspect.signature(draw)
    fixed = [p for p in shown.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    draw.__signature__ = shown.replace(parameters=[*fixed, *own])  # type: ignore[attr-defined]
    return draw


SOURCES: Final[dict[str, Source]] = {"digits": digits, **{name: _toy(name) for name in TOYS}}
"""Every built-in source by its name in the language."""


def open_source(name: str, arguments: Mapping[str, Any], variables: Mapping[str, Type], context: Context) -> Dataset:
    """The data of a model's variables from a built-in source, checked against their types.

    A column goes to the variable of its own name, the others to the remaining variables in order of declaration.
    """
    if name not in SOURCES:
        raise DataError("DGM853", f"there is no data source `{name}`", f"the sources are {', '.join(sorted(SOURCES))}")
    source = SOURCES[name]
    try:
        inspect.signature(source).bind(context, **arguments)
    except TypeError as mistake:
        raise DataError("DGM853", f"`{name}`: {mistake}", f"`{name}` takes {_arguments(source)}") from mistake
    try:
        columns = source(context, **arguments)
    except ValueError as mistake:
        raise DataError("DGM853", f"`{name}`: {mistake}", "change the argument") from mistake
    return _checked(_bind(name, columns, variables), variables)


def from_arrays(arrays: Mapping[str, ArrayLike], variables: Mapping[str, Type]) -> Dataset:
    """The data of a model's variables from arrays by variable name, checked against their types."""
    for given in arrays:
        if given not in variables:
            raise DataError(
                "DGM853",
                f"the model has no data variable `{given}`",
                f"name the arrays after {_names(variables)}",
            )
    columns = {name: _array(name, values) for name, values in arrays.items()}
    missing = [name for name in variables if name not in columns]
    if missing:
        raise DataError("DGM853", f"there are no data for {_names(missing)}", "give an array for it")
    return _checked(columns, variables)


def _array(name: str, values: ArrayLike) -> Column:
    """`values` as an array; rows of unequal length have no shape."""
    try:
        return np.asarray(values)
    except ValueError as mistake:
        raise DataError(
            "DGM851", f"the rows of `{name}` do not have one common shape", "give a rectangular array"
        ) from mistake


def _bind(source: str, columns: Columns, variables: Mapping[str, Type]) -> Columns:
    """Columns by the names of the variables they are for."""
    free = iter([column for name, column in columns.items() if name not in variables])
    bound: Columns = {}
    for variable in variables:
        column = columns[variable] if variable in columns else next(free, None)
        if column is None:
            raise DataError(
                "DGM853",
                f"`{source}` gives {_names(columns)}, which leaves no data for `{variable}`",
                f"`{source}` takes {_arguments(SOURCES[source])}; or give the data from Python",
            )
        bound[variable] = column
    return bound


def _checked(columns: Columns, variables: Mapping[str, Type]) -> Dataset:
    """The table of the columns, once every one of them is what its variable declares."""
    dataset = Dataset({name: columns[name] for name in variables})
    for name, declared in variables.items():
        check_column(name, dataset[name], declared)
    return dataset


def _arguments(source: Source) -> str:
    """A source's arguments with their defaults, as the language writes them."""
    own = list(inspect.signature(source).parameters.values())[1:]
    return ", ".join(f"`{p.name} = {str(p.default).lower()}`" for p in own)


def _names(names: Mapping[str, Any] | list[str]) -> str:
    """Names in backquotes."""
    return ", ".join(f"`{name}`" for name in names)
