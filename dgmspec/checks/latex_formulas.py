"""Names, text and formulas in LaTeX."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Final

from dgmspec.algebra.nodes import (
    AbstractExpr,
    Call,
    Constant,
    Index,
    Name,
    Neg,
    Number,
    Power,
    Product,
    Sum,
    Text,
    Vector,
)

__all__ = ["escaped", "expression", "numeral", "symbol"]

_SPECIAL: Final = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "…": r"\ldots{}",
    "∞": r"$\infty$",
}


# ---- names and text -------------------------------------------------------------------------------------------------


def escaped(text: str) -> str:
    """Text that stands for itself in LaTeX's text mode."""
    return "".join(_SPECIAL.get(char) or (f"${_letter(char)}$" if _letter(char) != char else char) for char in text)


def symbol(name: str) -> str:
    r"""A name in mathematics: ``x``, ``\sigma``, ``x_{0}``, ``\mathit{label}``, ``\sigma_{\mathit{max}}``."""
    if name.startswith("["):
        return f"({', '.join(map(symbol, name[1:-1].split(', ')))})"
    head, _, tail = name.partition("_")
    bare = head.rstrip("0123456789")
    if bare and bare != head and not tail:
        head, tail = bare, head[len(bare) :]
    if not head:
        return rf"\mathit{{{escaped(name)}}}"
    base = _letter(head) if len(head) == 1 else rf"\mathit{{{escaped(head)}}}"
    if not tail:
        return base
    return f"{base}_{{{tail if tail.isdigit() else _word(tail)}}}"


def _word(text: str) -> str:
    return _letter(text) if len(text) == 1 else rf"\mathit{{{escaped(text)}}}"


def _letter(char: str) -> str:
    r"""A Greek letter as its command, ``\sigma``; any other as it is."""
    title = unicodedata.name(char, "")
    if not title.startswith("GREEK ") or " LETTER " not in title or " WITH " in title:
        return char
    word = title.rpartition(" ")[2].lower().replace("lamda", "lambda")
    if word not in _GREEK:
        return char
    if "CAPITAL" in title:
        return f"\\{word.title()}" if word in _CAPITALS else rf"\mathrm{{{word[0].upper()}}}"
    return "o" if word == "omicron" else f"\\{word}"


_CAPITALS: Final = frozenset(
    ("gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega")
)
_GREEK: Final = _CAPITALS | {
    *("alpha", "beta", "epsilon", "zeta", "eta", "iota", "kappa", "mu", "nu", "omicron", "rho", "tau", "chi"),
}


# ---- expressions ----------------------------------------------------------------------------------------------------

_CONSTANTS: Final = {"pi": r"\pi", "inf": r"\infty", "true": r"\text{true}", "false": r"\text{false}"}
_FENCES: Final = {
    "sqrt": (r"\sqrt{", "}"),
    "abs": (r"\left|", r"\right|"),
    "norm": (r"\left\lVert ", r"\right\rVert"),
}
"""What stands around the one argument of a function that is not written by its name."""
_COMMANDS: Final = frozenset(("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "min", "max"))


def numeral(text: str) -> str:
    r"""A number as mathematics has it: ``0.5``, ``10^{-5}``, ``2.5 \cdot 10^{20}``, ``\infty``."""
    factor, _, power = text.partition("e")
    if not power:
        return text.replace("inf", r"\infty")
    return ("" if factor == "1" else rf"{factor} \cdot ") + f"10^{{{int(power)}}}"


def expression(node: AbstractExpr, names: dict[str, str] | None = None) -> str:
    """A formula; `names` says what certain names stand for."""
    names = names or {}

    def inner(part: AbstractExpr) -> str:
        return expression(part, names)

    def tight(part: AbstractExpr) -> str:
        """As a factor: sums in parentheses, and what begins with a sign."""
        said = inner(part)
        return rf"\left({said}\right)" if isinstance(part, (Sum, Neg)) or said.startswith("-") else said

    match node:
        case Number():
            return numeral(f"{node.value}")
        case Constant():
            return _CONSTANTS[node.name]
        case Name():
            return names.get(node.id) or symbol(node.id.rpartition(".")[2])
        case Text():
            return rf"\text{{{escaped(node.value)}}}"
        case Neg():
            return f"-{tight(node.of)}"
        case Sum():
            said = " ".join(f"{t.sign} {inner(t.of) if t.sign == '+' else tight(t.of)}" for t in node.terms)
            return said.removeprefix("+ ").replace("+ -", "- ")
        case Product():
            return _product(node, tight, inner)
        case Power():
            base = tight(node.base)
            simple = isinstance(node.base, (Name, Number, Constant, Index))
            simple &= "^" not in base
            return f"{{{base if simple else _paren(base)}}}^{{{inner(node.exponent)}}}"
        case Index():
            return f"{{{tight(node.of)}}}_{{{inner(node.index)}}}"
        case Vector():
            return rf"\left[{', '.join(map(inner, node.items))}\right]"
        case Call() if node.name in _FENCES and len(node.args) == 1:
            opened, closed = _FENCES[node.name]
            return f"{opened}{inner(node.args[0].value)}{closed}"
        case Call():
            head = f"\\{node.name}" if node.name in _COMMANDS else rf"\operatorname{{{escaped(node.name)}}}"
            return rf"{head}\left({', '.join(inner(a.value) for a in node.args)}\right)"
        case _:
            return r"\ldots"


def _paren(text: str) -> str:
    return text if text.startswith(r"\left(") else rf"\left({text}\right)"


def _product(node: Product, tight: Callable[[AbstractExpr], str], inner: Callable[[AbstractExpr], str]) -> str:
    """Factors from the left, quotients as fractions; the sign of the first stands before the whole."""
    first = node.factors[0].of
    alone = inner if node.factors[1].op == "/" else tight  # a bar sets apart what stands above and below it
    sign, said = ("-", alone(first.of)) if isinstance(first, Neg) else ("", alone(first))
    for factor in node.factors[1:]:
        part = (inner if factor.op == "/" else tight)(factor.of)
        if factor.op == "/":
            said = rf"\frac{{{said}}}{{{part}}}"
        else:
            said += rf" \cdot {part}" if factor.op == "*" else f" \\, {part}"
    return sign + said
