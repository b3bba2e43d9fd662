"""Repairs of a statement that does not parse: one token put in or left out, if the whole statement then reads."""

from collections.abc import Sequence

from dgmspec.syntax.automaton import Automaton
from dgmspec.syntax.lexeme import OPERANDS, Edits, Lexeme

__all__ = ["Repair", "closes_at_once", "remedy"]

# A help line, and the edits (start, end, text) that do what it says; "" and none where nothing is known.
Repair = tuple[str, Edits]
NONE: Repair = ("", ())

_ENDS = frozenset(("_SEP", "LBRACE", "RBRACE", "$END"))
_OPENS = frozenset(("LPAR", "LSQB"))
_CLOSES = frozenset(("RPAR", "RSQB"))
_OPERATORS = frozenset(("PLUS", "MINUS", "STAR", "SLASH", "AT", "CIRCUMFLEX"))
# What may be left out, where nothing else is likelier to be wrong; brackets come in pairs and stay.
_REMOVABLE = _OPERATORS | {"COMMA", "COLON", "EQUAL", "TILDE", "VBAR", "_ARROW", "_BACK", "_DOTS"}
# What may be put in, besides the likelier tokens that the reader tries first, and how it is written.
_INSERTED = {"VBAR": " | ", "_DOTS": "..", "_BACK": " <- "}
# Statements longer than this are not tried: each attempt costs their length.
_LONGEST = 500


def remedy(automaton: Automaton, tokens: Sequence[Lexeme], i: int, start: int) -> Repair:
    """How to mend the statement that begins at token `start`, where token `i` cannot stand; `automaton` is before it.

    A repair is offered if it is the only one of its sort.
    """
    if i == start:
        return NONE
    previous, token, rest = tokens[i - 1], tokens[i], _rest(tokens, i)
    if automaton.expected() == {"LBRACE"} and token.type in ("_SEP", "$END"):
        return "write `{` here", ((previous.end, previous.end, " {"),)
    if rest is None:
        return NONE
    # Of two different signs in a row either may be the wrong one.
    beside = previous.type in OPERANDS | _OPENS | _CLOSES or previous.type == token.type
    if token.type in _REMOVABLE and beside and automaton.accepts(rest[1:]):
        return f"remove `{token.text}`", ((token.start, token.end, ""),)
    fitting = [kind for kind in _INSERTED if automaton.accepts((kind, *rest))]
    if len(fitting) == 1:
        written = _INSERTED[fitting[0]]
        return f"write `{written.strip()}` here", ((previous.end, max(previous.end, token.start), written),)
    return NONE


def _rest(tokens: Sequence[Lexeme], i: int) -> tuple[str, ...] | None:
    """The types of the tokens from `i` to the end of the statement, that included; None where there are too many."""
    for j in range(i, min(i + _LONGEST, len(tokens))):
        if tokens[j].type in _ENDS:
            return tuple(token.type for token in tokens[i : j + 1])
    return None


def closes_at_once(lexemes: Sequence[Lexeme], opener: int, end: int) -> bool:
    """Whether an unclosed bracket can only close before lexeme `end`: it holds a list, and no arithmetic of its own.

    `sqrt(1 - t * x` could close behind the `t` as well, and `fn f(x = 2` behind the x; `mlp(64, 64` and `[1, 2` close
    where they end.
    """
    head = opener > 1 and lexemes[opener - 2].type == "NAME" and not lexemes[opener - 1].lines
    barred = _OPERATORS | {"TILDE", "_ARROW", "_BACK"} | ({"EQUAL"} if head else set())
    depth = 0
    for lexeme in lexemes[opener + 1 : end]:
        depth += (lexeme.type in _OPENS) - (lexeme.type in _CLOSES)
        if depth == 0 and lexeme.type in barred:
            return False
    return end > opener + 1
