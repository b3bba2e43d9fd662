"""A name in a term replaced by another term."""

from __future__ import annotations

from dgmspec.algebra.builder import Builder
from dgmspec.algebra.terms import Add, Fn, Mul, Sym, Term


def substitute_term(builder: Builder, term: Term, name: str, value: Term) -> Term:
    """`term` with `value` for a name, built and simplified anew."""
    done: dict[Term, Term] = {}

    def run(t: Term) -> Term:
        if name not in t.names:
            return t
        if t in done:
            return done[t]
        match t:
            case Sym():
                result = value
            case Add():
                result = builder.combine(((run(part), c) for part, c in t.parts), t.constant)
            case Mul():
                result = builder.mul(*(builder.raise_to(run(base), run(exponent)) for base, exponent in t.factors))
            case Fn():
                result = builder.fn(t.name, *map(run, t.args))
            case _:
                result = t
        done[t] = result
        return result

    return run(term)
