"""Diagnostics: a user's mistake as a value.

A check reports *addresses* ("RealNVP/x->z/0[k=3]/net"), the parser reports *spans*; `locate` turns the first into the
second by a source map, and `dgmspec.core.render` prints them. Nothing here raises for a mistake in a spec, except at
two doors:

- `Refusal` is raised by an operation that cannot accept its arguments or its input type (in `infer_type` and the
  like). An operation knows neither its address nor its span, so the caller catches the refusal in ONE place and turns
  it into a diagnostic with `Refusal.diagnostic(address)`.
- `SpecError` is raised by the public functions that must return a result (`parse`, `compile`), and carries every
  diagnostic found.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from dgmspec.core.codes import CODES, Severity
from dgmspec.core.markup import Html, fragment, tag

__all__ = [
    "Applicability",
    "Diagnostic",
    "Edit",
    "Fix",
    "Label",
    "Place",
    "Refusal",
    "Severity",
    "Span",
    "SpecError",
    "concise",
    "did_you_mean",
    "distance",
    "has_errors",
    "line_column",
    "locate",
]

Applicability = Literal["safe", "unsafe", "display"]

# Stands for "the severity of the code" until construction ends.
_BY_CODE = cast(Severity, "")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Characters `start` to `end` (end excluded) of a source; the source "" is the main text."""

    source: str
    start: int
    end: int

    def to(self, other: "Span") -> "Span":
        """The span from the start of this one to the end of the other."""
        return Span(self.source, self.start, max(self.end, other.end))


# A place is a span, or an address that a source map turns into one.
Place = Span | str


@dataclass(frozen=True, slots=True)
class Label:
    """A second place that the message is about, with a few words on it."""

    at: Place
    text: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the characters of `span` by `text`."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """A change of the text that follows the help: safe keeps the meaning, unsafe may not, display is for reading."""

    edits: tuple[Edit, ...]
    applicability: Applicability
    title: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. The severity is that of the code unless given.

    `message` says what is wrong in one sentence, `label` stands under the caret, `labels` point at other places,
    `notes` add facts, and each of `help` is right when followed.
    """

    code: str
    message: str
    at: Place | None
    label: str = ""
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: tuple[str, ...] = ()
    fix: Fix | None = None
    severity: Severity = _BY_CODE

    def __post_init__(self) -> None:
        assert self.code in CODES, f"{self.code} is not in the registry"
        assert not isinstance(self.notes, str) and not isinstance(self.help, str), "notes and help are tuples"
        if not self.severity:
            object.__setattr__(self, "severity", CODES[self.code].severity)

    def __str__(self) -> str:
        return concise(self, {})

    def _repr_html_(self) -> Html:
        """For notebooks: the message with its notes and helps; a finding by itself holds no text to point into."""
        head = tag("b", f"{self.severity}[{self.code}]", class_=f"dgm-{self.severity}")
        where = tag("div", tag("code", self.at), class_="dgm-soft") if isinstance(self.at, str) else None
        more = [tag("div", tag("b", f"{word}: ", class_=f"dgm-{word}"), text) for word, text in self._more()]
        return fragment(tag("div", head, f": {self.message}"), where, *more)

    def _more(self) -> "list[tuple[str, str]]":
        return [*(("note", text) for text in self.notes), *(("help", text) for text in self.help)]


class SpecError(Exception):
    """A spec with errors; `diagnostics` holds all findings, `sources` the texts they point into.

    The message is the concise rendering, one line a finding.
    """

    def __init__(self, diagnostics: Sequence[Diagnostic], sources: Mapping[str, str] | None = None) -> None:
        self.diagnostics = tuple(diagnostics)
        self.sources = dict(sources or {})
        super().__init__("\n".join(concise(d, self.sources) for d in self.diagnostics))

    def _render_traceback_(self) -> list[str]:
        """What IPython prints in place of a traceback: where in Python a wrong spec was met helps nobody."""
        return str(self).split("\n")


class Refusal(Exception):
    """Raised by an operation that cannot hold for its arguments or its input; see the module's docstring.

    `argument` names the argument at fault, or is None where the input as a whole is refused. `place` is the address in
    the text that is at fault where that is not the use: a line of an author's bijector, which its operation knows.
    """

    def __init__(
        self,
        code: str,
        message: str,
        argument: str | None = None,
        notes: tuple[str, ...] = (),
        help: tuple[str, ...] = (),
        label: str = "",
        place: str | None = None,
    ) -> None:
        assert code in CODES, f"{code} is not in the registry"
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.argument = argument
        self.notes = notes
        self.help = help
        self.label = label
        self.place = place

    def diagnostic(self, at: Place | None, labels: tuple[Label, ...] = ()) -> Diagnostic:
        """The same finding as a value, at the place that only the caller knows, or with that as its second place."""
        if self.place is not None and at is not None:
            at, labels = self.place, labels or (Label(at, "used here"),)
        return Diagnostic(self.code, self.message, at, self.label, labels, self.notes, self.help)


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether any of them is an error (warnings and notes let a spec pass)."""
    return any(d.severity == "error" for d in diagnostics)


def locate(diagnostic: Diagnostic, span_of: Callable[[str], Span | None]) -> Diagnostic:
    """The diagnostic with its addresses replaced by spans; an address that `span_of` does not know stays."""

    def place(at: Place | None) -> Place | None:
        return (span_of(at) or at) if isinstance(at, str) else at

    labels = tuple(Label(cast(Place, place(label.at)), label.text) for label in diagnostic.labels)
    return replace(diagnostic, at=place(diagnostic.at), labels=labels)


def line_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column of a character offset, both counted from 1; lines end at a newline alone."""
    offset = max(0, min(offset, len(text)))
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def concise(diagnostic: Diagnostic, sources: Mapping[str, str]) -> str:
    """One line: `file:line:column: error[DGM302]: message`, with as much of the place as is known."""
    what = f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"
    at = diagnostic.at
    if isinstance(at, Span) and at.source in sources:
        line, column = line_column(sources[at.source], at.start)
        return f"{at.source or '<text>'}:{line}:{column}: {what}"
    return f"{at}: {what}" if isinstance(at, str) and at else what


def did_you_mean(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate nearest to a mistyped name, or None where none is near enough to be meant.

    Distance counts insertions, deletions, substitutions and swaps of neighbours, a change of case being free; at most
    a third of the longer name may differ (and one letter of a short one, but never all of it).
    """
    best: tuple[int, int, str] | None = None
    for candidate in sorted(set(candidates)):
        if candidate == name:
            continue
        limit = max(1, max(len(name), len(candidate)) // 3)
        far = distance(name.casefold(), candidate.casefold())
        if far == 0 or (far <= limit and far < min(len(name), len(candidate))):
            rank = (far, distance(name, candidate), candidate)
            best = rank if best is None else min(best, rank)
    return best[2] if best else None


def distance(a: str, b: str) -> int:
    """Optimal string alignment distance of two names (cost: product of their lengths)."""
    a, b = a[:100], b[:100]
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        older, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]
