"""The words of a text by what they are: for colours on a page. Any text is read; what is wrong in it stays plain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from dgmspec.core.markup import Html, join, tag
from dgmspec.syntax.layout import arrange
from dgmspec.syntax.lexeme import Lexeme, Sink
from dgmspec.syntax.tokens import comments, lex

__all__ = ["Role", "highlight", "words"]

Role = Literal["keyword", "type", "argument", "number", "string", "comment"]


def highlight(text: str) -> Html:
    """The text as HTML, its words in spans with classes."""
    pieces, at = list[str](), 0
    for start, end, role in words(text):
        pieces += [text[at:start], tag("span", text[start:end], class_=f"dgm-{role}")]
        at = end
    return tag("pre", tag("code", join([*pieces, text[at:]])))


def words(text: str) -> list[tuple[int, int, Role]]:
    """The words with a role as (start, end, role), in the order of the text."""
    sink = Sink("", text)
    lexemes = lex(sink)
    found = [] if lexemes is None else list(_roles(arrange(lexemes, sink) or lexemes))
    remarks: list[tuple[int, int, Role]] = [(start, start + len(said), "comment") for start, said in comments(text)]
    ordered, at = list[tuple[int, int, Role]](), 0
    for start, end, role in sorted({*found, *remarks}):
        if start >= at and end > start:
            ordered.append((start, end, role))
            at = end
    return ordered


def _roles(lexemes: list[Lexeme]) -> Iterator[tuple[int, int, Role]]:
    """A name before `=` is an argument or a setting, one after `:` a type; keywords are told by the layout."""
    before = ""
    for lexeme, after in zip(lexemes, [*lexemes[1:], None], strict=True):
        role: Role | None = None
        if lexeme.type in ("INT", "FLOAT"):
            role = "number"
        elif lexeme.type == "STRING":
            role = "string"
        elif lexeme.type not in ("NAME", "QNAME"):
            role = "keyword" if lexeme.text.isidentifier() else None
        elif before == "COLON":
            role = "type"
        elif after is not None and after.type == "EQUAL":
            role = "argument"
        if role:
            yield lexeme.start, lexeme.end, role
        before = lexeme.type
