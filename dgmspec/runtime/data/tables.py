"""Tables of named columns from CSV and Parquet files, by pyarrow."""

from __future__ import annotations

import csv as text_csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet as arrow_parquet

from dgmspec.runtime.data.context import Context, Rows, missing, reading
from dgmspec.runtime.data.dataset import Column, DataError
from dgmspec.runtime.data.support import Origin

__all__ = ["csv", "parquet"]

Mapping = Iterable[tuple[str, str | tuple[str, ...]]]

_DELIMITERS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "space": " "}
_HEADER: Final = " (line 1 is the header)"
_COUNTED: Final = " (the first row is 1)"


def csv(context: Context, *, path: str, variables: Mapping = (), delimiter: str = "comma") -> Rows:
    """The columns of a CSV file that the variables take, as float64; anything that is no number is refused."""
    file, mark = context.main(path), _DELIMITERS[delimiter]
    with reading(file, "CSV"), _opened(file) as stream:
        header = _header(file, mark)
        taken = _taken(context, file, variables, header)
        needed = _needed(taken)
        options = {
            "read_options": arrow_csv.ReadOptions(),
            "parse_options": arrow_csv.ParseOptions(delimiter=mark, ignore_empty_lines=False),
            "convert_options": arrow_csv.ConvertOptions(
                include_columns=needed, column_types=dict.fromkeys(needed, pa.float64()), null_values=[]
            ),
        }
        try:
            table = arrow_csv.read_csv(stream, **options)
        except pa.ArrowInvalid as error:
            # The fast reader tells no line, so the file is walked again, only to say where it is wrong.
            _find_fault(file, mark, header, needed)
            raise DataError("DGM853", f"{file} cannot be read as CSV: {error}", "write the file anew") from error
    return _rows(taken, table, Origin(str(file), "line", 2, _HEADER))


def parquet(context: Context, *, path: str, variables: Mapping = ()) -> Rows:
    """The columns of a Parquet file that the variables take; a null or a column of no numbers is refused."""
    file = context.main(path)
    with reading(file, "Parquet"), _opened(file) as stream:
        opened = arrow_parquet.ParquetFile(stream)
        taken = _taken(context, file, variables, opened.schema_arrow.names)
        for name in _needed(taken):
            _check_numbers(file, name, opened.schema_arrow.field(name).type)
        table = opened.read(columns=_needed(taken))
        for name in _needed(taken):
            _check_nulls(file, name, table[name])
    return _rows(taken, table, Origin(str(file), "row", 1, _COUNTED))


def _opened(file: Path) -> Any:
    """The file as pyarrow opens it: its threads may outlive a file of Python's, and abort the process at its end."""
    # Python's own `open` reports a file that may not be read by its name.
    file.open("rb").close()
    return pa.OSFile(str(file))


# ---- columns --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Taken:
    """The columns that one variable takes, and the shape of the event they fill."""

    columns: tuple[str, ...]
    shape: tuple[int, ...]


def _taken(context: Context, file: Path, variables: Mapping, header: list[str]) -> dict[str, _Taken]:
    """The columns of each variable: those the call names, else the one of its name, or ``x[0]``, ``x[1]``, …"""
    named = {name: (given,) if isinstance(given, str) else tuple(given) for name, given in variables}
    taken = {}
    for name, declared in context.variables.items():
        own = tuple(f"{name}[{i}]" for i in range(declared.size)) if declared.shape else (name,)
        columns = named.get(name, own)
        for column in columns:
            if column not in header:
                raise missing(file, "column", column, header, name)
            if header.count(column) > 1:
                message = f"{file} has {header.count(column)} columns `{column}`"
                raise DataError("DGM853", message, "give every column a name of its own")
        if len(columns) != declared.size:
            raise DataError(
                "DGM851",
                f"`{name}` is declared {declared}, {declared.size} numbers a row, and is given {len(columns)} columns "
                f"of {file}",
                f"name {declared.size} columns for `{name}`, or declare another shape",
            )
        taken[name] = _Taken(columns, declared.shape)
    return taken


def _needed(taken: dict[str, _Taken]) -> list[str]:
    return list(dict.fromkeys(column for found in taken.values() for column in found.columns))


def _rows(taken: dict[str, _Taken], table: Any, origin: Origin) -> Rows:
    """The variables' columns from a table of numbers."""
    columns, origins = {}, {}
    for name, found in taken.items():
        columns[name] = _joined([table[column] for column in found.columns], table.num_rows).reshape(-1, *found.shape)
        origins[name] = replace(origin, columns=found.columns)
    return Rows(columns, origins)


def _joined(parts: list[Any], rows: int) -> Column:
    """Columns side by side, in the smallest type that holds them all."""
    dtypes = [np.dtype(part.type.to_pandas_dtype()) for part in parts]
    joined = np.empty((rows, len(parts)), np.result_type(*dtypes))
    for i, part in enumerate(parts):
        joined[:, i] = part.to_numpy()
    return joined


# ---- what is refused ------------------------------------------------------------------------------------------------


def _header(file: Path, mark: str) -> list[str]:
    """The names in line 1."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        header = next(text_csv.reader(stream, delimiter=mark), None)
    if not header:
        raise DataError("DGM853", f"{file} has no header", "write the names of the columns in line 1")
    return header


def _find_fault(file: Path, mark: str, header: list[str], needed: list[str]) -> None:
    """Raise for the first line that is no row of numbers."""
    places = [(name, header.index(name)) for name in needed]
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = text_csv.reader(stream, delimiter=mark)
        next(reader)
        for row in reader:
            line = f"line {reader.line_num}"
            if len(row) != len(header):
                what = f"has {len(row)} fields and the header {len(header)}" if row else "is empty"
                raise DataError("DGM851", f"{line} of {file} {what}{_HEADER}", "complete the line, or delete it")
            for name, place in places:
                if not _is_number(row[place]):
                    shown = " ".join(row[place].split())[:40]
                    what = f"holds no number but `{shown}`" if shown else "is empty"
                    message = f"{line}, column `{name}` of {file} {what}{_HEADER}"
                    raise DataError("DGM852", message, "fill in a number, or drop the row, before training")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _check_numbers(file: Path, name: str, type_: Any) -> None:
    number = pa.types.is_integer(type_) or pa.types.is_floating(type_)
    if not number:
        message = f"column `{name}` of {file} holds {type_} values, not numbers"
        raise DataError("DGM852", message, "convert the column to numbers; labels of `category(k)` are 0..k-1")


def _check_nulls(file: Path, name: str, column: Any) -> None:
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy())) + 1
        message = f"row {row}, column `{name}` of {file} is null{_COUNTED}"
        raise DataError("DGM852", message, "drop the row, or fill the value in, before training")
