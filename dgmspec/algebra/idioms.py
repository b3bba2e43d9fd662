"""The idioms: formulas that mathematicians write and float32 cannot compute, recognised as the function they are.

Each rule is one identity, written before and after; a rule fires only where it makes the term smaller or puts a stable
function in its place. ``σ`` is sigmoid, ``c k α β`` are rational numbers, ``u`` is any term.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Protocol

from dgmspec.algebra.terms import MINUS, ONE, Add, Fn, Mul, Num, Term, split_multiple


class Builder(Protocol):
    """What the rules need of `dgmspec.algebra.builder.Builder`, which calls them."""

    def sign(self, term: Term) -> int | None: ...
    def leads_negative(self, u: Term) -> bool: ...
    def combine(self, items: Iterable[tuple[Term, Fraction]], constant: Fraction = ...) -> Term: ...
    def product(self, factors: Iterable[tuple[Term, Term]]) -> Term: ...
    def add(self, *terms: Term) -> Term: ...
    def sub(self, a: Term, b: Term) -> Term: ...
    def neg(self, a: Term) -> Term: ...
    def scale(self, term: Term, factor: Fraction | int) -> Term: ...
    def mul(self, *terms: Term) -> Term: ...
    def div(self, a: Term, b: Term) -> Term: ...
    def power(self, base: Term, n: Fraction | int) -> Term: ...
    def exp(self, u: Term) -> Term: ...
    def log(self, u: Term) -> Term: ...
    def fn(self, name: str, *args: Term) -> Term: ...


_HALF = Fraction(1, 2)


# ---- sums -----------------------------------------------------------------------------------------------------------


def of_sum(build: Builder, parts: dict[Term, Fraction], constant: Fraction) -> Term | None:
    """A simpler form of ``Σ coefficient · term + constant``, or None."""
    for term, c in parts.items():
        if isinstance(term, Fn):
            rule = _SUMS.get(term.name)
            found = rule(build, term, c, parts, constant) if rule else None
        else:
            found = _root(build, term, c, parts, constant) if isinstance(term, Mul) else None
        if found is not None:
            return found
    return None


def _exponentials(b: Builder, term: Fn, c: Fraction, parts: dict[Term, Fraction], k: Fraction) -> Term | None:
    """c exp(u) - c exp(-u) = 2c sinh(u);  c exp(u) + c exp(-u) = 2c cosh(u)."""
    other = Fn("exp", (b.neg(term.args[0]),))
    if parts.get(other) not in (c, -c) or b.leads_negative(term.args[0]):
        return None
    name = "cosh" if parts[other] == c else "sinh"
    return _replaced(b, parts, k, (term, other), b.fn(name, term.args[0]), 2 * c)


def _sigmoids(b: Builder, term: Fn, c: Fraction, parts: dict[Term, Fraction], k: Fraction) -> Term | None:
    """c σ(u) + d σ(-u) = (c - d) σ(u) + d;  c σ(u) - c = -c σ(-u);  c σ(u) - c/2 = c/2 tanh(u/2)."""
    u = term.args[0]
    other = Fn("sigmoid", (b.neg(u),))
    if other in parts:
        return _replaced(b, parts, k + parts[other], (term, other), term, c - parts[other])
    if k == -c:
        return _replaced(b, parts, Fraction(0), (term,), other, -c)
    if k == -c / 2:
        return _replaced(b, parts, Fraction(0), (term,), b.fn("tanh", b.scale(u, _HALF)), c / 2)
    return None


def _softpluses(b: Builder, term: Fn, c: Fraction, parts: dict[Term, Fraction], k: Fraction) -> Term | None:
    """c softplus(u) - c u = c softplus(-u)."""
    u = term.args[0]
    inner = dict(u.parts) if isinstance(u, Add) else {u: Fraction(1)}
    if not all(parts.get(part) == -c * coefficient for part, coefficient in inner.items()):
        return None
    k += c * u.constant if isinstance(u, Add) else 0
    return _replaced(b, parts, k, (term, *inner), b.fn("softplus", b.neg(u)), c)


def _logarithms(b: Builder, term: Fn, c: Fraction, parts: dict[Term, Fraction], k: Fraction) -> Term | None:
    """c log(p) - c log(s - p) = c logit(p/s), or 2c arctanh((2p - s)/s) where both p and s - p hold a constant."""
    p = term.args[0]
    for other, d in parts.items():
        if not (isinstance(other, Fn) and other.name == "log" and d == -c):
            continue
        q = other.args[0]
        total = b.add(p, q)
        if not isinstance(total, Num) or total.value <= 0:
            continue
        if isinstance(q, Add) and not (isinstance(p, Add) and p.constant):
            value, factor = b.fn("logit", b.scale(p, 1 / total.value)), c
        elif isinstance(p, Add) and not (isinstance(q, Add) and q.constant):
            value, factor = b.fn("logit", b.scale(q, 1 / total.value)), -c
        else:
            value, factor = b.fn("arctanh", b.scale(b.sub(p, q), 1 / total.value)), 2 * c
        return _replaced(b, parts, k, (term, other), value, factor)
    return None


def _root(b: Builder, term: Mul, c: Fraction, parts: dict[Term, Fraction], k: Fraction) -> Term | None:
    """c (r + sqrt(r^2 + m^2)) = c m exp(arcsinh(r / m))."""
    if len(term.factors) != 1 or len(parts) + bool(k) < 2:
        return None
    radicand, exponent = term.factors[0]
    if not (isinstance(exponent, Num) and exponent.value == _HALF and isinstance(radicand, Add)):
        return None
    rest = b.scale(b.combine([(t, d) for t, d in parts.items() if t != term], k), 1 / c)
    gap = b.sub(radicand, b.power(rest, 2))
    if not (isinstance(gap, Num) and gap.value > 0):
        return None
    m = b.power(gap, _HALF)
    return b.scale(b.mul(m, b.exp(b.fn("arcsinh", b.div(rest, m)))), c)


_SUMS = {"exp": _exponentials, "sigmoid": _sigmoids, "softplus": _softpluses, "log": _logarithms}


def _replaced(
    b: Builder, parts: dict[Term, Fraction], k: Fraction, old: tuple[Term, ...], new: Term, c: Fraction
) -> Term:
    """The sum with `old` terms gone and c · new in their place."""
    return b.combine([*((t, d) for t, d in parts.items() if t not in old), (new, c)], k)


# ---- products -------------------------------------------------------------------------------------------------------


def of_product(build: Builder, bases: dict[Term, Term]) -> Term | None:
    """A simpler form of ``Π base ^ exponent``, or None."""
    for base, exponent in bases.items():
        if not isinstance(exponent, Num) or exponent.value.denominator != 1:
            continue
        found = None
        if isinstance(base, Add):
            found = _logistic(build, bases, base, int(exponent.value))
        elif isinstance(base, Fn):
            found = _function_factor(build, bases, base, int(exponent.value))
        if found is not None:
            return found
    return None


def _logistic(b: Builder, bases: dict[Term, Term], base: Add, n: int) -> Term | None:
    """(α + β exp(u))^-n = α^-n σ(-u - log(β/α))^n for positive α and β."""
    found = _affine_in_exp(base)
    if found is None:
        return None
    alpha, beta, u = found
    if n < 0 and alpha > 0 and beta > 0:
        sigmoid = b.fn("sigmoid", b.sub(b.neg(u), b.log(Num(beta / alpha))))
        return b.scale(_others(b, bases, (base,), b.power(sigmoid, -n)), alpha**n)
    return None


def _function_factor(b: Builder, bases: dict[Term, Term], base: Fn, n: int) -> Term | None:
    """σ(u) σ(-u) = bell(u);  exp(-u) σ(u) = σ(-u);  (α + β exp(-u)) σ(u) = α σ(u) + β σ(-u);
    sinh/cosh = tanh;  sin/cos = tan."""
    u = base.args[0]
    if base.name == "sigmoid" and n > 0:
        flipped = b.neg(u)
        mirror = Fn("sigmoid", (flipped,))
        if (m := bases.get(mirror)) is not None and isinstance(m, Num) and m.value.denominator == 1 and m.value > 0:
            pairs = min(n, int(m.value))
            left = b.mul(b.power(base, n - pairs), b.power(mirror, m.value - pairs))
            return _others(b, bases, (base, mirror), b.mul(left, b.power(b.fn("bell", u), pairs)))
        other = Fn("exp", (flipped,))
        if bases.get(other) == ONE:
            rest = b.mul(b.power(base, n - 1), b.fn("sigmoid", flipped))
            return _others(b, bases, (base, other), rest)
        for factor, exponent in bases.items():
            affine = _affine_in_exp(factor) if exponent == ONE else None
            if affine is not None and affine[2] == flipped:
                alpha, beta, _ = affine
                joined = b.combine([(base, alpha), (Fn("sigmoid", (flipped,)), beta)])
                return _others(b, bases, (base, factor), b.mul(b.power(base, n - 1), joined))
    pair = {"sinh": ("cosh", "tanh"), "sin": ("cos", "tan")}.get(base.name)
    if pair and n == 1:
        below = Fn(pair[0], (u,))
        if bases.get(below) == MINUS:
            return _others(b, bases, (base, below), b.fn(pair[1], u))
    return None


def _affine_in_exp(term: Term) -> tuple[Fraction, Fraction, Term] | None:
    """(α, β, u) where the term is α + β exp(u), α not 0."""
    if isinstance(term, Add) and len(term.parts) == 1 and term.constant:
        part, beta = term.parts[0]
        if isinstance(part, Fn) and part.name == "exp":
            return term.constant, beta, part.args[0]
    return None


def _others(b: Builder, bases: dict[Term, Term], old: tuple[Term, ...], new: Term) -> Term:
    """The product with `old` bases gone and `new` in their place."""
    return b.product([*((base, e) for base, e in bases.items() if base not in old), (new, ONE)])


# ---- logarithms -----------------------------------------------------------------------------------------------------


def of_log(b: Builder, u: Term) -> Term | None:
    """log(u) in a simpler form, or None.

    log(exp(v)) = v;  log(σ(v)) = -softplus(-v);  log(c v) = log c + log v;  log(v^e w) = e log v + log w where v and w
    are positive;  log(α + β exp(v)) = log α + softplus(v + log(β/α));  log(β exp(v) - β) = log β + log_expm1(v).
    """
    if isinstance(u, Fn) and u.name == "exp":
        return u.args[0]
    if isinstance(u, Fn) and u.name == "sigmoid":
        return b.neg(b.fn("softplus", b.neg(u.args[0])))
    scale, rest = split_multiple(u)
    if scale > 0 and scale != 1:
        return b.add(b.log(Num(scale)), b.log(rest))
    if isinstance(rest, Mul) and scale == 1:
        if all(b.sign(base) == 1 for base, _ in rest.factors):
            return b.add(*(b.mul(exponent, b.log(base)) for base, exponent in rest.factors))
        return None
    affine = _affine_in_exp(u)
    if affine is None:
        return None
    alpha, beta, v = affine
    if alpha > 0 and beta > 0:
        return b.add(b.log(Num(alpha)), b.fn("softplus", b.add(v, b.log(Num(beta / alpha)))))
    if beta > 0 and alpha == -beta:
        return b.add(b.log(Num(beta)), b.fn("log_expm1", v))
    return None
