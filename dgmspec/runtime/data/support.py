"""Whether a column is what the variable's type says: its shape, and every value in the support."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from dgmspec.core.types import REAL, Support, SupportKind, Type
from dgmspec.runtime.data.dataset import Column, DataError

__all__ = ["DOUBLE", "WEIGHT", "Origin", "Precision", "check_column", "check_levels", "check_weights", "precision"]

Precision = np.dtype[np.floating[Any]]

DOUBLE: Final[Precision] = np.dtype(np.float64)

WEIGHT: Final = Type(REAL)
"""What the weight of a row is, which is none of the model's variables: a number, from 0 up."""

_CHUNK: Final = 65_536  # rows tested at once, so that a large column needs no second copy of itself
_SIMPLEX_TOLERANCE: Final = 1e-5
_ROUNDING: Final = 1e-7


@dataclass(frozen=True)
class Origin:
    """Where the rows of a column stand, for messages: of what, in which unit and from which number they are counted.

    `columns` are the names of a table's columns, one for each number of an event in row-major order; `rows` are names
    that stand in place of the numbers of rows.
    """

    of: str
    unit: str = "row"
    first: int = 0
    note: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()

    def row(self, index: int) -> str:
        """``row 3 of `x` ``, or a line of a file."""
        return f"{self._row(index)} of {self.of}{self.note}"

    def value(self, index: int, place: tuple[int, ...], shape: tuple[int, ...]) -> str:
        """The place of one number of an event of that shape."""
        column = self._column(place, shape)
        return f"{self._row(index)}{', ' * bool(column)}{column} of {self.of}{self.note}"

    def column(self, place: tuple[int, ...], shape: tuple[int, ...]) -> str:
        """One number of the event in all rows; the whole where the event is a number without a name."""
        column = self._column(place, shape)
        return f"{column} of {self.of}" if column else self.of

    def _column(self, place: tuple[int, ...], shape: tuple[int, ...]) -> str:
        if self.columns:
            return f"column `{self.columns[int(np.ravel_multi_index(place, shape)) if place else 0]}`"
        return f"column {_shape(place)}" if place else ""

    def _row(self, index: int) -> str:
        return f"`{self.rows[index]}`" if self.rows else f"{self.unit} {index + self.first}"


def precision(dtype: torch.dtype) -> Precision:
    """The precision that a model reads numbers in, as NumPy has it."""
    return np.dtype(str(dtype).removeprefix("torch."))


def check_column(
    name: str, column: Column, declared: Type, origin: Origin | None = None, read: Precision = DOUBLE
) -> None:
    """Raise a `DataError`, naming the first offending place, unless `column` (rows, *event) holds `declared` values,
    and does so still when they are `read` in a model's precision."""
    _check_shape(name, column, declared, origin)
    origin = origin or Origin(f"`{name}`")
    for start in range(0, len(column), _CHUNK):
        rows = column[start : start + _CHUNK]
        wrong = _outside(rows, declared.support, read)
        if wrong.any():
            first = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise _refusal(name, origin, (start + first[0], *first[1:]), rows[first], declared, read)


def check_levels(name: str, column: Column, declared: Type, top: float, origin: Origin | None = None) -> None:
    """Raise a `DataError` at the first of the grey levels of a column that is no number from 0 to `top`."""
    _check_shape(name, column, declared, origin)
    origin = origin or Origin(f"`{name}`")
    for start in range(0, len(column), _CHUNK):
        wrong = ~((column[start : start + _CHUNK] >= 0) & (column[start : start + _CHUNK] <= top))
        if wrong.any():
            row, *place = (int(i) for i in np.argwhere(wrong)[0])
            where = origin.value(start + row, tuple(place), declared.shape)
            raise DataError(
                "DGM852",
                f"{where} is {float(column[(start + row, *place)]):g}, and grey levels are 0..{top:g}",
                "write the level that is surely 1, such as `white = 255`, beside `binarize`",
            )


def check_weights(name: str, column: Column, origin: Origin | None = None) -> None:
    """Raise a `DataError` at the first of the weights of rows that is no finite number from 0 up."""
    if column.shape[1:]:
        where = f" in {origin.of}" if origin else ""
        message = f"the weights `{name}`{where} have the shape {_shape(column.shape[1:])} a row"
        raise DataError("DGM851", message, "give one number a row")
    _check_shape(name, column, WEIGHT, origin)
    origin = origin or Origin(f"`{name}`")
    for start in range(0, len(column), _CHUNK):
        weights = column[start : start + _CHUNK].astype(np.float64)
        wrong = ~(np.isfinite(weights) & (weights >= 0))
        if wrong.any():
            row = int(np.argmax(wrong))
            number, where = float(weights[row]), origin.value(start + row, (), ())
            if not np.isfinite(number):
                raise _no_number(where, number)
            message = f"{where} is {number:g}, and the weight of a row is a number from 0 up"
            raise DataError("DGM852", message, "drop the row, or give it the weight 0")


def _check_shape(name: str, column: Column, declared: Type, origin: Origin | None) -> None:
    """Numbers, in the declared shape."""
    source = f" in {origin.of}" if origin else ""
    if column.dtype.kind not in "biuf":
        raise DataError(
            "DGM852",
            f"the data of `{name}`{source} are not numbers but {column.dtype.name} values",
            "convert the column to numbers first; labels of `category(k)` are the integers 0..k-1",
        )
    if column.shape[1:] != declared.shape:
        raise DataError(
            "DGM851",
            f"`{name}` is declared {declared}, shape {_shape(declared.shape)}, but its data{source} have the shape "
            f"{_shape(column.shape[1:])} a row",
            _reshaping(name, column, declared),
        )


def _outside(rows: Column, support: Support, read: Precision) -> NDArray[np.bool_]:
    """Where `rows`, as they are `read`, leave the support; a broken simplex row is marked at its first coordinate."""
    values = rows.astype(np.float64)
    with np.errstate(over="ignore"):
        rounded, low, high = values.astype(read, copy=False), read.type(support.low), read.type(support.high)
    wrong: NDArray[np.bool_]
    match support.kind:
        case SupportKind.CONTINUOUS:
            wrong = ~(np.isfinite(rounded) & (rounded > low) & (rounded < high))
        case SupportKind.CIRCLE:  # both ends are the same angle, up to rounding in single precision
            wrong = ~(np.isfinite(values) & (np.abs(values) <= support.high * (1 + _ROUNDING)))
        case SupportKind.INTEGER | SupportKind.CATEGORY:
            wrong = ~((values >= support.low) & (values <= support.high) & (rounded == np.floor(values)))
        case SupportKind.SIMPLEX:
            wrong = ~(np.isfinite(values) & (values >= 0))
            off = np.abs(values.sum(axis=-1) - 1) > _SIMPLEX_TOLERANCE
            wrong[..., 0] |= off & ~wrong.any(axis=-1)
    return wrong


def _refusal(
    name: str, origin: Origin, place: tuple[int, ...], value: object, declared: Type, read: Precision
) -> DataError:
    """The message for one value that cannot be: where, what, and what was declared."""
    row, *event = place
    where = origin.value(row, tuple(event), declared.shape)
    number = float(value)  # type: ignore[arg-type]
    if not np.isfinite(number):
        return _no_number(where, number)
    if declared.support.kind is SupportKind.SIMPLEX and number >= 0:
        message = f"{origin.row(row)} does not add up to 1, as {declared} demands"
        return DataError("DGM852", message, "divide each row by its sum")
    if not _outside(np.asarray(value)[None], declared.support, DOUBLE).any():
        help_ = "write `precision = float64` in the train block, or rescale the data"
        shown = np.asarray(value).item()
        return DataError("DGM852", f"{where} is {shown}, {_rounding(number, declared, read)}", help_)
    labels = declared.support.kind is SupportKind.CATEGORY
    allowed = f"the labels 0..{int(declared.support.high)}" if labels else declared.support.describe()
    message = f"{where} is {number:g}, outside {allowed}, the support of the declared {declared}"
    return DataError("DGM852", message, _remedy(name, number, declared.support))


def _no_number(where: str, number: float) -> DataError:
    what = "is missing (NaN)" if np.isnan(number) else f"is {number:g}"
    return DataError("DGM852", f"{where} {what}", "drop the row, or fill the value in, before training")


def _rounding(number: float, declared: Type, read: Precision) -> str:
    """What becomes of a number that the type holds when it is read in a lower precision."""
    if abs(number) > float(np.finfo(read).max):
        return f"more than {read} holds"
    what = "another whole number" if declared.support.discrete else f"outside {declared}"
    return f"which is read as {float(read.type(number)):.10g} in {read}, {what}"


def _remedy(name: str, value: float, support: Support) -> str:
    """What to do about a finite value outside the support."""
    if support.kind is SupportKind.INTEGER:
        if value != int(value):
            return f"declare `{name}` over `real` or an interval, or round the data"
        low, high = int(min(value, support.low)), int(max(value, support.high))
        return f"declare `{name}` as `integer({low}..{high})` or wider, or clip the data"
    if support.circular:
        return "give angles in radians between -π and π: `(x + pi) % (2 * pi) - pi` in numpy"
    if support.kind is SupportKind.CATEGORY:
        return "renumber the labels from 0 on, or declare more of them"
    if support.kind is SupportKind.CONTINUOUS and value in (support.low, support.high):
        return f"the interval is open: declare a wider one for `{name}`, or move the data off its ends"
    return f"declare a wider support for `{name}`, or rescale the data"


def _reshaping(name: str, column: Column, declared: Type) -> str:
    """How the data and the declaration could come to have one shape."""
    held, labels = column.shape[1:], declared.support.kind is SupportKind.CATEGORY
    if labels and held == (*declared.shape, int(declared.support.high) + 1):
        return "give labels, not one-hot rows: `array.argmax(-1)`"
    if column.shape == (*declared.shape, *held) and len(held) == 1:
        return "rows come first: transpose the data"
    if math.prod(held) != declared.size:
        return f"declare `{name} : {declared.with_shape(held)}`, or reshape the data"
    if not declared.shape:
        return "leave the last axis out: `array[:, 0]`"
    how = "flatten the data (`flat = true` where the source has it)" if len(declared.shape) == 1 else "reshape the data"
    return f"declare `{name} : {declared.with_shape(held)}`, or {how}"


def _shape(shape: tuple[int, ...]) -> str:
    """A shape, or a place in it, as the language writes it: ``[1, 8, 8]``."""
    return f"[{', '.join(map(str, shape))}]"
