"""Closed forms of a path's coefficients: those an author writes, or those that well-known processes have.

The integrals behind a derived path are worked out numerically. Of the forms below those are kept that agree with them
to nine digits over the whole time, so that what is printed is what is computed:

    log α = a polynomial in t of degree 4 at most;    m = κ (1 - α);
    σ² = c_0 + c_1 α² + c_2 α⁴ (variance-preserving, sub-VP, Ornstein-Uhlenbeck);
    and where α = 1, σ² = a polynomial in t, or c_0 + c_1 k^t (variance-exploding).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from dgmspec.algebra.nodes import AbstractExpr, Argument, Call, Name, Number, add, expr, multiply
from dgmspec.algebra.paths.scalar import AbstractCurve, Derived, Written

__all__ = ["ClosedForm", "closed_form"]

_DEGREE: Final = 4
_TRIED: Final = 40
_CLOSE: Final = 1e-9
_DIGITS: Final = 10

Function = Callable[[float], float]


@dataclass(frozen=True)
class ClosedForm:
    """x_t = alpha x_0 + mean + σ ε with σ² = `variance`, or σ = `sigma` where that is how it is written; formulas of
    the time, `variance` also of ``α``. `mean` is None where it is 0."""

    alpha: AbstractExpr
    mean: AbstractExpr | None
    variance: AbstractExpr | None = None
    sigma: AbstractExpr | None = None


def closed_form(curve: AbstractCurve) -> ClosedForm | None:
    """The closed form of a curve; None where none of the forms is its."""
    if isinstance(curve, Written):
        flat = all(curve.mean(t) == 0 for t in _times(curve))
        return ClosedForm(curve.scale, None if flat else curve.shift, sigma=curve.noise)
    if not isinstance(curve, Derived):
        return None
    times, t = _times(curve), Name(id=curve.name)
    growth = _polynomial(curve.log_alpha, times, scale=1.0)
    if growth is None:
        return None
    still = not any(growth)
    alpha = expr(1) if still else Call(name="exp", args=(Argument(value=_series(growth, t)),))
    flat = all(curve.mean(t) == 0 for t in times)
    mean = None if flat else _mean(curve, times)
    variance = _spread(curve, times, t) if still else _kept(curve, times)
    return None if variance is None or (mean is None and not flat) else ClosedForm(alpha, mean, variance)


def _times(curve: AbstractCurve) -> list[float]:
    """Times over the whole interval but its very start, where variances are 0."""
    return [curve.low + (curve.high - curve.low) * (i + 0.5) / _TRIED for i in range(_TRIED)]


def _polynomial(function: Function, times: Sequence[float], scale: float = 0.0) -> list[float] | None:
    """The coefficients of the polynomial of least degree that a function is; `scale` is an absolute error's."""
    for degree in range(_DEGREE + 1):
        at = [times[round(i * (len(times) - 1) / max(degree, 1))] for i in range(degree + 1)]
        found = _solved([[t**k for k in range(degree + 1)] for t in at], [function(t) for t in at])
        if _agrees(lambda t, c=found: sum(a * t**k for k, a in enumerate(c)), function, times, scale):  # type: ignore[misc]
            return found
    return None


def _mean(curve: Derived, times: Sequence[float]) -> AbstractExpr | None:
    """κ (1 - α); None where it is something else."""
    last = times[-1]
    kappa = curve.mean(last) / (1 - curve.alpha(last)) if curve.alpha(last) != 1 else math.nan
    if not _agrees(lambda t: kappa * (1 - curve.alpha(t)), curve.mean, times, abs(kappa)):
        return None
    return multiply(expr(_tidy(kappa)), "*", 1 - Name(id="α"))


def _kept(curve: Derived, times: Sequence[float]) -> AbstractExpr | None:
    """c_0 + c_1 α² + c_2 α⁴."""
    squares: Function = lambda t: curve.alpha(t) ** 2  # noqa: E731  # read three times below
    at = [times[0], times[len(times) // 3], times[-1]]
    found = _solved([[squares(t) ** k for k in range(3)] for t in at], [curve.sigma(t) ** 2 for t in at])
    if not _agrees(lambda t: sum(c * squares(t) ** k for k, c in enumerate(found)), _variance(curve), times):
        return None
    c = [_tidy(value, max(map(abs, found))) for value in found]
    alpha = Name(id="α")
    if c[0] > 0 and c[1] == -2 * c[0] and c[2] == c[0]:
        return _times_number(c[0], (1 - alpha**2) ** 2)
    if c[0] > 0 and c[1] == -c[0] and not c[2]:
        return _times_number(c[0], 1 - alpha**2)
    return _sum([(c[0], None), (c[1], alpha**2), (c[2], alpha**4)])


def _spread(curve: Derived, times: Sequence[float], t: Name) -> AbstractExpr | None:
    """A polynomial, or c_0 + c_1 k^t."""
    found = _polynomial(_variance(curve), times)
    if found is not None:
        return _series(found, t)
    first, middle, last = times[0], times[len(times) // 2], times[-1]
    rates = [curve.sigma(at) ** 2 for at in (first, middle, last)]
    # With equal distances between the times, the ratio of the differences is k^distance.
    middle = (first + last) / 2
    rates[1] = curve.sigma(middle) ** 2
    ratio = (rates[2] - rates[1]) / (rates[1] - rates[0])
    if not ratio > 0 or ratio == 1:
        return None
    base = ratio ** (1 / (middle - first))
    c1 = (rates[2] - rates[0]) / (base**last - base**first)
    c0 = rates[0] - c1 * base**first
    if not _agrees(lambda at: c0 + c1 * base**at, _variance(curve), times):
        return None
    powers = Number(value=_tidy(base)) ** t
    return _sum([(_tidy(c1), powers), (_tidy(c0, abs(c1)), None)])


def _variance(curve: Derived) -> Function:
    return lambda t: curve.sigma(t) ** 2


def _agrees(form: Function, truth: Function, times: Sequence[float], scale: float = 0.0) -> bool:
    """Whether a form gives nine digits of a function, or is as near as that to `scale`."""
    return all(abs(form(t) - truth(t)) <= _CLOSE * max(abs(truth(t)), scale) for t in times)


def _solved(rows: list[list[float]], right: list[float]) -> list[float]:
    """The solution of a small linear system; numbers that are no numbers where it has none."""
    rows = [[*row, value] for row, value in zip(rows, right, strict=True)]
    count = len(rows)
    for i in range(count):
        pivot = max(range(i, count), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        if not rows[i][i]:
            return [math.nan] * count
        for k in range(count):
            if k != i:
                share = rows[k][i] / rows[i][i]
                rows[k] = [a - share * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [rows[i][count] / rows[i][i] for i in range(count)]


# ---- formulas -------------------------------------------------------------------------------------------------------


def _tidy(value: float, scale: float = 0.0) -> float | int:
    """A coefficient to ten digits, 0 where it is rounding beside `scale`, whole where it is."""
    if abs(value) <= 1e-8 * scale:
        return 0
    found = float(f"{value:.{_DIGITS}g}")
    return int(found) if found.is_integer() and abs(found) < 10**_DIGITS else found


def _series(coefficients: Sequence[float], t: Name) -> AbstractExpr:
    """Σ c_k t^k without what is 0."""
    size = max(map(abs, coefficients))
    powers: list[AbstractExpr | None] = [None, t, *(t**k for k in range(2, len(coefficients)))]
    return _sum([(_tidy(c, size), power) for c, power in zip(coefficients, powers, strict=True)])


def _sum(parts: Sequence[tuple[float | int, AbstractExpr | None]]) -> AbstractExpr:
    """Σ c · part, signs written between."""
    total: AbstractExpr | None = None
    for value, part in parts:
        if value:
            size = value if total is None else abs(value)
            piece = expr(size) if part is None else _times_number(size, part)
            total = piece if total is None else add(total, "+" if value > 0 else "-", piece)
    return expr(0) if total is None else total


def _times_number(value: float | int, part: AbstractExpr) -> AbstractExpr:
    return part if value == 1 else multiply(expr(value), "*", part)
