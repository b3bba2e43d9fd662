"""Longer phrases of neighbouring notations, found where the lexer meets their first character."""

import re

from dgmspec.syntax.foreign import SPELLINGS

__all__ = ["bounds", "closing_quote", "is_prose"]

_BOUNDS = re.compile(
    r"<[ \t]*lower[ \t]*=[ \t]*(?P<lower>[^<>,=\n]+?)[ \t]*(?:,[ \t]*upper[ \t]*=[ \t]*(?P<upper>[^<>,=\n]+?)[ \t]*)?>"
)
_WORDS = re.compile(r"[^\W\d]\w*[,;:.]?[ \t]+[^\W\d]\w*")
_REAL = re.compile(r"(?<![\w.])real[ \t]*\Z")


def bounds(text: str, start: int) -> tuple[int, int, str] | None:
    """What to write for the bounds at `start`, as in `real<lower=0>` or `s<lower=0, upper=1>`: (start, end, type).

    The place to replace begins at the `real` before the bounds, if there is one. None where no type says the same.
    """
    found = _BOUNDS.match(text, start)
    if found is None:
        return None
    lower, upper = found["lower"], found["upper"]
    if upper is None and lower not in ("0", "0.0"):
        return None
    pair = "unit" if (lower, upper) == ("0", "1") else f"interval({lower}, {upper})"
    type_ = "positive" if upper is None else pair
    real = _REAL.search(text, text.rfind("\n", 0, start) + 1, start)
    return (real.start() if real else start), found.end(), type_ if real else f" : {type_}"


def closing_quote(text: str, start: int) -> int | None:
    """Where the string ends that a foreign quotation mark at `start` begins: the place of the next such mark.

    None where there is none on the line, or the mark may be a prime, as in `f'(x)`.
    """
    if start and (text[start - 1].isalnum() or text[start - 1] in "_)"):
        return None
    for at in range(start + 1, len(text)):
        character = text[at]
        if character in '\n"#':
            return None
        if SPELLINGS.get(character, ("",))[0] == "QUOTE":
            return at
    return None


def is_prose(text: str, start: int) -> bool:
    """Whether the `//` at `start` begins a comment and is no quotient: it begins its line, or two words follow."""
    before = text[text.rfind("\n", 0, start) + 1 : start]
    after = text[start:].partition("\n")[0]
    return not before.strip() or bool(_WORDS.search(after))
