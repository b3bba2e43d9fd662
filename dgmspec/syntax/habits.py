"""Signs that neighbouring notations put where this language puts another one, and what to write instead."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from dgmspec.syntax.lexeme import Edits, Lexeme

__all__ = ["habit", "typed_first"]

# Types that stand before a name elsewhere, and what they are here.
_TYPES = {
    "real": "real",
    "float": "real",
    "double": "real",
    "int": "integer(0..9)",
    "vector": "real[8]",
    "row_vector": "real[8]",
    "matrix": "real[8, 2]",
    "simplex": "simplex[3]",
    "positive": "positive",
    "unit": "unit",
}


def habit(tokens: Sequence[Lexeme], i: int, start: int, expected: AbstractSet[str]) -> tuple[str, Edits]:
    """The help for token `i` of the statement that begins at token `start`, and its edits; "" where none is known."""
    head, token, following = tokens[start], tokens[i], tokens[i + 1] if i + 1 < len(tokens) else tokens[i]
    here = token.start, token.end
    if token.type == "EQUAL" and "TILDE" in expected and head.text in ("observe", "latent"):
        return "write `~`: a variable has a distribution", ((*here, "~"),)
    if head.type == "_REPEAT" and token.text == "in" and "_AS" in expected:
        return _repeat(tokens, i)
    if token.type == "TILDE" and head.text == "learn":
        name = tokens[start + 1].text
        return f"a learned number has a start and no law; an unknown with one is `latent {name} : … ~ …`", ()
    if token.type == "COLON" and "RSQB" in expected:
        return "there are no slices: list the coordinates, `[x[0], x[1]]`", ()
    if token.type == "COLON" and expected == {"LBRACE"}:
        return f"a block stands in braces: `{head.text} {tokens[i - 1].text} {{ … }}`", ()
    if token.type == "COLON" and i == start + 1 and "EQUAL" in expected:
        return f"write `=`: `{head.text} = …`", ((*here, " ="),)
    if tokens[i - 1].type == "COLON" and token.type in ("INT", "FLOAT"):
        return f"a value stands behind `=`: `= {token.text}`", ((tokens[i - 1].start, tokens[i - 1].end, "="),)
    if token.type == "COMMA" and "_SEP" in expected:
        ends = following.type in ("_SEP", "RBRACE", "$END")
        return "statements are separated by a new line or `;`", ((*here, "" if ends else ";"),)
    return "", ()


def _repeat(tokens: Sequence[Lexeme], i: int) -> tuple[str, Edits]:
    """`repeat k in 0..3` counts from 0, as `repeat 4 as k` does."""
    index, (low, dots, high) = tokens[i - 1], tokens[i + 1 : i + 4]
    if (low.type, low.text, dots.type, high.type) == ("INT", "0", "_DOTS", "INT"):
        written = f"{int(high.text.replace('_', '')) + 1} as {index.text}"
        return f"write `repeat {written}`", ((index.start, high.end, written),)
    return f"a repeat counts from 0: `repeat 4 as {index.text} {{ … }}`", ()


def typed_first(tokens: Sequence[Lexeme], i: int, start: int) -> str:
    """The help for a name, token `i`, behind its type, as in `real mu` or `vector[8] y`; "" for any other."""
    type_, sized = _TYPES.get(tokens[start].text), tokens[start + 1].type == "LSQB" and tokens[i - 1].type == "RSQB"
    if type_ is None or tokens[i].type != "NAME" or not (i == start + 1 or sized):
        return ""
    name = tokens[i].text
    return f"a type stands behind its name: `latent {name} : {type_}`, or `observe {name} : {type_}` for data"
