"""Random updates: none that is accepted turns back, and most of those known to be monotone are accepted.

Formulas are drawn without asking whether they are monotone: freely, or as a line with terms that bend it. Those that
the algebra accepts are evaluated as written on a dense grid of the support, for several values of the other names, and
have to move in one direction. A second generator composes formulas that are monotone by construction.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import pytest
from formulas import closure, exactly, grid, points, show
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dgmspec.algebra.nodes import AbstractExpr, Argument, Call, Name, Power, expr, walk
from dgmspec.algebra.updates import Update, analyse
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import POSITIVE, REAL, UNIT, Support, interval

Draw = Callable[[int], int]
"""A whole number below the argument."""

DOMAINS = (REAL, REAL, POSITIVE, UNIT, interval(-1, 1), interval(-2, 3), interval(0.5, 4))
NUMBERS = (0.1, 0.2, 0.25, 0.3, 0.5, 0.7, 0.9, 1, 1.5, 2, 3)
EVERYWHERE = ("exp", "sin", "cos", "sinh", "tanh", "arcsinh", "arctan", "sigmoid", "softplus", "erf", "expm1", "cosh",
              "abs", "relu")  # fmt: skip
SOMEWHERE = ("log", "sqrt", "log1p", "logit", "tan")
RISING = ("exp", "sinh", "tanh", "arcsinh", "arctan", "sigmoid", "softplus", "erf", "expm1")
X = Name(id="x")


def call(name: str, *args: AbstractExpr) -> AbstractExpr:
    return Call(name=name, args=tuple(Argument(value=arg) for arg in args))


def number(draw: Draw) -> AbstractExpr:
    """A number, now and then a parameter: a is positive, c lies in the unit interval."""
    kind = draw(12)
    return Name(id="a") if kind == 0 else Name(id="c") if kind == 1 else expr(NUMBERS[draw(len(NUMBERS))])


def free(draw: Draw, depth: int) -> AbstractExpr:
    """Any formula."""
    kind = draw(12) if depth else draw(3)
    if kind <= 1:
        return X
    if kind == 2:
        return number(draw)
    left = free(draw, depth - 1)
    match kind:
        case 3 | 4:
            return left + free(draw, depth - 1)
        case 5:
            return left - free(draw, depth - 1)
        case 6:
            return left * free(draw, depth - 1)
        case 7:
            return left / free(draw, depth - 1)
        case 8:
            return Power(base=left, exponent=expr(2 + draw(2)))
        case 9:
            return call(("max", "min")[draw(2)], left, free(draw, depth - 1))
        case 10:
            return call(SOMEWHERE[draw(len(SOMEWHERE))], left)
    return call(EVERYWHERE[draw(len(EVERYWHERE))], left)


def bent(draw: Draw) -> AbstractExpr:
    """A line, or a rising function, with one to three terms that may turn it."""
    total = X if draw(3) else call(RISING[draw(len(RISING))], X)
    for _ in range(1 + draw(3)):
        term: AbstractExpr = call(EVERYWHERE[draw(len(EVERYWHERE))], number(draw) * X if draw(2) else X)
        if draw(4) == 0:
            term = term * free(draw, 1)
        if draw(6) == 0:
            term = call("relu", X - number(draw)) if draw(2) else call("max", X, number(draw) * X)
        term = number(draw) * term
        total = total + term if draw(3) else total - term
    return total if draw(4) else call(RISING[draw(len(RISING))], total)


def rising(draw: Draw, depth: int) -> AbstractExpr:
    """A formula increasing on ℝ with a derivative that is nowhere 0, by construction."""
    kind = draw(8) if depth else 0
    if kind == 0:
        return X if draw(2) else number(draw) * X
    inner = rising(draw, depth - 1)
    match kind:
        case 1 | 2:
            return inner + rising(draw, depth - 1)
        case 3:
            return number(draw) * inner + NUMBERS[draw(len(NUMBERS))]
        case 4:
            return call("exp", inner) * call("softplus", rising(draw, depth - 1))
        case 5:
            return inner + expr((0.1, 0.3, 0.5, 0.9)[draw(4)]) * call("sin", inner)
    return call(RISING[draw(len(RISING))], inner)


def times(e: AbstractExpr) -> int:
    return sum(1 for node in walk(e) if node == X)


@st.composite
def updates(draw: st.DrawFn) -> tuple[AbstractExpr, Support]:
    pick: Draw = lambda n: draw(st.integers(0, n - 1))  # noqa: E731
    e = bent(pick) if pick(3) else free(pick, 3)
    return e, DOMAINS[pick(len(DOMAINS))]


@st.composite
def rising_updates(draw: st.DrawFn) -> AbstractExpr:
    pick: Draw = lambda n: draw(st.integers(0, n - 1))  # noqa: E731
    e = rising(pick, 3)
    return e if times(e) > 1 else e + call(RISING[pick(len(RISING))], X)


def accepted(e: AbstractExpr, domain: Support, tally: Counter[str]) -> Update | None:
    try:
        update = analyse("x", e, {"x": domain, "a": POSITIVE, "c": UNIT})
    except Refusal as refusal:
        tally[refusal.code] += 1
        return None
    tally["accepted" if times(e) < 2 else "accepted, x twice or more"] += 1
    return update


def check_one_direction(e: AbstractExpr, update: Update) -> None:
    """The formula as written moves in the stated direction from each point of a grid to the next."""
    value = closure(e)
    xs = grid(update.domain, 160)
    for others in points({"a": POSITIVE, "c": UNIT}, 3):
        seen = [value({**others, "x": x}) for x in xs]
        for i in range(len(xs) - 1):
            step = (seen[i + 1] - seen[i]) * (1 if update.increasing else -1)
            if step < 0:  # rounding of the formula as written, or a counterexample
                _, slope = exactly(e, {**others, "x": xs[i]}, "x")
                assert (slope > 0) == update.increasing and slope != 0, (show(e), str(update.domain), others, xs[i])


def check_image(e: AbstractExpr, update: Update) -> None:
    """No value leaves the image, and far out the values come near its finite ends (1 / log(x) slowly)."""
    value, image = closure(e), update.image
    spread = 1e-9 * max(1.0, *(abs(end) for end in (image.low, image.high) if math.isfinite(end)), 1.0)
    for others in points({"a": POSITIVE, "c": UNIT}, 2):
        seen = [v for x in grid(update.domain, 40) if math.isfinite(v := value({**others, "x": x}))]
        assert all(image.low - spread <= v <= image.high + spread for v in seen if abs(v) < 1e6), (show(e), str(image))
        if sum(1 for node in walk(e) if isinstance(node, Call) and node.name in ("exp", "sinh", "cosh", "expm1")) > 1:
            continue  # towers of exponentials have too many digits
        for upper in (False, True):
            end = image.high if upper == update.increasing else image.low
            edge = update.domain.high if upper else update.domain.low
            far = (edge + (-1e-9 if upper else 1e-9)) if math.isfinite(edge) else math.copysign(1e4, edge)
            if math.isfinite(end):
                near, _ = exactly(e, {**others, "x": far}, "x")
                assert abs(near - end) < 0.15 * (1 + abs(end)), (show(e), str(image), others, float(near))


def run(pair: tuple[AbstractExpr, Support], tally: Counter[str]) -> None:
    update = accepted(*pair, tally)
    if update is not None:
        check_one_direction(pair[0], update)
        check_image(pair[0], update)


def explore(count: int) -> Counter[str]:
    tally: Counter[str] = Counter()
    quiet = {"deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
    settings(max_examples=count, **quiet)(given(updates())(lambda pair: run(pair, tally)))()
    return tally


def share_accepted(count: int) -> tuple[float, Counter[str]]:
    tally: Counter[str] = Counter()
    quiet = {"deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
    settings(max_examples=count, **quiet)(given(rising_updates())(lambda e: run((e, REAL), tally)))()
    return tally["accepted, x twice or more"] / sum(tally.values()), tally


def test_no_accepted_update_turns_back() -> None:
    tally = explore(60)
    assert tally["accepted, x twice or more"] >= 9, tally


def test_known_monotone_updates_are_accepted() -> None:
    share, tally = share_accepted(100)
    assert share >= 0.8, tally


@pytest.mark.slow
def test_ten_thousand_updates(capsys: pytest.CaptureFixture[str]) -> None:
    tally = explore(10_000)
    share, rising_tally = share_accepted(1_000)
    with capsys.disabled():
        print(f"\nof {sum(tally.values())} random updates: {dict(tally)}")
        print(f"of {sum(rising_tally.values())} monotone ones {share:.1%} accepted: {dict(rising_tally)}")
    assert sum(tally.values()) >= 10_000 and tally["accepted, x twice or more"] >= 2_000
    assert share >= 0.8
