"""What a statement that could not be read may have declared: its names are known, though nothing stands for them."""

from collections.abc import Iterable

from dgmspec.syntax.layout import HEADS, arrange
from dgmspec.syntax.tokens import Lexeme, Sink, lex

__all__ = ["names_around"]

_ENDS = frozenset(("_SEP", "LBRACE", "RBRACE", "$END"))
# How many tokens of a statement the name that it declares is among: `param a`, or `param : a`.
_FRONT = 3


def names_around(text: str, offsets: Iterable[int]) -> frozenset[str]:
    """The names that the statements around some places of a text may declare.

    These are the names at a statement's front, and those behind another name or behind `as`.
    """
    wanted = sorted(offsets)
    lexemes = lex(Sink("", text)) if wanted else None
    tokens = arrange(lexemes, Sink("", text)) if lexemes else None
    names: set[str] = set()
    statement: list[Lexeme] = []
    for token in tokens or ():
        if token.type not in _ENDS:
            statement.append(token)
            continue
        if statement and any(statement[0].start <= offset <= token.end for offset in wanted):
            names |= _declared(statement)
        statement = []
    return frozenset(names)


def _declared(statement: list[Lexeme]) -> set[str]:
    before = ["", *(token.type for token in statement)]
    return {
        token.text
        for i, token in enumerate(statement)
        if token.type == "NAME" and token.text not in HEADS and (i < _FRONT or before[i] in ("NAME", "_AS"))
    }
