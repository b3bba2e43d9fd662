"""Terms built and simplified: like terms joined, idioms recognised, functions applied.

Every rewriting is an identity on the box of the builder, where each function's argument lies in its domain; the reader
checks those domains on the formula as written, *before* anything cancels. Signs that a rule needs (``log(x y) = log x
+ log y``, ``sqrt(x^2) = x``) are taken from interval evaluation over the box, never assumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Final

from dgmspec.algebra import idioms
from dgmspec.algebra.intervals import Interval
from dgmspec.algebra.ranges import Box
from dgmspec.algebra.rational import number_power, ratio, short, turns
from dgmspec.algebra.terms import (
    MINUS,
    ONE,
    ZERO,
    Add,
    Fn,
    Mul,
    Num,
    Term,
    split_multiple,
)

INVERSE_PAIRS: Final = {
    ("sinh", "arcsinh"), ("arcsinh", "sinh"), ("tanh", "arctanh"), ("arctanh", "tanh"), ("logit", "sigmoid"),
    ("sigmoid", "logit"), ("erf", "erfinv"), ("erfinv", "erf"), ("tan", "arctan"), ("softplus", "log_expm1"),
    ("log_expm1", "softplus"), ("sin", "arcsin"), ("cos", "arccos"), ("cosh", "arccosh"),
}  # fmt: skip
"""(outer, inner) with outer(inner(u)) = u wherever the inner one is defined."""

ODD: Final = {"sin", "tan", "sinh", "tanh", "arcsinh", "arctan", "erf", "erfinv", "arcsin", "arctanh"}
EVEN: Final = {"cos", "cosh", "abs", "bell"}
AT_ZERO: Final[dict[str, Fraction]] = {
    **dict.fromkeys(ODD, Fraction(0)),
    **dict.fromkeys(("cos", "cosh", "exp"), Fraction(1)),
    "sigmoid": Fraction(1, 2),
    "bell": Fraction(1, 4),
}


class Exhausted(Exception):
    """The budget of an analysis is spent."""


class Builder:
    """Builds terms over a box: one interval for each name that may occur."""

    def __init__(self, box: Mapping[str, Interval], budget: list[int]) -> None:
        self._budget = budget
        self.box = Box(box, self.spend)

    def spend(self, cost: int = 1) -> None:
        """Count work; `Exhausted` at the end of the budget, which is shared by all builders of one analysis."""
        self._budget[0] -= cost
        if self._budget[0] < 0:
            raise Exhausted

    def over(self, box: Mapping[str, Interval]) -> Builder:
        """A builder over other intervals, on the same budget."""
        return Builder(box, self._budget)

    def sign(self, term: Term) -> int | None:
        """The sign of a term on the whole box, None where interval evaluation cannot tell."""
        return self.box.range(term).sign

    # ---- sums -------------------------------------------------------------------------------------------------------

    def add(self, *terms: Term) -> Term:
        """The sum."""
        return self.combine((term, Fraction(1)) for term in terms)

    def sub(self, a: Term, b: Term) -> Term:
        """a - b."""
        return self.combine(((a, Fraction(1)), (b, Fraction(-1))))

    def neg(self, a: Term) -> Term:
        """-a."""
        return self.scale(a, Fraction(-1))

    def scale(self, term: Term, factor: Fraction | int) -> Term:
        """factor · term."""
        return term if factor == 1 else self.combine(((term, Fraction(factor)),))

    def combine(self, items: Iterable[tuple[Term, Fraction]], constant: Fraction = Fraction(0)) -> Term:
        """``Σ coefficient · term + constant``, flattened, like terms joined and idioms applied."""
        parts: dict[Term, Fraction] = {}
        for term, coefficient in items:
            self.spend()
            if isinstance(term, Num):
                constant += coefficient * term.value
            elif isinstance(term, Add):
                self.spend(len(term.parts))
                constant += coefficient * term.constant
                for part, inner in term.parts:
                    parts[part] = parts.get(part, 0) + coefficient * inner
            else:
                parts[term] = parts.get(term, 0) + coefficient
        parts = {term: coefficient for term, coefficient in parts.items() if coefficient}
        if len(parts) + bool(constant) > 1:
            rewritten = idioms.of_sum(self, parts, constant)
            if rewritten is not None:
                return rewritten
        return _sum(parts, constant)

    # ---- products ---------------------------------------------------------------------------------------------------

    def mul(self, *terms: Term) -> Term:
        """The product: equal bases joined, exponentials merged, rational factors collected."""
        return self.product([(term, ONE) for term in terms])

    def div(self, a: Term, b: Term) -> Term:
        """a / b."""
        return self.product([(a, ONE), (b, MINUS)])

    def product(self, factors: Iterable[tuple[Term, Term]]) -> Term:
        """``Π base ^ exponent``."""
        coefficient, bases, exponents = Fraction(1), dict[Term, Term](), []
        stack = list(factors)[::-1]
        while stack:
            self.spend()
            base, exponent = stack.pop()
            number = exponent.value if isinstance(exponent, Num) else None
            scale, rest = split_multiple(base)
            whole = number is not None and number.denominator == 1
            if scale == 0 and number is not None and number > 0:
                return ZERO
            if scale != 1 and whole and number is not None and short(scale, number):
                coefficient *= scale ** int(number)
                stack.append((rest, exponent))
            elif rest == ONE and scale == 1:
                continue
            elif isinstance(rest, Mul) and scale == 1 and whole:
                stack += [(b, self.mul(e, exponent)) for b, e in reversed(rest.factors)]
            elif isinstance(rest, Fn) and rest.name == "exp" and scale == 1:
                exponents.append(self.mul(rest.args[0], exponent))
            else:
                coefficient *= self._gather(bases, base, exponent)
        if exponents:
            merged = self.exp(self.add(*exponents))
            scale, rest = split_multiple(merged)
            coefficient *= scale
            for base, exponent in rest.factors if isinstance(rest, Mul) else ((rest, ONE),):
                coefficient *= self._gather(bases, base, exponent)
        bases = {base: exponent for base, exponent in bases.items() if exponent != ZERO and base != ONE}
        if len(bases) + (coefficient != 1) > 1 or any(isinstance(base, Add) for base in bases):
            rewritten = idioms.of_product(self, bases)
            if rewritten is not None:
                return self.scale(rewritten, coefficient)
        return self.scale(_product(tuple(bases.items())), coefficient)

    def _gather(self, bases: dict[Term, Term], base: Term, exponent: Term) -> Fraction:
        """Multiply base^exponent into `bases`; the rational factor that comes out (sums may be multiples)."""
        if isinstance(base, Add) and isinstance(exponent, Num) and exponent.value.denominator == 1:
            self.spend(len(bases))
            for other, known in bases.items():
                times = ratio(base, other)
                if times is not None and times != 1 and isinstance(known, Num) and known.value.denominator == 1:
                    bases[other] = self.add(known, exponent)
                    return times ** int(exponent.value)
        total = self.add(bases[base], exponent) if base in bases else exponent
        if isinstance(base, Num) and isinstance(total, Num):  # 2^(1/2) · 2^(1/2)
            bases.pop(base, None)
            known = self.power(base, total.value)
            scale, rest = split_multiple(known)
            if rest != ONE:
                bases[base] = total
                return Fraction(1)
            return scale
        bases[base] = total
        return Fraction(1)

    def power(self, base: Term, n: Fraction | int) -> Term:
        """base^n for a rational n."""
        n = Fraction(n)
        self.spend()
        if n == 1:
            return base
        if n == 0:
            return ONE
        if isinstance(base, Num):
            return number_power(base.value, n)
        if isinstance(base, Fn) and base.name == "exp":
            return self.exp(self.scale(base.args[0], n))
        if isinstance(base, Fn) and base.name == "abs" and n.denominator == 1 and n.numerator % 2 == 0:
            return self.power(base.args[0], n)
        if n.denominator == 1:
            return self.product(((base, Num(n)),))
        return self._root(base, n)

    def _root(self, base: Term, n: Fraction) -> Term:
        """A fractional power: of the factors one by one where their signs allow it."""
        scale, rest = split_multiple(base)
        if scale > 0 and scale != 1:
            return self.mul(number_power(scale, n), self.power(rest, n))
        if scale == 1 and isinstance(rest, Mul):
            done: list[Term] = []
            for b, e in rest.factors:
                even = isinstance(e, Num) and e.value.denominator == 1 and e.value.numerator % 2 == 0
                if self.box.range(b).low >= 0:
                    done.append(self.product(((b, self.scale(e, n)),)))
                elif even and isinstance(e, Num):
                    done.append(self.power(self.fn("abs", b), e.value * n))
                else:
                    return Mul(((base, Num(n)),))
            return self.mul(*done)
        return self.product(((base, Num(n)),))

    def raise_to(self, base: Term, exponent: Term) -> Term:
        """base^exponent; the base is positive unless the exponent is a number."""
        if isinstance(exponent, Num):
            return self.power(base, exponent.value)
        if base == ONE:
            return ONE
        if isinstance(base, Fn) and base.name == "exp":
            return self.exp(self.mul(exponent, base.args[0]))
        return self.product(((base, exponent),))

    # ---- functions --------------------------------------------------------------------------------------------------

    def exp(self, u: Term) -> Term:
        """exp(u), with ``exp(c log v) = v^c`` taken out."""
        if isinstance(u, Num):
            return ONE if u.value == 0 else Fn("exp", (u,))
        outside: list[Term] = []
        inside: list[tuple[Term, Fraction]] = []
        for part, coefficient in u.parts if isinstance(u, Add) else ((u, Fraction(1)),):
            found = self._exp_log(part, coefficient)
            if found is None:
                inside.append((part, coefficient))
            else:
                outside.append(found)
        if not outside:
            return Fn("exp", (u,))
        return self.mul(*outside, self.exp(self.combine(inside, u.constant if isinstance(u, Add) else Fraction(0))))

    def _exp_log(self, part: Term, coefficient: Fraction) -> Term | None:
        """exp(coefficient · part) where part is a logarithm, or one times other factors; else None."""
        if isinstance(part, Fn) and part.name == "log":
            return self.power(part.args[0], coefficient)
        if isinstance(part, Mul):
            for index, (base, exponent) in enumerate(part.factors):
                if isinstance(base, Fn) and base.name == "log" and exponent == ONE:
                    rest = _product(part.factors[:index] + part.factors[index + 1 :])
                    return self.raise_to(base.args[0], self.scale(rest, coefficient))
        return None

    def log(self, u: Term) -> Term:
        """log(u), by `idioms.of_log`."""
        self.spend()
        if isinstance(u, Num):
            if u.value == 1:
                return ZERO
            return self.neg(Fn("log", (Num(1 / u.value),))) if 0 < u.value < 1 else Fn("log", (u,))
        return idioms.of_log(self, u) or Fn("log", (u,))

    def fn(self, name: str, *args: Term) -> Term:
        """A function of the language, or an internal one, applied."""
        self.spend()
        u = args[0]
        match name:
            case "exp":
                return self.exp(u)
            case "log":
                return self.log(u)
            case "sqrt":
                return self.power(u, Fraction(1, 2))
            case "expm1":
                return self.sub(self.exp(u), ONE)
            case "log1p":
                return self.log(self.add(ONE, u))
            case "relu":
                return self.fn("max", u, ZERO)
            case "min":
                return self.neg(self.fn("max", self.neg(u), self.neg(args[1])))
            case "max":
                return self._larger(u, args[1])
            case "sign":
                return self.sub(self.scale(self.fn("step", u), 2), ONE) if self.sign(u) != 0 else ZERO
            case "step":
                return self._step(u)
        return self._map(name, u) if len(args) == 1 else Fn(name, args)

    def _map(self, name: str, u: Term) -> Term:
        if isinstance(u, Fn) and (name, u.name) in INVERSE_PAIRS:
            return u.args[0]
        if u == ZERO and name in AT_ZERO:
            return Num(AT_ZERO[name])
        if name in ODD and self.leads_negative(u):
            return self.neg(self.fn(name, self.neg(u)))
        if name in EVEN and self.leads_negative(u):
            return self.fn(name, self.neg(u))
        if name == "abs":
            if isinstance(u, Num):
                return Num(abs(u.value))
            sign = self.sign(u)
            return u if sign in (0, 1) else self.neg(u) if sign == -1 else Fn("abs", (u,))
        if name in ("sin", "cos") and (quarters := turns(u)) is not None:
            return Num((0, 1, 0, -1)[(quarters + (name == "cos")) % 4])
        return Fn(name, (u,))

    def _larger(self, a: Term, b: Term) -> Term:
        gap = self.sub(a, b)
        sign = self.sign(gap)
        if sign is not None:
            return b if sign < 0 else a
        return Fn("max", (a, b))

    def _step(self, u: Term) -> Term:
        """1 where u ≥ 0, else 0; positive multiples are the same step."""
        sign = self.sign(u)
        if sign is not None:
            return ZERO if sign < 0 else ONE
        scale, rest = split_multiple(u)
        return Fn("step", (rest if scale > 0 else self.neg(rest),))

    def leads_negative(self, u: Term) -> bool:
        """Whether -u is the simpler way to write u: every coefficient is negative."""
        if isinstance(u, Num):
            return u.value < 0
        return isinstance(u, Add) and u.constant <= 0 and all(coefficient < 0 for _, coefficient in u.parts)


def _sum(parts: dict[Term, Fraction], constant: Fraction) -> Term:
    if not parts:
        return Num(constant)
    if len(parts) == 1 and not constant:
        (term, coefficient), *_ = parts.items()
        if coefficient == 1:
            return term
    return Add(tuple(parts.items()), constant)


def _product(factors: tuple[tuple[Term, Term], ...]) -> Term:
    if not factors:
        return ONE
    if len(factors) == 1 and factors[0][1] == ONE:
        return factors[0][0]
    return Mul(factors)
