"""Tables of named columns from Parquet and CSV files, by pyarrow: one file, or a folder of parts.

Both are read in blocks: the row groups of a Parquet file, and whole lines of a CSV file of about `BLOCK_BYTES`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import parquet as arrow_parquet

from dgmspec.runtime.data.context import Context, missing, reading
from dgmspec.runtime.data.dataset import Column, Columns, DataError
from dgmspec.runtime.data.lines import DELIMITERS, Lines, header_of, no_rows, numbers, pieces
from dgmspec.runtime.data.streamed import LARGE_BYTES, Block, Rows, Stream
from dgmspec.runtime.data.support import Origin

__all__ = ["csv", "parquet"]

Assigned = Iterable[tuple[str, str | tuple[str, ...]]]
"""The columns that a call names, by variables."""

_COUNTED: Final = " (the first row is 1)"


def csv(
    context: Context, *, path: str, variables: Assigned = (), delimiter: str = "comma", stream: Stream = "auto"
) -> Rows:
    """The columns of a CSV file that the variables take, as float64; anything that is no number is refused."""
    mark, blocks = DELIMITERS[delimiter], list[Block]()
    files = _files(context, path, ".csv")
    for file in files:
        with reading(file, "CSV"):
            header = header_of(file, mark)
            taken = _taken(context, file, variables, header)
            for piece in pieces(file):
                read = partial(_lines, file, piece, mark, tuple(header), taken)
                blocks.append(Block(piece.rows, read, _origins(taken, piece.origin(file))))
    if not blocks:
        raise no_rows(files[0])
    return Rows(tuple(context.variables), tuple(blocks), 8 * _numbers(context), stream)


def parquet(context: Context, *, path: str, variables: Assigned = (), stream: Stream = "auto") -> Rows:
    """The columns of a Parquet file that the variables take; a null or a column of no numbers is refused."""
    blocks, row_bytes = list[Block](), 0
    for file in _files(context, path, ".parquet"):
        with reading(file, "Parquet"), _opened(file) as source, arrow_parquet.ParquetFile(source) as opened:
            taken = _taken(context, file, variables, opened.schema_arrow.names)
            types = {name: opened.schema_arrow.field(name).type for name in _needed(taken)}
            for name, type_ in types.items():
                _check_numbers(file, name, type_)
            row_bytes = max(row_bytes, sum(_width(types, found) for found in taken.values()))
            before = 0
            for group in range(opened.num_row_groups):
                rows = opened.metadata.row_group(group).num_rows
                origin = Origin(str(file), "row", 1 + before, _COUNTED)
                blocks.append(Block(rows, partial(_group, file, group, taken, before), _origins(taken, origin)))
                before += rows
    found = Rows(tuple(context.variables), tuple(blocks), row_bytes, stream)
    _check_groups(found)
    return found


def _files(context: Context, path: str, ending: str) -> list[Path]:
    """The file, or the parts in a folder whose path ends with a slash, in alphabetical order."""
    place = context.main(path)
    if not place.is_dir():
        return [place]
    kind = ending.removeprefix(".")
    if not path.endswith("/"):
        raise DataError("DGM853", f"{place} is a folder", f'for all files of a folder write `{kind}("{path}/")`')
    files = sorted(file for file in place.iterdir() if not file.name.startswith((".", "_")))
    stray = next((file for file in files if file.suffix.lower() != ending or not file.is_file()), None)
    if stray is not None:
        raise DataError("DGM853", f"{stray} is no {ending} file", f"keep the {ending} files alone in a folder")
    if not files:
        raise DataError("DGM853", f"{place} holds no {ending} files", "give the folder that the parts lie in")
    return [context.locate(f"{path}{file.name}") for file in files] if context.given is None else files


# ---- columns --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Taken:
    """The columns that one variable takes, and the shape of the event they fill."""

    columns: tuple[str, ...]
    shape: tuple[int, ...]


Taken = dict[str, _Taken]


def _taken(context: Context, file: Path, variables: Assigned, header: list[str]) -> Taken:
    """The columns of each variable: those the call names, else the one of its name, or ``x[0]``, ``x[1]``, …"""
    named = {name: (given,) if isinstance(given, str) else tuple(given) for name, given in variables}
    taken = {}
    for name, declared in context.variables.items():
        own = tuple(f"{name}[{i}]" for i in range(declared.size)) if declared.shape else (name,)
        columns = named.get(name, own)
        for column in columns:
            if column not in header:
                some = f'`{name} = ["…", …]`, {declared.size} of them' if declared.shape else f'`{name} = "…"`'
                raise missing(file, "column", column, header, name, some, _other_delimiter(header))
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


def _other_delimiter(header: list[str]) -> str:
    """What to write where a header that is one name holds what separates fields elsewhere."""
    if len(header) == 1:
        for name, mark in DELIMITERS.items():
            if mark in header[0] and name != "space":
                return f"The fields look separated by {name}s: write `delimiter = {name}`. "
    return ""


def _needed(taken: Taken) -> list[str]:
    return list(dict.fromkeys(column for found in taken.values() for column in found.columns))


def _numbers(context: Context) -> int:
    """Numbers in a row."""
    return sum(declared.size for declared in context.variables.values())


def _origins(taken: Taken, origin: Origin) -> dict[str, Origin]:
    return {name: replace(origin, columns=found.columns) for name, found in taken.items()}


def _columns(taken: Taken, table: Any) -> Columns:
    """The variables' columns from a table of numbers."""
    return {
        name: _joined([table[column] for column in found.columns], table.num_rows).reshape(-1, *found.shape)
        for name, found in taken.items()
    }


def _joined(parts: list[Any], rows: int) -> Column:
    """Columns side by side, in the smallest type that holds them all."""
    joined = np.empty((rows, len(parts)), _common([part.type for part in parts]))
    for i, part in enumerate(parts):
        joined[:, i] = part.to_numpy()
    return joined


def _common(types: list[Any]) -> np.dtype[Any]:
    return np.result_type(*(np.dtype(type_.to_pandas_dtype()) for type_ in types))


# ---- one block ------------------------------------------------------------------------------------------------------


def _lines(file: Path, piece: Lines, mark: str, header: tuple[str, ...], taken: Taken) -> Columns:
    """Some lines of a CSV file."""
    with reading(file, "CSV"):
        return _columns(taken, numbers(file, piece, mark, header, _needed(taken)))


def _group(file: Path, group: int, taken: Taken, before: int) -> Columns:
    """A row group of a Parquet file, with `before` rows in those before it."""
    with reading(file, "Parquet"), _opened(file) as source, arrow_parquet.ParquetFile(source) as opened:
        table = opened.read_row_group(group, columns=_needed(taken))
        for name in _needed(taken):
            if table[name].null_count:
                row = before + int(np.argmax(table[name].is_null().to_numpy())) + 1
                message = f"row {row}, column `{name}` of {file} is null{_COUNTED}"
                raise DataError("DGM852", message, "drop the row, or fill the value in, before training")
        return _columns(taken, table)


def _opened(file: Path) -> Any:
    """The file as pyarrow opens it: its threads may outlive a file of Python's, and abort the process at its end."""
    # Python's own `open` reports a file that may not be read by its name.
    file.open("rb").close()
    return pa.OSFile(str(file))


def _width(types: dict[str, Any], found: _Taken) -> int:
    """The bytes of a variable's numbers in one row."""
    return _common([types[column] for column in found.columns]).itemsize * len(found.columns)


def _check_numbers(file: Path, name: str, type_: Any) -> None:
    if not (pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_boolean(type_)):
        message = f"column `{name}` of {file} holds {type_} values, not numbers"
        raise DataError("DGM852", message, "convert the column to numbers; labels of `category(k)` are 0..k-1")


def _check_groups(found: Rows) -> None:
    """Streaming holds a row group at least, so that one must fit."""
    for block in found.blocks if found.streams else ():
        if block.rows * found.row_bytes > LARGE_BYTES:
            file = next(iter(block.origins.values())).of
            raise DataError(
                "DGM853",
                f"a row group of {file} holds {block.rows:,} rows, {block.rows * found.row_bytes / 2**30:.1f} GiB, too "
                "much to stream",
                "write the file with smaller row groups, about 100,000 rows each; or `stream = false` to hold it whole",
            )
