"""Diagnostics as text: `full` for people, `concise` one line each, `json` and `sarif` for programs, `github` for
annotations.

Lines and columns are computed here, from the offsets that spans hold. Whatever a source contains, nothing that a
terminal would obey is printed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dgmspec.core.diagnostics import Diagnostic, Label, Place, Span, concise, line_column
from dgmspec.core.sarif import sarif
from dgmspec.core.snippet import Mark, clean, snippet

__all__ = ["FORMAT_VERSION", "Format", "as_data", "render", "summary"]

Format = Literal["full", "concise", "json", "github", "sarif"]

FORMAT_VERSION = 1

_COLOURS = {
    "error": "1;31",
    "warning": "1;33",
    "note": "1;36",
    "gutter": "1;34",
    "secondary": "1;34",
    "help": "1;32",
    "bold": "1",
}


def render(
    diagnostics: Sequence[Diagnostic],
    sources: Mapping[str, str],
    format: Format = "full",
    *,
    color: bool = False,
    width: int | None = None,
    names: Mapping[str, str] | None = None,
    version: str = "",
) -> str:
    """The diagnostics in one of the formats, in the order given, each line ended; "" when there are none.

    `sources` are the texts that spans point into; `names` says what a source is called where that is not its own name
    (the main text, "", is `<text>` without one). `width` is that of the terminal: longer source lines are cut around
    their marks. `version` is that of the tool, for the formats that name it.
    """
    texts = _Texts(sources, names or {})
    if format == "json":
        return _json(diagnostics, texts)
    if format == "sarif":
        return sarif(diagnostics, sources, names or {}, version)
    if format == "github":
        return "".join(f"{_github(d, texts)}\n" for d in diagnostics)
    if format == "concise":
        named = {texts.name(source): text for source, text in sources.items()}
        return "".join(f"{clean(concise(_renamed(d, texts), named))}\n" for d in diagnostics)
    return "\n".join(f"{_full(d, texts, _Painter(color), width)}\n" for d in diagnostics)


def as_data(
    diagnostics: Sequence[Diagnostic], sources: Mapping[str, str], names: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """The diagnostics as JSON has them: places as files with lines and columns."""
    texts = _Texts(sources, names or {})
    return [_as_data(d, texts) for d in diagnostics]


def summary(diagnostics: Sequence[Diagnostic]) -> str:
    """`2 errors, 1 warning`, or `valid` where there is neither."""
    counts = {severity: sum(d.severity == severity for d in diagnostics) for severity in ("error", "warning")}
    parts = [f"{n} {severity}{'s' if n > 1 else ''}" for severity, n in counts.items() if n]
    return ", ".join(parts) or "valid"


@dataclass(frozen=True, slots=True)
class _Texts:
    """The texts that spans point into, and what they are called."""

    sources: Mapping[str, str]
    names: Mapping[str, str]

    def name(self, source: str) -> str:
        return self.names.get(source, source) or "<text>"

    def position(self, source: str, offset: int) -> tuple[int, int]:
        return line_column(self.sources[source], offset)


class _Painter:
    """Paints a run of text for its role, or leaves it plain."""

    def __init__(self, color: bool, severity: str = "error") -> None:
        self.color = color
        self.severity = severity

    def __call__(self, role: str, text: str) -> str:
        code = _COLOURS[self.severity if role == "primary" else role]
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and text else text


def _renamed(diagnostic: Diagnostic, texts: _Texts) -> Diagnostic:
    at = diagnostic.at
    if isinstance(at, Span):
        at = Span(texts.name(at.source), at.start, at.end)
    return Diagnostic(diagnostic.code, diagnostic.message, at, severity=diagnostic.severity)


# -------------------------------------------------------------------------------------------------------------- full


def _full(d: Diagnostic, texts: _Texts, painter: _Painter, width: int | None) -> str:
    paint = _Painter(painter.color, d.severity)
    out = [paint("primary", f"{d.severity}[{d.code}]") + paint("bold", f": {clean(d.message)}")]
    marks, loose = _marks(d, texts.sources)
    gutter = max([len(str(texts.position(m.span.source, m.span.end)[0])) for m in marks], default=1)
    pad = " " * (gutter + 1)
    out += _snippets(marks, texts, gutter, width, paint)
    if isinstance(d.at, str):
        out.append(f"{pad}{paint('gutter', '-->')} {clean(d.at)}")
        out += [f"{pad} {paint('gutter', '=')} {clean(d.label)}"] if d.label else []
    out += [f"{pad} {paint('gutter', '=')} {clean(str(label.at))}: {clean(label.text)}" for label in loose]
    out += [f"{pad} {paint('gutter', '=')} note: {clean(note)}" for note in d.notes]
    out += [f"{pad}{paint('help', 'help:')} {clean(text)}" for text in d.help]
    return "\n".join(out)


def _marks(d: Diagnostic, sources: Mapping[str, str]) -> tuple[list[Mark], list[Label]]:
    """The places that can be shown, the primary one first, and the labels whose place cannot."""
    marks: list[Mark] = []
    loose: list[Label] = []
    if isinstance(d.at, Span) and d.at.source in sources:
        marks.append(Mark(d.at, d.label, True))
    for label in d.labels:
        if isinstance(label.at, Span) and label.at.source in sources:
            marks.append(Mark(label.at, label.text, False))
        elif isinstance(label.at, str):
            loose.append(label)
    return marks, loose


def _snippets(marks: list[Mark], texts: _Texts, gutter: int, width: int | None, paint: _Painter) -> list[str]:
    """One snippet for each source with marks, that of the primary mark first."""
    out: list[str] = []
    pad = " " * (gutter + 1)
    for source in dict.fromkeys(mark.span.source for mark in marks):
        here = [mark for mark in marks if mark.span.source == source]
        line, column = texts.position(source, here[0].span.start)
        arrow = "-->" if not out else ":::"
        out.append(f"{pad}{paint('gutter', arrow)} {clean(texts.name(source))}:{line}:{column}")
        out.append(paint("gutter", f"{pad} |"))
        out += snippet(texts.sources[source], here, gutter, width, paint)
    return out


# ------------------------------------------------------------------------------------------------------ for programs


def _json(diagnostics: Sequence[Diagnostic], texts: _Texts) -> str:
    body = {
        "format_version": FORMAT_VERSION,
        "diagnostics": [_as_data(d, texts) for d in diagnostics],
    }
    return json.dumps(body, indent=2) + "\n"


def _as_data(d: Diagnostic, texts: _Texts) -> dict[str, Any]:
    fix = d.fix and {
        "title": d.fix.title,
        "applicability": d.fix.applicability,
        "edits": [{"at": _place(edit.span, texts), "text": edit.text} for edit in d.fix.edits],
    }
    return {
        "code": d.code,
        "severity": d.severity,
        "message": d.message,
        "label": d.label,
        "at": _place(d.at, texts),
        "labels": [{"at": _place(label.at, texts), "text": label.text} for label in d.labels],
        "notes": list(d.notes),
        "help": list(d.help),
        "fix": fix,
    }


def _place(at: Place | None, texts: _Texts) -> dict[str, Any] | None:
    """A place as data: a file with offsets (from 0), lines and columns (from 1), or an address."""
    if at is None:
        return None
    if isinstance(at, str):
        return {"address": at}
    place: dict[str, Any] = {"file": texts.name(at.source), "start": {"offset": at.start}, "end": {"offset": at.end}}
    if at.source in texts.sources:
        for key, offset in (("start", at.start), ("end", at.end)):
            line, column = texts.position(at.source, offset)
            place[key] |= {"line": line, "column": column}
    return place


def _github(d: Diagnostic, texts: _Texts) -> str:
    """A workflow command that annotates the file; notes and help follow the message on lines of their own."""
    level = {"error": "error", "warning": "warning", "note": "notice"}[d.severity]
    fields: list[str] = []
    if isinstance(d.at, Span):
        fields.append(f"file={_property(texts.name(d.at.source))}")
        if d.at.source in texts.sources:
            line, column = texts.position(d.at.source, d.at.start)
            end_line, end_column = texts.position(d.at.source, d.at.end)
            fields += [f"line={line}", f"col={column}", f"endLine={end_line}", f"endColumn={end_column}"]
    fields.append(f"title={d.code}")
    lines = [d.message, *(f"note: {note}" for note in d.notes), *(f"help: {text}" for text in d.help)]
    return f"::{level} {','.join(fields)}::{_data(chr(10).join(lines))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
