"""Moments of dx = (a(t) x + b(t)) dt + g(t) dW from its coefficients, tabulated once to float64 accuracy.

With L(t) = ∫ a: x_t given x_0 is normal with mean e^L x_0 + m and variance v,

    m(t) = ∫ b(s) e^{L(t) - L(s)} ds          v(t) = ∫ g(s)² e^{2 (L(t) - L(s))} ds.

Both are carried from panel to panel. The integrand of v is nowhere negative, so v keeps its *relative* accuracy however
small it is; the closed forms, such as 1 - e^{2L}, lose theirs near t = 0. Panels halve towards the start, down to 2^-40
of the span, and are cut further where a series does not converge: to 3e-13 of itself, and, since formulas such as
1 - cos t cancel near the start, to more below a thousandth of the span. Held are the series of L, m and log v.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dgmspec.algebra.paths.chebyshev import Series, at_nodes, fit, integral, nodes, relaxed, tail, value
from dgmspec.algebra.paths.panels import halved, walked
from dgmspec.core.diagnostics import Refusal

__all__ = ["PANELS", "Moments", "moments"]

Function = Callable[[float], float]

_HALVINGS: Final = 40
_STIFF: Final = 5.0
_SOLVED: Final = 2
_RANGE: Final = (1e-300, 1e300)
_EXACT: Final = 3e-13
_EARLY: Final = 1e-3

PANELS: Final = 2000
"""How many panels are tried: half a second. The paths of the literature take less than 100."""


@dataclass(frozen=True)
class Moments:
    """L, m and log v as series on panels; `edges` are one more than the panels and count from the start of time.

    Before the first edge L and m are proportional to the time, and v to its power `power`.
    """

    edges: tuple[float, ...]
    log_alpha: tuple[Series, ...]
    mean: tuple[Series, ...]
    log_variance: tuple[Series, ...]
    power: float

    def at(self, t: float) -> tuple[float, float, float]:
        """(L, m, log v) at a time since the start; log v is -inf at 0."""
        first = self.edges[0]
        if t < first:
            share = t / first
            low, mean, log_variance = (value(s[0], -1.0) for s in (self.log_alpha, self.mean, self.log_variance))
            fall = self.power * math.log(share) if share > 0 else -math.inf
            return low * share, mean * share, log_variance + fall
        i = min(bisect_right(self.edges, t), len(self.edges) - 1) - 1
        low, high = self.edges[i], self.edges[i + 1]
        x = min((2 * t - low - high) / (high - low), 1.0)
        return value(self.log_alpha[i], x), value(self.mean[i], x), value(self.log_variance[i], x)


@dataclass
class _State:
    """The moments at the left end of the next panel."""

    log_alpha: float = 0.0
    mean: float = 0.0
    variance: float = 0.0


def moments(a: Function, b: Function, g2: Function, span: float, panels: int = PANELS) -> Moments:
    """The moments on (0, span]; `Refusal` (DGM646) where they are not to be had, DGM644 where v stays 0."""
    first = span * 2.0**-_HALVINGS
    work = _Work(a, b, g2, span, panels)
    panel = work.panel(0.0, first)
    if panel is None:
        raise _refused(0.0)
    if not panel.end.variance > 0:
        raise Refusal(
            "DGM644",
            "the diffusion is 0 from the start, so x_t is not random there and has no score",
            help=("let the diffusion be positive from the start on",),
        )
    power, work.here = panel.power, panel.end
    found = walked(halved(span, _HALVINGS), work.passed, _refused)
    edges = (first, *(p.high for p in found))
    logs = tuple(p.log_variance for p in found if p.log_variance is not None)
    return Moments(edges, tuple(p.log_alpha for p in found), tuple(p.mean for p in found), logs, power)


@dataclass(frozen=True)
class _Panel:
    """One panel's series, the state at its right end, and d log v / d log t there (of the first panel alone)."""

    high: float
    log_alpha: Series
    mean: Series
    log_variance: Series | None
    end: _State
    power: float


class _Work:
    """The coefficients, the moments `here` where the next panel begins, and how much work is left for panels."""

    def __init__(self, a: Function, b: Function, g2: Function, span: float, panels: int) -> None:
        self.a, self.b, self.g2, self.span, self.panels = a, b, g2, span, panels
        self.here, self.left = _State(), panels

    def passed(self, low: float, high: float) -> _Panel | None:
        """The next panel; None where it is to be cut."""
        panel = self.panel(low, high)
        if panel is None or panel.log_variance is None:
            if self.left < 0:
                raise _dear(low, self.panels)
            return None
        self.here = panel.end
        if not _RANGE[0] < self.here.variance < _RANGE[1] or abs(self.here.mean) > _RANGE[1]:
            raise _beyond(high, self.here.variance)
        return panel

    def panel(self, low: float, high: float) -> _Panel | None:
        """The moments on [low, high]; None where a series has not converged and the panel is to be cut."""
        self.left -= 1
        start, loose = self.here, max(1.0, _EARLY * self.span / high)
        half, times = (high - low) / 2, nodes(low, high)
        values = [self.a(t) for t in times]
        rate = fit(values)
        growth = integral(rate, half)
        whole = value(growth, 1.0)
        if not math.isfinite(whole) or tail(rate) * half > _EXACT * max(1.0, abs(whole)):
            return None
        added = [self.g2(t) for t in times], [self.b(t) for t in times]
        if whole > -_STIFF:
            moved = _carried(growth, *added, half, start, loose) if whole < _STIFF else None
        else:
            self.left -= _SOLVED
            moved = _relaxed(values, *added, half, start, loose) if max(values) < 0 else None
        if moved is None:
            return None
        variances, mean, end = moved
        logs = _logs(variances, loose) if low > 0 else None
        end.log_alpha = start.log_alpha + whole
        power = high * self.g2(high) / end.variance if low == 0 and end.variance > 0 else 0.0
        return _Panel(high, (growth[0] + start.log_alpha, *growth[1:]), mean, logs, end, power)


def _carried(
    growth: Series, spread: list[float], push: list[float], half: float, start: _State, loose: float
) -> tuple[Series, Series, _State] | None:
    """v and the series of m by their integrals; the state at the end lacks its logarithm."""
    grown, whole = at_nodes(growth), value(growth, 1.0)
    spread_ = fit([g2 * math.exp(-2 * L) for g2, L in zip(spread, grown, strict=True)])
    push_ = fit([b * math.exp(-L) for b, L in zip(push, grown, strict=True)])
    if not _converged(spread_, loose, start.variance / half) or not _converged(push_, loose, abs(start.mean) / half):
        return None
    variance_, mean_ = integral(spread_, half), integral(push_, half)
    variances = tuple(math.exp(2 * L) * (start.variance + v) for L, v in zip(grown, at_nodes(variance_), strict=True))
    mean = fit([math.exp(L) * (start.mean + m) for L, m in zip(grown, at_nodes(mean_), strict=True)])
    share = math.exp(whole)
    end = _State(0.0, share * (start.mean + value(mean_, 1.0)), share**2 * (start.variance + value(variance_, 1.0)))
    return variances, mean, end


def _relaxed(
    rates: list[float], spread: list[float], push: list[float], half: float, start: _State, loose: float
) -> tuple[Series, Series, _State] | None:
    """v and the series of m where they forget their start, from v' = 2 a v + g² and m' = a m + b at the nodes.

    There the integrands range over more than a series holds, and the solutions do not.
    """
    variances = relaxed([2 * a for a in rates], spread, start.variance, half)
    means = relaxed(rates, push, start.mean, half) if start.mean or any(push) else (0.0,) * len(rates)
    if min(variances) <= 0 or not all(map(math.isfinite, (*variances, *means))):
        return None
    variance, mean = fit(variances), fit(means)
    if tail(mean) > _EXACT * loose * max(*map(abs, mean), math.sqrt(min(variances))):
        return None
    return variances, mean, _State(0.0, value(mean, 1.0), value(variance, 1.0))


def _logs(variances: Series, loose: float) -> Series | None:
    """The series of log v; None where it has not converged."""
    if min(variances) <= 0:
        return None
    logs = fit([math.log(v) for v in variances])
    return logs if tail(logs) < 10 * _EXACT * loose else None


def _converged(series: Series, loose: float, beside: float) -> bool:
    """Whether the last terms are nothing, beside the others or beside what the integral is added to."""
    top = max(*map(abs, series), beside)
    return math.isfinite(top) and tail(series) <= _EXACT * loose * top


def _refused(t: float) -> Refusal:
    where = f"near {t:.3g} after the start" if t else "at the start"
    return Refusal(
        "DGM646",
        f"the integrals of drift and diffusion do not converge {where}",
        notes=("∫ a dt and ∫ g(t)² dt have to exist from the start of time to its end",),
        help=(
            "end the time before the coefficients blow up, or write the path itself: `perturb x -> z over t in … { "
            "kernel(x, t) ~ normal(α(t) * x, σ(t)) }`",
        ),
    )


def _dear(t: float, panels: int) -> Refusal:
    return Refusal(
        "DGM646",
        f"drift and diffusion turn too quickly: {panels:,} panels follow their integrals to {t:.3g} after the start",
        notes=("on each panel the coefficients and the variance are polynomials of degree 21 to 12 digits",),
        help=("let the coefficients turn more slowly, or end the time earlier",),
    )


def _beyond(t: float, variance: float) -> Refusal:
    return Refusal(
        "DGM646",
        f"float64 holds x_t no longer than {t:.3g} after the start: its variance is {variance:.3g} there",
        notes=("∫ g(t)² dt has to exist, in numbers between 1e-300 and 1e300, up to the end of the time",),
        help=("end the time there, or slow the coefficients down",),
    )
