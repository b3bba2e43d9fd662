"""Comments that allow a warning: ``# dgm: allow DGM501 the last coordinate is a label``.

Such a comment speaks for its own line, or, alone on a line, for the next line that holds more than a comment. It
silences the warnings and notes of its codes that point there, and never an error. A comment that silences nothing,
names no code, or gives no reason is itself a finding: permissions do not outlive what they permit.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dgmspec.core.codes import CODES
from dgmspec.core.diagnostics import Diagnostic, Span, did_you_mean
from dgmspec.syntax import limits
from dgmspec.syntax.tokens import comments

__all__ = ["Allow", "allowances", "filtered"]

_DIRECTIVE = re.compile(r"#+[ \t]*dgm[ \t]*:[ \t]*(?P<said>.*)")
_ALLOW = re.compile(r"allow(?![^\s,])[\s,]*(?P<codes>(?:DGM\d+\b[\s,]*)*)(?P<reason>.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Allow:
    """One code allowed on one line (counted from 0) of a text; `at` is its place in the comment."""

    code: str
    reason: str
    line: int
    at: Span


def filtered(
    diagnostics: Sequence[Diagnostic], texts: Mapping[str, str], *, complete: bool = True
) -> tuple[Diagnostic, ...]:
    """The diagnostics without those that comments allow, and what is wrong with such comments.

    `texts` are the sources that spans point into. A comment is called idle only if the findings are `complete`: an
    error may keep later checks from running, and what these would have said is not known.
    """
    allows: list[Allow] = []
    lints: list[Diagnostic] = []
    starts = {source: _line_starts(text) for source, text in texts.items() if "dgm" in text}
    for source in starts:
        granted, wrong = allowances(texts[source], source)
        allows += granted
        lints += wrong
    if not allows:
        return (*diagnostics, *lints)
    by_place = {(a.at.source, a.line, a.code): a for a in allows}
    used: set[tuple[str, int, str]] = set()
    kept: list[Diagnostic] = []
    for found in diagnostics:
        place = _place(found, starts)
        if found.severity != "error" and place in by_place:
            used.add(place)
        else:
            kept.append(found)
    if complete:
        lints += [_idle(a) for a in allows if (a.at.source, a.line, a.code) not in used]
    return (*kept, *lints)


def allowances(text: str, source: str = "") -> tuple[list[Allow], list[Diagnostic]]:
    """What the comments of a text allow, and what is wrong with those that try to (cost: one pass of the lexer)."""
    allows: list[Allow] = []
    wrong: list[Diagnostic] = []
    if len(text) > limits.FILE_BYTES or "dgm" not in text:
        return allows, wrong
    starts = _line_starts(text)
    for start, comment in comments(text):
        if not _DIRECTIVE.match(comment):
            continue
        span = Span(source, start, start + len(comment))
        line = bisect_right(starts, start) - 1
        if not text[starts[line] : start].strip():
            line = _next_line(text, starts, line)
        granted, lints = _read(comment, span, line)
        allows += granted
        wrong += lints
    return allows, wrong


def _read(comment: str, span: Span, line: int) -> tuple[list[Allow], list[Diagnostic]]:
    """One comment: its codes, each with the reason they share."""
    directive = _DIRECTIVE.match(comment)
    assert directive is not None
    said = _ALLOW.fullmatch(directive["said"])
    if said is None or not (said["codes"] or said["reason"]):
        message = "a comment that begins with `dgm:` allows a code, and this one does not"
        return [], [Diagnostic("DGM152", message, span, help=("write `# dgm: allow DGM501 reason`",))]
    if not said["codes"]:
        return [], [_unknown(said["reason"].split()[0], span)]
    allows: list[Allow] = []
    wrong: list[Diagnostic] = []
    offset = span.start + directive.start("said") + said.start("codes")
    for word in re.finditer(r"DGM\d+", said["codes"], re.IGNORECASE):
        code, at = word.group().upper(), Span(span.source, offset + word.start(), offset + word.end())
        if code not in CODES or CODES[code].severity == "error":
            wrong.append(_unknown(code, at))
        else:
            allows.append(Allow(code, said["reason"].strip(), line, at))
    if not said["reason"].strip() and allows:
        message = f"this comment allows {allows[0].code} without a reason"
        help = (f"write why: `# dgm: allow {allows[0].code} reason`",)
        wrong.append(Diagnostic("DGM151", message, span, help=help))
    return allows, wrong


def _unknown(word: str, at: Span) -> Diagnostic:
    """A code that does not exist, or that is an error."""
    number = word.upper()
    if number in CODES:
        message = f"{number} is an error, and errors cannot be allowed"
        return Diagnostic("DGM152", message, at, help=(f"put right what it reports: `dgmspec explain {number}`",))
    near = did_you_mean(number, (c.number for c in CODES.values() if c.severity != "error"))
    help = (f"did you mean `{near}`?",) if near else ("write the code of a warning, such as `DGM501`",)
    return Diagnostic("DGM152", f"there is no code `{word}`", at, help=help)


def _idle(allow: Allow) -> Diagnostic:
    """A permission that nothing needs."""
    message = f"nothing on its line is reported as {allow.code}"
    notes = ("a comment speaks for its own line, or, alone on a line, for the next one",)
    return Diagnostic("DGM150", message, allow.at, "allowed here", notes=notes, help=("remove the comment",))


def _place(found: Diagnostic, starts: Mapping[str, list[int]]) -> tuple[str, int, str]:
    """Source, line and code of a finding; line -1 where its place is no span of a text with permissions."""
    at = found.at
    if isinstance(at, Span) and at.source in starts:
        return at.source, bisect_right(starts[at.source], at.start) - 1, found.code
    return "", -1, found.code


def _line_starts(text: str) -> list[int]:
    """The offset at which each line begins."""
    return [0, *(match.end() for match in re.finditer("\n", text))]


def _next_line(text: str, starts: list[int], line: int) -> int:
    """The next line that holds more than a comment, or the last one."""
    ends = [*starts[1:], len(text)]
    for number in range(line + 1, len(starts)):
        written = text[starts[number] : ends[number]].strip()
        if written and not written.startswith("#"):
            return number
    return len(starts) - 1
