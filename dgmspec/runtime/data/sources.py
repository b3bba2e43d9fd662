"""Where columns come from: the built-in sources by name, and arrays given from Python.

A source is one function of its own arguments, by keyword, and a `Context`; it returns `Rows`: columns by name, of
shape (rows, *event), in blocks. A new one is a function and its line in `SOURCES`. Sources of files are imported when
they are used, so that nobody waits for a reader of tables who trains on the digits.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.datasets import load_digits
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.runtime.data.binarized import Asked, Levels, asked
from dgmspec.runtime.data.context import Context
from dgmspec.runtime.data.dataset import AbstractTable, Column, DataError
from dgmspec.runtime.data.streamed import Rows, table_of
from dgmspec.runtime.data.support import DOUBLE, WEIGHT, Precision
from dgmspec.runtime.toys import TOYS

__all__ = ["SOURCES", "from_arrays", "named_columns", "open_source"]

Source = Callable[..., Rows]


def digits(context: Context, *, flat: bool = False, labels: bool = False) -> Rows:
    """The 1,797 handwritten digits of scikit-learn (8 × 8, grey levels 0..16).

    `x`: integer(0..16)[1, 8, 8], or [64] when flat, row by row from the top left; with `labels` also `label`:
    category(10).
    Source: E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998 (its test part).
    """
    table = load_digits()
    columns: dict[str, Column] = {"x": table.images.astype(np.uint8).reshape((-1, 64) if flat else (-1, 1, 8, 8))}
    if labels:
        columns["label"] = table.target.astype(np.int64)
    return replace(Rows.of(columns), white=16.0)


def _toy(name: str) -> Source:
    """The source of one toy set: `n` fresh points by the context's seed, `x`: real[2]."""

    def draw(context: Context, *, n: int = 20_000, **constants: float) -> Rows:
        return Rows.of({"x": TOYS[name](n, seed=context.seed, **constants)})

    own = [p for p in inspect.signature(TOYS[name]).parameters.values() if p.name not in ("n", "seed")]
    shown = inspect.signature(draw)
    fixed = [p for p in shown.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    draw.__signature__ = shown.replace(parameters=[*fixed, *own])  # type: ignore[attr-defined]
    return draw


def _file(module: str, name: str) -> Source:
    """The source of that name in a module of this package, imported when it is first read."""

    def read(context: Context, *, path: str, **arguments: Any) -> Rows:
        source: Source = getattr(importlib.import_module(f"dgmspec.runtime.data.{module}"), name)
        return source(context, path=path, **arguments)

    return read


SOURCES: Final[dict[str, Source]] = {
    "digits": digits,
    **{name: _toy(name) for name in TOYS},
    "csv": _file("tables", "csv"),
    "parquet": _file("tables", "parquet"),
    "npy": _file("files", "npy"),
    "npz": _file("files", "npz"),
    "idx": _file("files", "idx"),
    "images": _file("images", "images"),
}
"""Every built-in source by its name in the language."""


def open_source(
    name: str,
    arguments: Mapping[str, Any],
    variables: Mapping[str, Type],
    context: Context,
    weights: str | None = None,
) -> AbstractTable:
    """The data of a model's variables from a built-in source, checked against their types.

    A column goes to the variable of its own name, the others to the remaining variables in order of declaration; the
    column `weights` is kept beside them. Beside the source's own arguments `binarize` says how grey levels become bits,
    and `white` which level is surely 1; `bits` says both of single variables.
    """
    if name not in SOURCES:
        raise DataError("DGM853", f"there is no data source `{name}`", f"the sources are {', '.join(sorted(SOURCES))}")
    source, arguments = SOURCES[name], dict(arguments)
    how, white, own = arguments.pop("binarize", "none"), arguments.pop("white", None), arguments.pop("bits", {})
    try:
        inspect.signature(source).bind(context, **arguments)
    except TypeError as mistake:
        raise DataError("DGM853", f"`{name}`: {mistake}", f"`{name}` takes {_arguments(source)}") from mistake
    try:
        rows = source(replace(context, variables=_with(weights, variables)), **arguments)
    except ValueError as mistake:
        raise DataError("DGM853", f"`{name}`: {mistake}", "change the argument") from mistake
    bound = _bind(name, [column for column in rows.names if column != weights], variables)
    if white is not None and how == "none":
        raise DataError("DGM853", "`white` is the brightest level of `binarize`", "write `binarize`, or leave it out")
    levels = asked(variables, how, white, {name: (bits.how, bits.white) for name, bits in own.items()})
    drawn = _drawn(rows, bound, levels, context.seed) if levels else None
    if weights is not None:
        bound[weights] = _column_of(weights, name, rows.names)
    return table_of(rows, bound, variables, drawn, context.read, weights)


def _with(weights: str | None, variables: Mapping[str, Type]) -> Mapping[str, Type]:
    """The variables, and the weights as one more, for a source, which reads them like any column."""
    return variables if weights is None else {**variables, weights: WEIGHT}


def _column_of(weights: str, source: str, columns: Sequence[str]) -> str:
    """The column of the weights, which is that of their name alone."""
    if weights not in columns:
        raise DataError(
            "DGM853",
            f"`{source}` gives {_names(columns)}, and no column `{weights}` of weights",
            "take the data from a file that has one, `csv` say, or give them from Python",
        )
    return weights


def _drawn(rows: Rows, bound: Mapping[str, str], levels: Mapping[str, Asked], seed: int) -> Levels:
    """The grey levels among a source's columns that become bits."""
    first = rows.blocks[0].read()
    return Levels.of({variable: first[column] for variable, column in bound.items()}, levels, rows.white, seed)


def from_arrays(
    arrays: Mapping[str, ArrayLike],
    variables: Mapping[str, Type],
    read: Precision = DOUBLE,
    weights: str | None = None,
) -> AbstractTable:
    """The data of a model's variables from arrays by variable name, checked against their types as they will be `read`
    in the model's precision; `weights` is the name of one more, with the weights of the rows."""
    columns = named_columns(arrays, variables, weights)
    return table_of(Rows.of(columns), {name: name for name in columns}, variables, read=read, weights=weights)


def named_columns(
    arrays: Mapping[str, ArrayLike], variables: Mapping[str, Type], weights: str | None = None
) -> dict[str, Column]:
    """One array for each variable and for the weights, and none for anything else."""
    variables = _with(weights, variables)
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
    return {name: columns[name] for name in variables}


def _array(name: str, values: ArrayLike) -> Column:
    """`values` as an array; rows of unequal length have no shape."""
    try:
        return np.asarray(_host(values) if isinstance(values, Tensor) else values)
    except ValueError as mistake:
        raise DataError(
            "DGM851", f"the rows of `{name}` do not have one common shape", "give a rectangular array"
        ) from mistake


def _host(values: Tensor) -> Tensor:
    """A tensor as NumPy can hold it, which has no bfloat16."""
    values = values.detach().cpu()
    return values.float() if values.dtype == torch.bfloat16 else values


def _bind(source: str, columns: Sequence[str], variables: Mapping[str, Type]) -> dict[str, str]:
    """The variables, each with the column that is for it."""
    free = iter([name for name in columns if name not in variables])
    bound: dict[str, str] = {}
    for variable in variables:
        column = variable if variable in columns else next(free, None)
        if column is None:
            raise DataError(
                "DGM853",
                f"`{source}` gives {_names(columns)}, which leaves no data for `{variable}`",
                f"`{source}` takes {_arguments(SOURCES[source])}; or give the data from Python",
            )
        bound[variable] = column
    return bound


def _arguments(source: Source) -> str:
    """A source's arguments with their defaults, as the language writes them."""
    own = [p for p in inspect.signature(source).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    return ", ".join(
        f"`{p.name}`" if p.default is inspect.Parameter.empty else f"`{p.name} = {str(p.default).lower()}`" for p in own
    )


def _names(names: Iterable[str]) -> str:
    """Names in backquotes."""
    return ", ".join(f"`{name}`" for name in names)
