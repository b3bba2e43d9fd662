"""The part of a message that shows source lines: a gutter, the lines, and marks under the places meant."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from dgmspec.core.diagnostics import Span, line_column

__all__ = ["Mark", "clean", "snippet"]

_TAB = 4
_LONGEST = 160

# Paints text for a role: "gutter", "primary" or "secondary".
Paint = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place to underline, with carets if it is the primary one, and the words on it."""

    span: Span
    text: str
    primary: bool


@dataclass(frozen=True, slots=True)
class _Stroke:
    """A mark on one line: from column to column of the line as displayed, counted from 0."""

    start: int
    end: int
    text: str
    primary: bool


def clean(text: str) -> str:
    """Text that is safe to print on one line: control, format and surrogate characters become `�`."""
    return "".join("�" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in text)


def snippet(text: str, marks: list[Mark], gutter: int, width: int | None, paint: Paint) -> list[str]:
    """The lines of `text` that hold marks, each followed by its marks; `gutter` is the width of the line numbers.

    A mark over several lines underlines its first and its last one.
    """
    lines: dict[int, list[tuple[int, int, Mark, bool]]] = {}
    for mark in marks:
        for number, start, end, last in _on_lines(text, mark.span):
            lines.setdefault(number, []).append((start, end, mark, last))
    out: list[str] = []
    source = text.split("\n")
    limit = min(_LONGEST, max(40, (width or _LONGEST) - gutter - 4))
    for number, places in sorted(lines.items()):
        cells, columns = _display(source[number - 1])
        strokes = [_stroke(columns, start, end, mark, last) for start, end, mark, last in places]
        shown, strokes = _crop(cells, strokes, limit)
        out.append(f"{paint('gutter', f' {number:>{gutter}} |')} {shown}".rstrip())
        bar = paint("gutter", " " * (gutter + 2) + "|")
        out += [f"{bar} {row}" for row in _rows(strokes, paint)]
    return out


def _on_lines(text: str, span: Span) -> list[tuple[int, int, int, bool]]:
    """The first and the last line of a span: (line, first offset in it, end offset, whether it is the last)."""
    first, column = line_column(text, span.start)
    last, end = line_column(text, max(span.start, span.end - 1))
    if first == last:
        width = max(1, min(span.end, len(text)) - min(span.start, len(text)))
        return [(first, column - 1, column - 1 + width, True)]
    lines = text.split("\n")
    indent = len(lines[last - 1]) - len(lines[last - 1].lstrip())
    return [(first, column - 1, len(lines[first - 1]), False), (last, min(indent, end - 1), end, True)]


def _display(line: str) -> tuple[list[str], list[int]]:
    """What a terminal shows in each column of a line, and the column where each of its characters begins (and the end).

    A wide character is followed by an empty column; combining marks stand in the column of their letter.
    """
    cells: list[str] = []
    columns: list[int] = []
    for character in line.rstrip("\r"):
        columns.append(len(cells))
        if character == "\t":
            cells += [" "] * (_TAB - len(cells) % _TAB)
        elif unicodedata.combining(character) and cells:
            cells[-1] += character
        else:
            cells.append(clean(character))
            cells += [""] * (unicodedata.east_asian_width(character) in ("W", "F"))
    columns.append(len(cells))
    return cells, columns


def _stroke(columns: list[int], start: int, end: int, mark: Mark, last: bool) -> _Stroke:
    first = columns[min(start, len(columns) - 1)]
    after = columns[end] if end < len(columns) else columns[-1]
    return _Stroke(first, max(first + 1, after), clean(mark.text) if last else "", mark.primary)


def _crop(cells: list[str], strokes: list[_Stroke], limit: int) -> tuple[str, list[_Stroke]]:
    """Cut a long line to what surrounds its primary mark, or its first one."""
    if len(cells) <= limit:
        return "".join(cells), strokes
    centre = min(strokes, key=lambda s: (not s.primary, s.start))
    begin = max(0, min(centre.start - limit // 2, len(cells) - limit))
    end = begin + limit
    kept = cells[begin:end]
    kept[0] = "…" if begin else kept[0]
    kept[-1] = "…" if end < len(cells) else kept[-1]
    moved = [
        _Stroke(max(0, s.start - begin), max(s.start + 1, min(s.end, end)) - begin, s.text, s.primary)
        for s in strokes
        if begin <= s.start < end or s is centre
    ]
    return "".join(kept), moved


def _rows(strokes: list[_Stroke], paint: Paint) -> list[str]:
    """The marks under a line: the rightmost label stands beside its mark, the others hang below theirs."""
    ordered = sorted(strokes, key=lambda s: (s.start, not s.primary))
    row: list[tuple[str, str]] = [(" ", "")] * max(s.end for s in ordered)
    for stroke in sorted(ordered, key=lambda s: s.primary):
        role = "primary" if stroke.primary else "secondary"
        row[stroke.start : stroke.end] = [("^" if stroke.primary else "-", role)] * (stroke.end - stroke.start)
    labelled = [s for s in ordered if s.text]
    beside = labelled.pop() if labelled and labelled[-1].end == len(row) else None
    first = _painted(row, paint)
    if beside:
        first += " " + paint("primary" if beside.primary else "secondary", beside.text)
    rows = [first]
    while labelled:
        stroke = labelled.pop()
        rows.append(_hanging([*labelled, stroke], paint))
        role = "primary" if stroke.primary else "secondary"
        above = _hanging(labelled, paint, stroke.start)
        rows.append(above + paint(role, stroke.text))
    return rows


def _hanging(strokes: list[_Stroke], paint: Paint, width: int = 0) -> str:
    """Vertical bars under the starts of marks, padded to a width."""
    row: list[tuple[str, str]] = [(" ", "")] * max([width, *(s.start + 1 for s in strokes)])
    for stroke in strokes:
        row[stroke.start] = ("|", "primary" if stroke.primary else "secondary")
    return _painted(row[:width] if width else row, paint)


def _painted(row: list[tuple[str, str]], paint: Paint) -> str:
    """Characters with their roles as text, runs of one role painted together."""
    out, run, role = "", "", ""
    for character, next_role in [*row, ("", "\0")]:
        if next_role != role and run:
            out += paint(role, run) if role else run
            run = ""
        run, role = run + character, next_role
    return out
