"""Author-written updates ``v <- EXPR``: proved to be bijections of v, inverted, with their log-derivative.

The derivative of the right side is proved to have one sign on the whole open support of v, for all values of the other
names in theirs; with continuity, which the checked domains give, that makes the update a strictly monotone bijection
onto its image, the interval between the limits at both ends. Where v occurs once (after simplification) the inverse is
a formula; elsewhere it is left to a bracketed search, whose bracket these facts justify.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dgmspec.algebra.builder import Builder, Exhausted
from dgmspec.algebra.derive import derivative_term
from dgmspec.algebra.emit import emit
from dgmspec.algebra.factoring import factor_sum
from dgmspec.algebra.intervals import POSITIVES, REALS, Interval
from dgmspec.algebra.limits import finite_value, limit
from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.peel import peel
from dgmspec.algebra.points import Point, crossing, exact_zero, sample_points, samples, sign_at
from dgmspec.algebra.prove import Prover
from dgmspec.algebra.reading import Reader, shown, words
from dgmspec.algebra.slopes import log_slope
from dgmspec.algebra.terms import ZERO, Sym, Term, occurrences
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Support, SupportKind

_BUDGET: Final = 30_000


@dataclass(frozen=True)
class Update:
    """A strictly monotone update ``variable <- forward`` of one coordinate, everything else held fixed.

    `forward`, `derivative` and `log_slope` (log|derivative|) are formulas of the old value and the other names;
    in `inverse` the variable's name stands for the *new* value. All of them are in the stable form of their idioms.
    """

    variable: str
    forward: AbstractExpr
    derivative: AbstractExpr
    log_slope: AbstractExpr
    inverse: AbstractExpr | None
    domain: Support
    image: Support
    increasing: bool
    proof: str
    constant_slope: bool
    unit_slope: bool


def analyse(variable: str, expression: AbstractExpr, supports: Mapping[str, Support]) -> Update:
    """The update ``variable <- expression``, `supports` naming every name's; `Refusal` where it is no bijection."""
    box = {name: as_interval(support) for name, support in supports.items()}
    try:
        return _analyse(variable, expression, Prover(Builder(box, [_BUDGET])), supports[variable])
    except Exhausted:
        raise Refusal(
            "DGM454",
            "the update could not be proved to be a bijection within the work that `check` allows itself",
            help=("divide it into several updates, each of which is simple",),
        ) from None


def derivative(expression: AbstractExpr, name: str, supports: Mapping[str, Support]) -> AbstractExpr:
    """∂expression/∂name, simplified; domains are checked as in `analyse`."""
    b = Builder({other: as_interval(support) for other, support in supports.items()}, [_BUDGET])
    return emit(b, factor_sum(b, derivative_term(b, Reader(Prover(b), name).read(expression), name)))


def as_interval(support: Support) -> Interval:
    """The open interval of a continuous support; whole numbers and labels are taken with their ends."""
    if support.kind is SupportKind.SIMPLEX:
        return Interval(0.0, 1.0, True, True)
    closed = support.kind is not SupportKind.CONTINUOUS
    return Interval(support.low, support.high, not closed, not closed)


def _analyse(variable: str, expression: AbstractExpr, prover: Prover, domain: Support) -> Update:
    b = prover.b
    term = Reader(prover, variable).read(expression)
    if variable not in term.names:
        raise Refusal(
            "DGM451",
            f"the right side does not depend on `{variable}`, so its old value is lost",
            help=(f"write an update that keeps `{variable}`, such as `{variable} <- {variable} + …`",),
        )
    slope = factor_sum(b, derivative_term(b, term, variable))
    proof = prover.sign(slope)
    if proof.sign is None or proof.sign == 0:
        raise _refusal(prover, slope, variable, proof.stuck)
    low, high = (_end(b, term, variable, end * proof.sign) for end in (-1, 1))
    image = _image(variable, low, high)
    new = b.over({**b.box.names, variable: as_interval(image)})
    inverse = peel(b, new, term, variable, Sym(variable))
    log = log_slope(prover, term, variable)
    return Update(
        variable=variable,
        forward=emit(b, term),
        derivative=emit(b, slope),
        log_slope=emit(b, log),
        inverse=None if inverse is None else emit(new, inverse),
        domain=domain,
        image=image,
        increasing=proof.sign > 0,
        proof=_words(proof.sign, proof.boxes, occurrences(term, variable)),
        constant_slope=variable not in log.names,
        unit_slope=log == ZERO,
    )


def _words(sign: int, boxes: int, times: int) -> str:
    """What was proved, and how, for the table of `explain`."""
    direction = "positive" if sign > 0 else "negative"
    how = "operation by operation" if times == 1 else f"by interval arithmetic on {boxes} box{'es' * (boxes > 1)}"
    return f"derivative {direction} {how}"


# ---- images ---------------------------------------------------------------------------------------------------------


def _end(b: Builder, term: Term, variable: str, end: int) -> float:
    """The limit at an end of the support: the same number for all values of the other names."""
    interval = b.box.names[variable]
    value = limit(b, term, variable, interval, end)
    edge = interval.high if end > 0 else interval.low
    if value is None:
        raise Refusal(
            "DGM454",
            f"the limit of the right side for `{variable}` going to {edge:g} could not be found: its image is unknown",
            help=("write it so that each name occurs less often, or divide it into several updates",),
        )
    if isinstance(value, float):
        return value
    if value.names:
        names = ", ".join(f"`{name}`" for name in sorted(value.names))
        raise Refusal(
            "DGM440",
            f"the image of {words(interval)} depends on {names}: no fixed support could be declared for it",
            help=(f"map `{variable}` onto all of ℝ first, for example by `logit` or `log`",),
        )
    return finite_value(b, value)


def _image(variable: str, low: float, high: float) -> Support:
    if not low < high:
        raise Refusal("DGM454", f"float64 cannot tell the ends of the image of `{variable}` apart")
    return Support(SupportKind.CONTINUOUS, low, high)


# ---- refusing -------------------------------------------------------------------------------------------------------


def _refusal(prover: Prover, slope: Term, variable: str, stuck: list[Point]) -> Refusal:
    """Why the derivative is not of one sign, with the point that shows it."""
    b = prover.b
    groups: dict[tuple[tuple[str, float], ...], dict[int, Point]] = {}
    overall: dict[int, Point] = {}
    xs = samples(b.box.names[variable])
    along = [{**_start(b), **at, variable: x} for at in stuck for x in (at.get(variable, xs[0]), *xs)]
    inside = (at for at in along if all(b.box.names[name].has(x) for name, x in at.items()))
    for at in (*sample_points(b.box.names, variable), *inside):
        sign = sign_at(b, slope, at)
        if sign is not None:
            others = tuple((name, x) for name, x in at.items() if name in slope.names - {variable})
            groups.setdefault(others, {}).setdefault(sign, at)
            overall.setdefault(sign, at)
    for signs in groups.values():
        if 1 in signs and -1 in signs:
            return _turns(prover, slope, variable, signs)
    if 1 in overall and -1 in overall:
        return _either_way(slope, variable, overall)
    if 0 in overall:
        return _flat(prover, variable, f"0 at {shown(overall[0], (slope,))}")
    interval = b.box.names[variable]
    for at in stuck:
        zero = exact_zero(b, slope, variable, at[variable], interval) if variable in at else None
        if zero is not None:
            where = shown({**at, variable: finite_value(b, zero)}, (slope,))
            return _flat(prover, variable, f"0 at {where}")
    notes = (f"the proof got stuck near {shown(stuck[0], (slope,))}",) if stuck and stuck[0] else ()
    return Refusal(
        "DGM454",
        f"it could not be proved that the right side is strictly monotone in `{variable}`",
        notes=notes,
        help=("write it so that each name occurs less often, or divide it into several updates",),
    )


def _start(b: Builder) -> Point:
    """The simplest value of each name."""
    return {name: samples(interval)[0] for name, interval in b.box.names.items()}


def _turns(prover: Prover, slope: Term, variable: str, signs: dict[int, Point]) -> Refusal:
    low, high = sorted((signs[-1], signs[1]), key=lambda at: at[variable])
    zero = crossing(prover.b, slope, variable, low, high)
    zero = 0.0 if abs(zero) < 1e-12 else zero
    ends = f"negative at {shown(signs[-1], (slope,))} and positive at {shown(signs[1], (slope,))}"
    return _flat(prover, variable, f"{ends}, changing sign near {variable} = {zero:.6g}")


def _flat(prover: Prover, variable: str, where: str) -> Refusal:
    interval = prover.b.box.names[variable]
    help_ = "add a term that keeps the slope away from 0, or map the variable to where the formula is monotone"
    if interval == REALS:
        help_ += f"; {words(POSITIVES)} is reached by `{variable} <- exp({variable})`"
    return Refusal(
        "DGM450",
        f"the right side is not strictly monotone in `{variable}`: its derivative is {where}",
        notes=(f"it has to be of one sign on {words(interval)}",),
        help=(help_,),
    )


def _either_way(slope: Term, variable: str, signs: dict[int, Point]) -> Refusal:
    """The direction depends on other names: an unsigned factor."""
    names = sorted(slope.names - {variable})
    listed = ", ".join(f"`{name}`" for name in names)
    name = names[0]
    up, down_ = (shown(signs[s], (slope,)) for s in (1, -1))
    return Refusal(
        "DGM452",
        f"the direction of the update depends on {listed}: it increases in `{variable}` at {up}, decreases at {down_}",
        notes=("in between there is a value that maps everything to one point",),
        help=(f"declare `{name} : positive` if it is a parameter, or write `exp({name})` in its place",),
    )
