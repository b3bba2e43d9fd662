"""A formula read into a term, its domains proved on the way.

Every logarithm, root, division and power is checked where it is written, before anything cancels: ``x / x`` is refused
on ℝ. The variable may be used coordinate by coordinate only; what does not read it (a sum over another part, a vector
of numbers) is taken as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import reduce
from typing import Final

from dgmspec.algebra.builder import Builder
from dgmspec.algebra.evaluate import check_arity, evaluate, unknown_name
from dgmspec.algebra.functions import FUNCTIONS, INTERNAL
from dgmspec.algebra.intervals import REALS, Interval, decimal, hull
from dgmspec.algebra.nodes import AbstractExpr, Call, Constant, Index, Name, Neg, Number, Power, Product, Sum, Vector
from dgmspec.algebra.points import Point, sample_points, sign_at
from dgmspec.algebra.prove import Prover
from dgmspec.algebra.rewrite import free_names
from dgmspec.algebra.terms import ONE, PI, ZERO, Num, Opaque, Sym, Term
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import number

_NEEDS: Final[dict[str, tuple[str, tuple[Callable[[Builder, Term], Term], ...]]]] = {
    "log": ("positive", (lambda b, u: u,)),
    "sqrt": ("not negative", (lambda b, u: u,)),
    "log1p": ("above -1", (lambda b, u: b.add(ONE, u),)),
    "logit": ("between 0 and 1", (lambda b, u: u, lambda b, u: b.sub(ONE, u))),
    "erfinv": ("between -1 and 1", (lambda b, u: b.add(ONE, u), lambda b, u: b.sub(ONE, u))),
    "arctanh": ("between -1 and 1", (lambda b, u: b.add(ONE, u), lambda b, u: b.sub(ONE, u))),
    "arcsin": ("between -1 and 1", (lambda b, u: b.add(ONE, u), lambda b, u: b.sub(ONE, u))),
    "arccos": ("between -1 and 1", (lambda b, u: b.add(ONE, u), lambda b, u: b.sub(ONE, u))),
    "arccosh": ("above 1", (lambda b, u: b.sub(u, ONE),)),
    "log_expm1": ("positive", (lambda b, u: u,)),
}
"""What an argument has to be, and the terms that are then positive."""


class Reader:
    """Reads formulas over the box of a prover; `name` is the variable of the update."""

    def __init__(self, prover: Prover, name: str) -> None:
        self.prover, self.b, self.name = prover, prover.b, name

    def read(self, formula: AbstractExpr) -> Term:
        """The term of a formula; `Refusal` where a domain is left or the variable is used as a whole."""
        b = self.b
        match formula:
            case Number():
                return Num(decimal(float(formula.value)) if isinstance(formula.value, float) else formula.value)
            case Constant():
                return self._constant(formula)
            case Name():
                if formula.id not in b.box.names:
                    raise unknown_name(formula.id, dict(b.box.names))
                return Sym(formula.id)
            case Neg():
                return b.neg(self.read(formula.of))
            case Sum():
                signs = [(self.read(t.of), Fraction(1 if t.sign == "+" else -1)) for t in formula.terms]
                return b.combine(signs)
            case Product() if all(factor.op != "@" for factor in formula.factors):
                return self._product(formula)
            case Power():
                return self._power(self.read(formula.base), self.read(formula.exponent))
            case Call() if self._maps(formula):
                return self._call(formula)
        return self._whole(formula)

    def _constant(self, formula: Constant) -> Term:
        if formula.name == "inf":
            raise Refusal(
                "DGM453", "`inf` is no number that an update can compute with", help=("write a finite number",)
            )
        return {"pi": PI, "true": ONE, "false": ZERO}[formula.name]

    def _maps(self, call: Call) -> bool:
        function = FUNCTIONS.get(call.name) or INTERNAL.get(call.name)
        return function is not None and function.kind == "map"

    def _product(self, formula: Product) -> Term:
        """Factors from the left; a divisor is proved to be nowhere 0."""
        total: list[tuple[Term, Term]] = []
        for factor in formula.factors:
            term = self.read(factor.of)
            if factor.op == "/":
                self._require_not_zero(term, "the divisor")
            total.append((term, ONE if factor.op == "*" else Num(-1)))
        return self.b.product(total)

    def _power(self, base: Term, exponent: Term) -> Term:
        if not isinstance(exponent, Num):
            self._require((base,), "positive", "the base of a power")
        elif exponent.value.denominator != 1:
            what = f"the base of a power of {number(float(exponent.value))}"
            self._require((base,), "not negative" if exponent.value > 0 else "positive", what)
        elif exponent.value < 0:
            self._require_not_zero(base, "the base of a negative power")
        return self.b.raise_to(base, exponent)

    def _call(self, formula: Call) -> Term:
        function = FUNCTIONS.get(formula.name) or INTERNAL[formula.name]
        check_arity(formula, function.arity)
        args = [self.read(arg.value) for arg in formula.args]
        if formula.name in _NEEDS:
            what, terms = _NEEDS[formula.name]
            self._require(tuple(term(self.b, args[0]) for term in terms), what, f"the argument of `{formula.name}`")
        elif formula.name == "tan":
            self._require_not_zero(self.b.fn("cos", args[0]), "the cosine in `tan`")
        elif formula.name in ("sign", "step") and self.name in args[0].names:
            self._require_no_jump(formula.name, args[0])
        return self.b.fn(formula.name, *args)

    def _whole(self, formula: AbstractExpr) -> Term:
        """A formula that is not coordinatewise: of other names it is taken as it stands."""
        names = free_names(formula)
        if self.name in names:
            raise Refusal(
                "DGM455",
                f"`{self.name}` is used as a whole, {_described(formula)}, where only its own coordinate may be",
                help=(
                    "mix coordinates by `linear(…)` or `permute(…)`, or divide the event into more parts and update "
                    "one from the others",
                ),
            )
        value = evaluate(formula, {}) if not names else ()
        if isinstance(value, (int, float)):
            return Num(decimal(float(value)))
        return Opaque(formula, _range_of_whole(formula, self.b.box.names), frozenset(names))

    # ---- domains ------------------------------------------------------------------------------------------------

    def _require(self, terms: tuple[Term, ...], what: str, place: str) -> None:
        """Every term positive, or not negative, on the whole box."""
        for term in terms:
            weak = what == "not negative"
            if (weak and self.b.box.range(term).low >= 0) or self.prover.sign(term).sign == 1:
                continue
            for at in sample_points(self.b.box.names, self.name):
                sign = sign_at(self.b, term, at)
                if sign == -1 or (sign == 0 and not weak):
                    raise self._outside(f"{place} has to be {what}, and is not at {shown(at, terms)}")
            raise self._unproved(f"it could not be proved that {place} is {what}", terms, term)

    def _require_not_zero(self, term: Term, place: str) -> None:
        proof = self.prover.sign(term)
        if proof.sign in (1, -1):
            return
        signs: dict[int, Point] = {}
        for at in sample_points(self.b.box.names, self.name):
            sign = sign_at(self.b, term, at)
            if sign == 0:
                raise self._outside(f"{place} is 0 at {shown(at, (term,))}")
            if sign is not None:
                signs[sign] = at
        if len(signs) == 2:
            places = f"negative at {shown(signs[-1], (term,))} and positive at {shown(signs[1], (term,))}"
            raise self._outside(f"{place} is {places}, so it is 0 between")
        raise self._unproved(f"it could not be proved that {place} is never 0", (term,), term)

    def _require_no_jump(self, name: str, term: Term) -> None:
        if self.prover.sign(term).sign is None:
            raise Refusal(
                "DGM456",
                f"`{name}` jumps where its argument changes sign, so the values in between are reached by no "
                f"`{self.name}`",
                help=("`abs`, `relu`, `min` and `max` have kinks but no jumps; `tanh` is a smooth sign",),
            )

    def _outside(self, message: str) -> Refusal:
        lives = self.b.box.names[self.name]
        where = f"`{self.name}` lives on {words(lives)}"
        help_ = ("map the variable into the domain first, or declare the support that the formula needs",)
        return Refusal("DGM453", message, notes=(where,), help=help_)

    def _unproved(self, message: str, terms: tuple[Term, ...], term: Term) -> Refusal:
        stuck = self.prover.sign(term).stuck
        notes = (f"the proof got stuck near {shown(stuck[0], terms)}",) if stuck and stuck[0] else ()
        return Refusal("DGM454", message, notes=notes, help=("write the formula so that each name occurs less often",))


def shown(at: Point, terms: tuple[Term, ...]) -> str:
    """A point in words, only the names that matter: ``x = 0, a = 2``."""
    names: frozenset[str] = frozenset().union(*(term.names for term in terms))
    parts = [f"{name} = {number(float(f'{value:.6g}'))}" for name, value in at.items() if name in names]
    return ", ".join(parts) or "every point"


def words(interval: Interval) -> str:
    """An open interval in words."""
    if interval == REALS:
        return "all of ℝ"
    return f"({number(interval.low)}, {number(interval.high)})".replace("inf", "∞")


def _described(formula: AbstractExpr) -> str:
    match formula:
        case Call():
            return f"in `{formula.name}(…)`"
        case Index():
            return "by an index"
        case Vector():
            return "in a vector `[…]`"
    return "by `@`"


def _range_of_whole(formula: AbstractExpr, names: Mapping[str, Interval]) -> Interval:
    """Where a formula of other names lies: vectors and indices by their items, norms above 0, the rest anywhere."""
    match formula:
        case Number():
            return Interval(float(formula.value), float(formula.value))
        case Neg(of=Number() as inner):
            return Interval(-float(inner.value), -float(inner.value))
        case Name():
            return names.get(formula.id, REALS)
        case Vector() if formula.items:
            return reduce(hull, (_range_of_whole(item, names) for item in formula.items))
        case Index():
            return _range_of_whole(formula.of, names)
        case Call(name="norm"):
            return Interval(0.0, math.inf, False, True)
        case Call(name="mean" | "transpose") if len(formula.args) == 1:
            return _range_of_whole(formula.args[0].value, names)
        case Call(name="sum") if len(formula.args) == 1:
            inside = _range_of_whole(formula.args[0].value, names)
            if inside.sign in (1, -1):
                return Interval(0.0, math.inf, True, True) if inside.sign == 1 else Interval(-math.inf, 0.0, True, True)
    return REALS
