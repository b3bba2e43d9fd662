"""Characters and words of neighbouring notations, and how this language writes what they mean."""

import unicodedata

__all__ = ["NAMED", "SPELLINGS", "WORDS", "plain_name"]

# Sequences that the lexer reads in order to name them: what is wrong, what to write, and the text to put in their
# place where nothing else can be meant.
NAMED: dict[str, tuple[str, ...]] = {
    "==": ("the language has no comparison `==`", "write `=` to define", "="),
    "!=": ("the language has no comparison `!=`", "remove the comparison"),
    "<=": ("the language has no comparison `<=`", "bounds are part of a type: `interval(0, 1)`"),
    ">=": ("the language has no comparison `>=`", "bounds are part of a type: `interval(0, 1)`"),
    "<": ("`<` is reserved", "an update is written `<-`; bounds are part of a type: `interval(0, 1)`"),
    ">": ("`>` is reserved", "an arrow is written `->`; bounds are part of a type: `interval(0, 1)`"),
    ":=": ("`:=` is not part of the language", "write `=` to define, `<-` to update"),
    "=>": ("`=>` is not part of the language", "an arrow is written `->`", "->"),
    "//": ("`//` does not begin a comment", "write `#` before a comment, `/` for a quotient"),
    "&&": ("the language has no logic", "remove `&&`"),
    "||": ("the language has no logic", "a context is written with one `|`"),
    "|>": ("`|>` is not part of the language", "the steps of a chain stand one below the other in `{ }`"),
    "...": ("a range has two points", "write `..`", ".."),
    "!": ("`!` is not part of the language", "a comment begins with `#`"),
    "%": ("`%` is not part of the language", "a comment begins with `#`"),
    "&": ("`&` is not part of the language", "separate arguments with `,`"),
    "?": ("`?` is not part of the language", "remove it"),
    "$": ("`$` is not part of the language", "a parameter is named without `$`"),
    "\\": ("`\\` is not part of the language", "a line continues inside parentheses, or after an operator"),
}

# Words of programming languages that would stand between or before operands, and what says the same here.
WORDS: dict[str, str] = {
    "import": 'a spec runs no code; definitions of another file come by `use "file.dgm" as NAME`',
    "from": 'a spec runs no code; definitions of another file come by `use "file.dgm" as NAME`',
    "for": "steps are repeated by `repeat 4 as k { … }`",
    "while": "steps are repeated by `repeat 4 as k { … }`",
    "def": "a function is written `fn f(t) = …`, a chain of steps `bijector f = { … }`",
    "class": "a model is written `model M { … }`",
    "let": "a number with a name is written `param a = …`",
    "var": "a number with a name is written `param a = …`",
    "const": "a number with a name is written `param a = …`",
    "if": "the language has no conditions; a bounded set is part of a type: `interval(0, 1)`",
}

# Single characters: the terminal that is meant, and its spelling.
SPELLINGS: dict[str, tuple[str, str]] = {
    "−": ("MINUS", "-"),
    "–": ("MINUS", "-"),
    "—": ("MINUS", "-"),
    "·": ("STAR", "*"),
    "⋅": ("STAR", "*"),
    "×": ("STAR", "*"),
    "∗": ("STAR", "*"),
    "÷": ("SLASH", "/"),
    "∕": ("SLASH", "/"),
    "→": ("_ARROW", "->"),
    "⟶": ("_ARROW", "->"),
    "←": ("_BACK", "<-"),
    "∼": ("TILDE", "~"),
    "∣": ("VBAR", "|"),
    "…": ("_DOTS", ".."),
    "∞": ("NAME", "inf"),
    "√": ("NAME", "sqrt"),
    "∑": ("NAME", "sum"),
    "'": ("QUOTE", '"'),
    "`": ("QUOTE", '"'),
    "‘": ("QUOTE", '"'),
    "’": ("QUOTE", '"'),
    "“": ("QUOTE", '"'),
    "”": ("QUOTE", '"'),
    "„": ("QUOTE", '"'),
    "«": ("QUOTE", '"'),
    "»": ("QUOTE", '"'),
    " ": ("WHITE", " "),
    "\u200b": ("WHITE", ""),
    "\ufeff": ("WHITE", ""),
    "+": ("PLUS", "+"),
    "-": ("MINUS", "-"),
    "*": ("STAR", "*"),
    "/": ("SLASH", "/"),
    "@": ("AT", "@"),
    "^": ("CIRCUMFLEX", "^"),
    "=": ("EQUAL", "="),
    "~": ("TILDE", "~"),
    "|": ("VBAR", "|"),
    ":": ("COLON", ":"),
    ";": ("_SEMI", ";"),
    ",": ("COMMA", ","),
    "(": ("LPAR", "("),
    ")": ("RPAR", ")"),
    "[": ("LSQB", "["),
    "]": ("RSQB", "]"),
    "{": ("LBRACE", "{"),
    "}": ("RBRACE", "}"),
}


def plain_name(written: str) -> tuple[str, str]:
    """For a word that is no name, such as `x²`, `x₀` or `½`: the name to read on with, and what to write instead."""
    out, power = "", ""
    for character in written:
        form = unicodedata.decomposition(character).partition(" ")[0]
        plain = unicodedata.normalize("NFKC", character).replace("\u2044", "/")
        if form == "<super>":
            power += plain
        elif form == "<fraction>":
            out += f" * {plain}" if out else plain
        elif plain == "_" or f"a{plain}".isidentifier():
            out += plain
    out = unicodedata.normalize("NFKC", out)  # letters and accents that stood apart
    base = out if out.isidentifier() else "x"
    return base, (f"{out}^{power}" if out else f"^{power}") if power else out or "x"
