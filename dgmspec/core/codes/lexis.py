"""Family 1xx: the characters, names, strings and numbers that a text is made of."""

from dgmspec.core.code import Code
from dgmspec.core.example import file_text

CODES: tuple[Code, ...] = (
    Code(
        "DGM101",
        "error",
        "a character outside the language",
        "A text is made of names, numbers, strings, brackets, commas and the operators of the language.",
        "Many characters look like one of these, or mean it elsewhere; reading them silently would hide what is meant.",
        file_text("param a = 2 × 3"),
        file_text("param a = 2 * 3"),
    ),
    Code(
        "DGM102",
        "error",
        "a name that is not an identifier",
        "A name is letters, digits and `_`, before and after Unicode normalisation (NFKC).",
        "`x²` and `x₀` normalise to the names `x2` and `x0`: the first is meant as a power, so it is not guessed at.",
        file_text("fn f(x) = x²"),
        file_text("fn f(x) = x^2"),
    ),
    Code(
        "DGM103",
        "error",
        "a string that does not end",
        'A string begins and ends with `"` on one line; it holds any printable character but `"`.',
        "Strings are paths and labels, and neither has line ends.",
        file_text('use "blocks.dgm as blocks'),
        file_text("param a = 1"),
    ),
    Code(
        "DGM104",
        "error",
        "a power written `**`",
        "A power is written `^`.",
        "One spelling for one operation; `^` is the one of mathematics.",
        file_text("fn f(x) = x ** 2"),
        file_text("fn f(x) = x ^ 2"),
    ),
    Code(
        "DGM105",
        "error",
        "a symbol of another language",
        "The operators are `+ - * / @ ^`, and `= ~ <- -> | : ..` join the parts of a statement.",
        "A spec states a model, it does not compute: there are no comparisons and no logic. `<` and `>` are reserved.",
        file_text("param a := 2"),
        file_text("param a = 2"),
    ),
    Code(
        "DGM106",
        "error",
        "a control character in a string",
        "A string holds printable characters.",
        "Strings are shown in messages and used as paths; an invisible character in one is a trap.",
        file_text('data d = csv("a\tb.csv")'),
        file_text("param a = 1"),
    ),
    Code(
        "DGM107",
        "error",
        "a number that begins or ends with a point",
        "A decimal number has digits on both sides of its point: `0.5`, `1.0`.",
        "`1..T` is a range, so a point at the end of a number could be read two ways.",
        file_text("param a = .5"),
        file_text("param a = 0.5"),
    ),
)
