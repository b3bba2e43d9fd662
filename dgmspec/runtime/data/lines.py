"""CSV files as pieces of whole lines, so that any of them can be read alone, and what is wrong in a line."""

from __future__ import annotations

import csv as text_csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from dgmspec.runtime.data.dataset import DataError
from dgmspec.runtime.data.streamed import BLOCK_BYTES
from dgmspec.runtime.data.support import Origin

__all__ = ["DELIMITERS", "HEADER", "Lines", "header_of", "no_rows", "numbers", "pieces"]

DELIMITERS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "space": " "}
HEADER: Final = " (line 1 is the header)"

_CHUNK: Final = 1 << 20
_NEWLINE, _QUOTE = 10, 34


@dataclass(frozen=True)
class Lines:
    """A part of a file: bytes `start` to `stop`, so many rows over so many lines, the first in line number `line`, with
    `before` rows above it."""

    start: int
    stop: int
    rows: int
    lines: int
    line: int
    before: int

    def origin(self, file: Path) -> Origin:
        """Where the rows stand: by line, unless some field holds a line's end; then they are counted as rows."""
        if self.lines == self.rows:
            return Origin(str(file), "line", self.line, HEADER)
        return Origin(str(file), "row", self.before + 1, " (the first below the header is 1)")


def header_of(file: Path, mark: str) -> list[str]:
    """The names in line 1."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        header = next(text_csv.reader(stream, delimiter=mark), None)
    if not header:
        raise DataError("DGM853", f"{file} has no header: it is empty", "write the names of the columns in line 1")
    if all(_is_number(name) for name in header):
        shown = mark.join(header[:3]) + (f"{mark} …" if len(header) > 3 else "")
        message = f"line 1 of {file} holds numbers, `{shown}`, where the names of the columns stand"
        raise DataError("DGM853", message, "write the names of the columns above the first row")
    return header


def no_rows(file: Path) -> DataError:
    """The refusal of a file that holds a header alone."""
    with file.open("rb") as stream:
        begin = stream.read(_CHUNK)
    if b"\r" in begin and b"\n" not in begin:
        message = f"the lines of {file} end with carriage returns alone"
        return DataError("DGM853", message, "end them with newlines: `tr '\\r' '\\n'` does so")
    return DataError("DGM851", f"{file} holds no rows below its header", "give at least one row")


def pieces(file: Path) -> Iterator[Lines]:
    """The rows below the header in parts of about `BLOCK_BYTES`, cut where a row ends.

    A row ends at a newline with an even number of quotes before it, so the file is looked through once.
    """
    before, last = 0, _NEWLINE
    with file.open("rb") as stream:
        (start, line), quoted = _below_header(stream), False
        stream.seek(place := start)
        rows = lines = 0
        seen = began = line  # where the chunk begins, and the row that is not at its end yet
        while chunk := stream.read(_CHUNK):
            ends, newlines, odd = _ends(chunk, quoted)
            quoted ^= odd
            began = seen + _upto(newlines, ends[-1]) if len(ends) else began
            seen += len(newlines)
            stop = place + int(ends[-1]) + 1 if len(ends) else start
            if stop - start >= BLOCK_BYTES:
                within = _upto(newlines, ends[-1])
                yield Lines(start, stop, rows + len(ends), lines + within, line, before)
                before, start, line = before + rows + len(ends), stop, line + lines + within
                rows, lines = 0, len(newlines) - within
            else:
                rows, lines = rows + len(ends), lines + len(newlines)
            place, last = place + len(chunk), chunk[-1]
    if quoted:
        message = f"a quote in the row that begins in line {began} of {file} is never closed{HEADER}"
        raise DataError("DGM851", message, "close it, or write the field's own quotes twice")
    if place > start:
        yield Lines(start, place, rows + (last != _NEWLINE), lines + (last != _NEWLINE), line, before)


def _below_header(stream: IO[bytes]) -> tuple[int, int]:
    """Where the first row begins and in which line; the end of the file where the header is all there is."""
    place, line, quoted = 0, 1, False
    while chunk := stream.read(_CHUNK):
        ends, newlines, odd = _ends(chunk, quoted)
        if len(ends):
            return place + int(ends[0]) + 1, line + _upto(newlines, ends[0])
        place, line, quoted = place + len(chunk), line + len(newlines), quoted ^ odd
    return place, line


def _upto(places: Any, last: int) -> int:
    """How many of the ascending places are at most `last`."""
    return int(np.searchsorted(places, last, "right"))


def _ends(chunk: bytes, quoted: bool) -> tuple[Any, Any, bool]:
    """Where rows end, where newlines stand, and whether the number of quotes is odd."""
    found = np.frombuffer(chunk, np.uint8)
    newlines = np.flatnonzero(found == _NEWLINE)
    if b'"' not in chunk:
        return (newlines[:0] if quoted else newlines), newlines, False
    parity = np.logical_xor.accumulate(found == _QUOTE)
    return newlines[parity[newlines] == quoted], newlines, bool(parity[-1])


def numbers(file: Path, piece: Lines, mark: str, header: Sequence[str], needed: list[str]) -> Any:
    """The columns `needed` of a part of the file, as a table of float64."""
    with file.open("rb") as stream:
        stream.seek(piece.start)
        data = stream.read(piece.stop - piece.start)
    # On this thread alone: others would outlive the call, and abort the process at its end.
    options = {
        "read_options": arrow_csv.ReadOptions(column_names=header, use_threads=False, block_size=len(data) + 1),
        "parse_options": arrow_csv.ParseOptions(delimiter=mark, ignore_empty_lines=False, newlines_in_values=True),
        "convert_options": arrow_csv.ConvertOptions(
            include_columns=needed, column_types=dict.fromkeys(needed, pa.float64()), null_values=[]
        ),
    }
    try:
        table = arrow_csv.read_csv(pa.BufferReader(data), **options)
    except pa.ArrowInvalid as error:
        # The fast reader tells no line, so the lines are walked again, only to say where they are wrong.
        _find_fault(file, data, piece, mark, header, needed)
        raise DataError("DGM853", f"{file} cannot be read as CSV: {error}", "write the file anew") from error
    if table.num_rows != piece.rows:
        message = f"{file} has {table.num_rows:,} rows from line {piece.line} on where {piece.rows:,} lines end"
        raise DataError("DGM853", message, "end every line by a newline, or write the file anew")
    return table


def _find_fault(file: Path, data: bytes, piece: Lines, mark: str, header: Sequence[str], needed: list[str]) -> None:
    """Raise for the first line that is no row of numbers."""
    places = [(name, header.index(name)) for name in needed]
    with io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="") as stream:
        reader = text_csv.reader(stream, delimiter=mark)
        for row in reader:
            line = f"line {piece.line + reader.line_num - 1}"
            if len(row) != len(header):
                fields = f"{len(row)} field{'s' * (len(row) > 1)}"
                what = f"has {fields} and the header {len(header)}" if row else "is empty"
                raise DataError("DGM851", f"{line} of {file} {what}{HEADER}", "complete the line, or delete it")
            for name, place in places:
                if not _is_number(row[place]):
                    shown = " ".join(row[place].split())[:40]
                    what = f"holds no number but `{shown}`" if shown else "is empty"
                    message = f"{line}, column `{name}` of {file} {what}{HEADER}"
                    raise DataError("DGM852", message, "fill in a number, or drop the row, before training")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
