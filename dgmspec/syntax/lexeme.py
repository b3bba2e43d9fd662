"""What the stages of the parser hand on: lexemes, and the sink that gathers their diagnostics."""

from dataclasses import dataclass, field

from dgmspec.core.diagnostics import Applicability, Diagnostic, Edit, Fix, Label, Span

__all__ = ["OPERANDS", "Edits", "Lexeme", "Sink"]

# Tokens that are an expression by themselves.
OPERANDS = frozenset(("NAME", "QNAME", "INT", "FLOAT", "STRING"))

# The edits of a fix: (start, end, text) each.
Edits = tuple[tuple[int, int, str], ...]


@dataclass(slots=True, eq=False)
class Lexeme:
    """A token of the parser. `lines` counts the line ends before it; `flawed` mutes later errors about it."""

    type: str
    text: str
    start: int
    end: int
    lines: int = 0
    before: list[str] = field(default_factory=list)
    after: str = ""
    written: str = ""
    flawed: bool = False
    first: int = 0
    last: int = 0


@dataclass(slots=True)
class Sink:
    """Where the stages of the parser put their diagnostics."""

    source: str
    text: str
    found: list[Diagnostic] = field(default_factory=list)

    def span(self, start: int, end: int) -> Span:
        """A piece of the text, by its offsets."""
        return Span(self.source, start, end)

    def report(
        self,
        code: str,
        message: str,
        start: int,
        end: int,
        *,
        label: str = "",
        labels: tuple[Label, ...] = (),
        notes: tuple[str, ...] = (),
        help: str = "",
        replace: Edits = (),
        applicability: Applicability = "safe",
    ) -> None:
        """Add a diagnostic; `replace` holds the edits (start, end, text) of its fix."""
        edits = tuple(Edit(self.span(a, b), text) for a, b, text in replace)
        fix = Fix(edits, applicability, help) if edits else None
        helps = (help,) if help else ()
        self.found.append(Diagnostic(code, message, self.span(start, end), label, labels, notes, helps, fix))
