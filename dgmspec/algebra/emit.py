"""Terms written as formulas again, in the stable form of each piece.

``exp(u) - 1`` becomes `expm1`, ``log(1 + u)`` `log1p`, negative exponents divisions, and half powers `sqrt`.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial, reduce
from typing import Final

from dgmspec.algebra.builder import Builder
from dgmspec.algebra.intervals import decimal, nearest
from dgmspec.algebra.nodes import AbstractExpr, Factor, Name, Neg, Power, call_of, expr, product_of, sum_of
from dgmspec.algebra.nodes import Term as Summand
from dgmspec.algebra.terms import Add, Fn, Mul, Num, Opaque, Sym, Term

_SMALL: Final = 2**20


def emit(b: Builder, term: Term) -> AbstractExpr:
    """The formula of a term."""
    match term:
        case Num():
            return _number(term.value)
        case Sym():
            return Name(id=term.name)
        case Opaque():
            return term.formula
        case Add():
            return _sum(b, term)
        case Mul():
            return _product(b, term)
        case Fn():
            return _function(b, term)
    raise AssertionError(f"{term!r} has no formula")


def _number(value: Fraction) -> AbstractExpr:
    """A rational number: whole as it is, a decimal or the nearest float otherwise."""
    return expr(int(value)) if value.denominator == 1 and abs(value) < 2**53 else expr(nearest(value))


def _function(b: Builder, term: Fn) -> AbstractExpr:
    u = term.args[0]
    if term.name == "log" and isinstance(u, Add) and (balanced := _log_of_exponentials(b, u)) is not None:
        return balanced
    if term.name == "log" and isinstance(u, Add) and u.constant == 1:
        return call_of("log1p", emit(b, b.combine(u.parts)))
    if term.name == "bell":
        return _joined([("*", call_of("sigmoid", emit(b, u))), ("*", call_of("sigmoid", emit(b, b.neg(u))))])
    return call_of(term.name, *(emit(b, arg) for arg in term.args))


def _log_of_exponentials(b: Builder, u: Add) -> AbstractExpr | None:
    """``log(a + c exp(v)) = logaddexp(log a, log c + v)`` for positive terms: exp(v) itself may overflow."""
    grown = [b.scale(part, c) for part, c in u.parts if _exponential(part)]
    rest = b.combine([(part, c) for part, c in u.parts if not _exponential(part)], u.constant)
    items = grown if rest == Num(0) else [*grown, rest]
    if not grown or len(items) < 2 or any(b.sign(item) != 1 for item in items):
        return None
    return reduce(partial(call_of, "logaddexp"), (emit(b, b.log(item)) for item in items))


def _exponential(part: Term) -> bool:
    factors = part.factors if isinstance(part, Mul) else ((part, Num(1)),)
    return any(isinstance(base, Fn) and base.name == "exp" for base, _ in factors)


def _short(value: Fraction) -> bool:
    """Whether a float's shortest decimal is exactly this number."""
    return decimal(nearest(value)) == value


def _sum(b: Builder, term: Add) -> AbstractExpr:
    parts, constant = list(term.parts), term.constant
    if constant and len(parts) == 1 and not _short(parts[0][1]) and _short(constant / parts[0][1]):
        # (x - 0.3) / 0.7, which is exact near x = 0.3, rather than 1.43 x - 0.43
        inside = emit(b, b.combine([(parts[0][0], Fraction(1))], constant / parts[0][1]))
        scaled = _scaled(abs(parts[0][1]), inside)
        return scaled if parts[0][1] > 0 else Neg(of=scaled)
    items: list[tuple[bool, AbstractExpr]] = []
    for part, coefficient in parts:
        size = abs(coefficient)
        if constant and constant == -coefficient and isinstance(part, Fn) and part.name == "exp":
            constant = Fraction(0)
            part = Fn("expm1", part.args)
        if coefficient < 0 and isinstance(part, Fn) and part.name == "max" and _all_negative(b, part):
            items.append((True, _scaled(size, call_of("min", *(emit(b, b.neg(arg)) for arg in part.args)))))
        else:
            items.append((coefficient > 0, _scaled(size, emit(b, part))))
    if constant:
        items.append((constant > 0, _number(abs(constant))))
    items.sort(key=lambda item: not item[0])  # what is added stands before what is subtracted
    positive, first = items[0]
    first = first if positive else Neg(of=first)
    if len(items) == 1:
        return first
    return sum_of(first, (Summand(sign="+" if plus else "-", of=item) for plus, item in items[1:]))


def _all_negative(b: Builder, term: Fn) -> bool:
    return all(b.leads_negative(arg) or arg == Num(0) for arg in term.args)


def _scaled(size: Fraction, formula: AbstractExpr) -> AbstractExpr:
    """size · formula, divided by a whole number where the coefficient is no short decimal (``x / 3``)."""
    if size == 1:
        return formula
    if not _short(size) and _short(1 / size):
        return _joined([("*", formula), ("/", _number(1 / size))])
    if _short(size) or max(size.numerator, size.denominator) > _SMALL:
        return _joined([("*", _number(size)), ("*", formula)])
    scaled = [("*", formula)] if size.numerator == 1 else [("*", _number(Fraction(size.numerator))), ("*", formula)]
    return _joined([*scaled, ("/", _number(Fraction(size.denominator)))])


def _joined(items: list[tuple[str, AbstractExpr]]) -> AbstractExpr:
    """A product of operators and operands, the first of which is a factor."""
    if len(items) == 1:
        return items[0][1]
    return product_of(items[0][1], (Factor(op=op, of=of) for op, of in items[1:]))


def _product(b: Builder, term: Mul) -> AbstractExpr:
    above: list[tuple[str, AbstractExpr]] = []
    below: list[tuple[str, AbstractExpr]] = []
    for base, exponent in term.factors:
        number = exponent.value if isinstance(exponent, Num) else None
        if number is not None and number < 0:
            below.append(("/", _power(b, base, Num(-number))))
        else:
            above.append(("*", _power(b, base, exponent)))
    return _joined([*(above or [("*", expr(1))]), *below])


def _power(b: Builder, base: Term, exponent: Term) -> AbstractExpr:
    formula = emit(b, base)
    if isinstance(exponent, Num):
        whole, rest = divmod(exponent.value, 1)
        if exponent.value == 1:
            return formula
        if rest == Fraction(1, 2):
            root = call_of("sqrt", formula)
            return root if whole == 0 else _joined([("*", _raised(formula, Num(whole), b)), ("*", root)])
    return _raised(formula, exponent, b)


def _raised(formula: AbstractExpr, exponent: Term, b: Builder) -> AbstractExpr:
    if exponent == Num(1):
        return formula
    return Power(base=formula, exponent=emit(b, exponent))
