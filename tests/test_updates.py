"""Author-written updates: what is accepted is the bijection it says, and the rest is refused for its reason.

The references are independent of the algebra: values of the formula as written, central differences in 160 digits for
the derivative, bisection for the inverse.
"""

from __future__ import annotations

import math
import time

import mpmath
import pytest
from formulas import at, exactly, formula, inside, points, show, solve, supports

from dgmspec.algebra.nodes import Argument, Call, Name
from dgmspec.algebra.updates import Update, analyse
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Support

ACCEPTED = """
x + 1                               | x: real                         | real
-x                                  | x: real                         | real
2*x - 3                             | x: real                         | real
3 - 2*x                             | x: unit                         | (1, 3)
a*x + b                             | x: real, a: positive, b: real   | real
(x - m)*exp(-s)                     | x: real, m: real, s: real       | real
exp(x)                              | x: real                         | positive
log(x)                              | x: positive                     | real
sqrt(x)                             | x: positive                     | positive
x^2                                 | x: positive                     | positive
x^2                                 | x: (-3, 0)                      | (0, 9)
x^3                                 | x: (-2, 0)                      | (-8, 0)
x^a                                 | x: unit, a: positive            | unit
1/x                                 | x: positive                     | positive
1/x^2                               | x: positive                     | positive
2^x                                 | x: real                         | positive
0.5^x                               | x: positive                     | unit
exp(-a*x)                           | x: positive, a: positive        | unit
sigmoid(x)                          | x: real                         | unit
1/(1+exp(-x))                       | x: real                         | unit
exp(x)/(1+exp(x))                   | x: real                         | unit
0.3 + 0.7/(1+exp(-x))               | x: real                         | (0.3, 1)
1/(2 + 3*exp(-x))                   | x: real                         | (0, 0.5)
log(x/(1-x))                        | x: unit                         | real
log(c*exp(x) + 1 - c)               | x: positive, c: unit            | positive
exp(a*x)/(b + exp(a*x))             | x: real, a: positive, b: positive | unit
x*exp(tanh(sum(y)))                 | x: real, y: real                | real
log(x) - log(1-x)                   | x: unit                         | real
log(1+exp(x))                       | x: real                         | positive
log(exp(x) - 1)                     | x: positive                     | real
(exp(x)-exp(-x))/2                  | x: real                         | real
(exp(x)-exp(-x))/(exp(x)+exp(-x))   | x: real                         | (-1, 1)
(exp(2*x)-1)/(exp(2*x)+1)           | x: real                         | (-1, 1)
2/(1+exp(-2*x)) - 1                 | x: real                         | (-1, 1)
0.5*log((1+x)/(1-x))                | x: (-1, 1)                      | real
log(x + sqrt(x^2+1))                | x: real                         | real
x + sqrt(x^2+1)                     | x: real                         | positive
sqrt(1+x^2)                         | x: positive                     | (1, inf)
x/sqrt(1+x^2)                       | x: real                         | (-1, 1)
sinh(a*arcsinh(x)+b)                | x: real, a: positive, b: real   | real
sinh(x)                             | x: real                         | real
cosh(x)                             | x: positive                     | (1, inf)
arctan(x)                           | x: real                         | (-1.5707963267948966, 1.5707963267948966)
2/pi*arctan(x)                      | x: real                         | (-1, 1)
tan(pi*(x - 0.5))                   | x: unit                         | real
sin(x)                              | x: (-1.5, 1.5)                  | (-0.9974949866040544, 0.9974949866040544)
cos(x)                              | x: (0, 3)                       | (-0.9899924966004454, 1)
erf(x)                              | x: real                         | (-1, 1)
erfinv(2*x - 1)                     | x: unit                         | real
(1 + erf(x/sqrt(2)))/2              | x: real                         | unit
-log(-log(x))                       | x: unit                         | real
exp(-exp(-x))                       | x: real                         | unit
log(expm1(a*softplus(x)))           | x: real, a: positive            | real
(1 - x^a)^(1/b)                     | x: unit, a: positive, b: positive | unit
x + 0.5*sin(x)                      | x: real                         | real
x + a*sin(b*x)/b                    | x: real, a: unit, b: positive   | real
x + tanh(x)                         | x: real                         | real
x + a*tanh(x)                       | x: real, a: positive            | real
x - a*tanh(x)                       | x: real, a: unit                | real
x*exp(x)                            | x: positive                     | positive
x*exp(-x)                           | x: unit                         | (0, 0.36787944117144233)
x^3 + x                             | x: real                         | real
a*x^3 + b*x                         | x: real, a: positive, b: positive | real
sinh(x) + x^3 + x                   | x: real                         | real
x - 0.5*x/(1+x^2)                   | x: real                         | real
x + log(1+exp(x))                   | x: real                         | real
x - 1/x                             | x: positive                     | real
x/(1+x)                             | x: positive                     | unit
x/(1-x)                             | x: unit                         | positive
exp(x) + x - 1                      | x: real                         | real
exp(x) + exp(2*x)                   | x: real                         | positive
x*log(x)                            | x: (1, 5)                       | (0, 8.047189562170502)
x*sigmoid(x) + 0.2*x                | x: real                         | real
tanh(x) + tanh(2*x - 1)             | x: real                         | (-2, 2)
0.3/(1+exp(-x)) + 0.7/(1+exp(1-2*x)) | x: real                        | unit
exp(x + 0.5*sin(x))                 | x: real                         | positive
x + 0.5*sin(x)*exp(-x^2)            | x: real                         | real
max(x, 0.1*x)                       | x: real                         | real
min(x, 2*x)                         | x: real                         | real
x + relu(x)                         | x: real                         | real
x + 0.5*abs(x)                      | x: real                         | real
x*abs(x)                            | x: positive                     | positive
x + sum(y)                          | x: real, y: real                | real
x*norm([3, 4])                      | x: real                         | real
[0.5, 2]*x                          | x: real                         | real
"""

REFUSED = """
x^2                                 | x: real                         | DGM450 | near x = 0
x^3                                 | x: real                         | DGM450 | 0 at x = 0
x^2/2 + 2*x - 10*relu(x)            | x: (-1, 100)                    | DGM450 | negative at
x^2/2 + 2*x - 4*max(x, 1)           | x: (-1, 50)                     | DGM450 | negative at
exp(softplus(x) - c*abs(x))         | x: real, c: unit                | DGM450 | near x = 0
x^4 + x                             | x: real                         | DGM450 | near x = -0.62
x + sin(x)                          | x: real                         | DGM450 | 0 at x = 3.14159
x + 1.1*sin(x)                      | x: real                         | DGM450 | near x =
x + a*sin(x)                        | x: real, a: positive            | DGM450 | a =
x*exp(x)                            | x: real                         | DGM450 | near x = -1
x*exp(-x)                           | x: positive                     | DGM450 | near x = 1
x*sigmoid(x)                        | x: real                         | DGM450 | near x = -1.278
x - tanh(x)                         | x: real                         | DGM450 | 0 at x = 0
x - arctan(x)                       | x: real                         | DGM450 | 0 at x = 0
log(1 + x^2) + x                    | x: real                         | DGM450 | 0 at x = -1
sqrt(1 + x^2)                       | x: real                         | DGM450 | near x = 0
cosh(x)                             | x: real                         | DGM450 | near x = 0
exp(x) + exp(-x)                    | x: real                         | DGM450 | near x = 0
exp(-x^2)                           | x: real                         | DGM450 | near x = 0
sin(x)                              | x: real                         | DGM450 | near x =
cos(x)                              | x: (-1, 1)                      | DGM450 | near x = 0
sin(x)                              | x: (0, 4)                       | DGM450 | near x = 1.57
abs(x)                              | x: real                         | DGM450 | near x = 0
relu(x)                             | x: real                         | DGM450 | 0 at x = -1
max(x, 0)                           | x: real                         | DGM450 | 0 at x = -1
max(x, -x)                          | x: real                         | DGM450 | negative at x = -1
x + abs(x)                          | x: real                         | DGM450 | 0 at x = -1
x + 1/x                             | x: positive                     | DGM450 | near x = 1
x*log(x)                            | x: positive                     | DGM450 | near x = 0.3678
x*(1-x)                             | x: unit                         | DGM450 | x = 0.5
x - x                               | x: real                         | DGM451 | does not depend on `x`
exp(log(x)) - x                     | x: positive                     | DGM451 | does not depend
2*a + b                             | x: real, a: real, b: real       | DGM451 | does not depend
0*x + 1                             | x: real                         | DGM451 | does not depend
sin(x)^2 + 1 - sin(x)^2             | x: real                         | DGM451 | does not depend
a*x                                 | x: real, a: real                | DGM452 | `a`
a*x + b                             | x: real, a: real, b: positive   | DGM452 | `a`
x^b                                 | x: positive, b: real            | DGM452 | `b`
a^x                                 | x: real, a: positive            | DGM452 | `a`
tanh(a*x)                           | x: real, a: real                | DGM452 | `a`
sqrt(1 - cos(x)) + x                | x: (-3, 3)                      | DGM454 | strictly monotone
x + x*tanh(sum(y))*2                | x: real, y: real                | DGM454 | strictly monotone
exp(x) + x + 0.5*sin(exp(x) + x)    | x: real                         | DGM454 | strictly monotone
(a - b)*x                           | x: real, a: positive, b: positive | DGM452 | `a`, `b`
log(x)                              | x: real                         | DGM453 | not at x = 0
log(x + 1)                          | x: real                         | DGM453 | not at x = -1
log(1 - x)                          | x: positive                     | DGM453 | not at x = 1
sqrt(x)                             | x: real                         | DGM453 | not at x = -1
1/x                                 | x: real                         | DGM453 | 0 at x = 0
x/x                                 | x: real                         | DGM453 | 0 at x = 0
1/(x - 1)                           | x: positive                     | DGM453 | 0 at x = 1
1/(x^2 - 2)                         | x: positive                     | DGM453 | 0 between
x/a                                 | x: real, a: real                | DGM453 | 0 at a = 0
x + log(a)                          | x: real, a: real                | DGM453 | a = 0
x^0.5                               | x: real                         | DGM453 | not at x = -1
x^a                                 | x: real, a: positive            | DGM453 | not at x = 0
logit(x)                            | x: positive                     | DGM453 | not at x = 1
erfinv(x)                           | x: real                         | DGM453 | x = -1
tan(x)                              | x: real                         | DGM453 | 0 between
a*x                                 | x: unit, a: positive            | DGM440 | `a`
x + b                               | x: positive, b: real            | DGM440 | `b`
x^a                                 | x: (0, 2), a: positive          | DGM440 | `a`
tanh(x) + a                         | x: real, a: real                | DGM440 | `a`
x + sign(x)                         | x: real                         | DGM456 | jumps
sign(x - 1)*x^2                     | x: positive                     | DGM456 | jumps
x + sum(x)                          | x: real                         | DGM455 | sum
x*norm(x)                           | x: real                         | DGM455 | norm
x[0] + x                            | x: real                         | DGM455 | index
x + [x, 1]                          | x: real                         | DGM455 | vector
x @ x                               | x: real                         | DGM455 | `@`
logsumexp(x)                        | x: real                         | DGM455 | logsumexp
"""


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


def same(text: str, support: Support) -> bool:
    wanted = supports(f"x: {text}")["x"]
    return all(math.isclose(a, b, rel_tol=1e-15, abs_tol=1e-15) for a, b in zip(
        (wanted.low, wanted.high), (support.low, support.high), strict=True))  # fmt: skip


@pytest.mark.parametrize(("text", "domains", "image"), rows(ACCEPTED), ids=lambda v: v)
def test_an_accepted_update_is_the_bijection_it_says(text: str, domains: str, image: str) -> None:
    written, declared = formula(text), supports(domains)
    update = analyse("x", written, declared)
    assert same(image, update.image), str(update.image)
    if "[" in text or "sum" in text:
        return
    for values in points(declared, 12):
        check_at(update, written, values)


def check_at(update: Update, written: object, values: dict[str, float]) -> None:
    """Value, log-derivative and inverse at a point, against the formula as written in 160 digits."""
    value, slope = exactly(written, values, "x")
    new = at(update.forward, values)
    assert new == pytest.approx(value, rel=1e-12, abs=1e-14), (show(update.forward), values)
    assert (slope > 0) == update.increasing
    log = at(update.log_slope, values)
    assert log == pytest.approx(float(mpmath.log(abs(slope))), rel=1e-10, abs=1e-10), (show(update.log_slope), values)
    assert at(update.derivative, values) == pytest.approx(float(slope), rel=1e-10, abs=1e-12)
    assert (
        inside(new, update.image) or new == pytest.approx(update.image.low) or new == pytest.approx(update.image.high)
    )
    if not inside(new, update.image):
        return
    back = at(update.inverse, {**values, "x": new}) if update.inverse is not None else solve(update, new, values)
    # What rounding of the new value costs, 1/slope, is no error of the inverse.
    lost = 4e-16 * (abs(new) + abs(values["x"] * float(slope))) / abs(float(slope))
    assert back == pytest.approx(values["x"], rel=1e-10, abs=1e-10 + 8 * lost), update.inverse and show(update.inverse)


@pytest.mark.parametrize(("text", "domains", "code", "words"), rows(REFUSED), ids=lambda v: v)
def test_a_refused_update_has_the_code_and_the_point(text: str, domains: str, code: str, words: str) -> None:
    with pytest.raises(Refusal) as refusal:
        analyse("x", formula(text), supports(domains))
    assert refusal.value.code == code, refusal.value.message
    assert words in refusal.value.message


def test_there_are_enough_of_both() -> None:
    assert len(rows(ACCEPTED)) >= 40 and len(rows(REFUSED)) >= 40


def test_a_typical_update_takes_no_more_than_50_ms() -> None:
    taken = []
    for text, domains, *_ in rows(ACCEPTED):
        start = time.process_time()
        analyse("x", formula(text), supports(domains))
        taken.append(time.process_time() - start)
    assert sorted(taken)[len(taken) // 2] < 0.05


EXTREMES = """
1/(1+exp(-x))                       | -100, -15, 0, 15, 100
exp(x)/(1+exp(x))                   | -100, -15, 0, 15, 100
log(1+exp(x))                       | -100, -15, 0, 15, 100
log(0.3*exp(x) + exp(3*x) + 2)      | -100, -15, 0, 15, 100
(exp(x)-exp(-x))/2                  | -100, -15, 0, 15, 100
(exp(x)-exp(-x))/(exp(x)+exp(-x))   | -100, -15, 0, 15, 100
log(x + sqrt(x^2+1))                | -100, -15, 0, 15, 100
x + sqrt(x^2+1)                     | -100, -15, 0, 15, 100
x + log(1+exp(x))                   | -100, -15, 0, 15, 100
tanh(x) + tanh(2*x - 1)             | -100, -15, 0, 15, 100
0.3/(1+exp(-x)) + 0.7/(1+exp(1-2*x)) | -100, -15, 0, 15, 100
exp(x) + exp(2*x)                   | -100, -15, 0, 15, 100
log(x/(1-x))                        | 1e-30, 1e-7, 0.5, 0.9999, 0.9999999
"""


@pytest.mark.parametrize(("text", "places"), rows(EXTREMES), ids=lambda v: v)
def test_idioms_written_naively_are_accurate_at_extremes(text: str, places: str) -> None:
    """Value and log-derivative to 1e-12 where the formula as written overflows or loses all digits."""
    written = formula(text)
    update = analyse("x", written, supports("x: unit" if "e-30" in places else "x: real"))
    for x in map(float, places.split(",")):
        value, slope = exactly(written, {"x": x}, "x")
        assert at(update.forward, {"x": x}) == pytest.approx(float(value), rel=1e-12, abs=0), x
        assert at(update.log_slope, {"x": x}) == pytest.approx(float(mpmath.log(slope)), rel=1e-12, abs=1e-14), x


def test_formulas_of_any_size_are_decided_or_given_up_in_bounded_time() -> None:
    deep, wide, doubled = Name(id="x"), Name(id="x"), Name(id="x")
    for k in range(1, 100):
        deep = Call(name="sin", args=(Argument(value=deep),))
        wide = wide * (Name(id="x") + k)
    for _ in range(11):
        doubled = doubled + 0.1 * Call(name="sin", args=(Argument(value=doubled),))
    for expression in (deep, wide, doubled, wide**10**9, 1e-320 * Name(id="x") + 1e308):
        start = time.process_time()
        with pytest.raises(Refusal, match=r"DGM45[04]"):
            analyse("x", expression, supports("x: real"))
        assert time.process_time() - start < 2
