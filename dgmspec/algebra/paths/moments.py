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
from itertools import pairwise
from typing import Final

from dgmspec.algebra.paths.chebyshev import Series, fit, integral, nodes, sampled, tail, value
from dgmspec.core.diagnostics import Refusal

__all__ = ["Moments", "moments"]

Function = Callable[[float], float]

_HALVINGS: Final = 40
_CUTS: Final = 14
_PANELS: Final = 4000
_EXACT: Final = 3e-13
_EARLY: Final = 1e-3


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


def moments(a: Function, b: Function, g2: Function, span: float) -> Moments:
    """The moments on (0, span]; `Refusal` (DGM646) where an integral does not converge, DGM644 where v stays 0."""
    first = span * 2.0**-_HALVINGS
    state, found = _State(), _Table()
    panel = _panel(a, b, g2, 0.0, first, state, _EARLY / 2.0**-_HALVINGS)
    if panel is None:
        raise _divergent(0.0)
    if not panel.end.variance > 0:
        raise Refusal(
            "DGM644",
            "the diffusion is 0 from the start, so x_t is not random there and has no score",
            help=("let the diffusion be positive from the start on",),
        )
    power = panel.power
    state = panel.end
    edges = [span * 2.0**-k for k in range(_HALVINGS, -1, -1)]
    todo = [(low, high, 0) for low, high in pairwise(edges)][::-1]
    while todo:
        low, high, cuts = todo.pop()
        panel = _panel(a, b, g2, low, high, state, max(1.0, _EARLY * span / high))
        if panel is not None and panel.log_variance is not None and found.size < _PANELS:
            found.add(panel)
            state = panel.end
        elif cuts == _CUTS or found.size >= _PANELS:
            raise _divergent(low)
        else:
            middle = (low + high) / 2
            todo += [(middle, high, cuts + 1), (low, middle, cuts + 1)]
    return found.moments(first, power)


@dataclass(frozen=True)
class _Panel:
    """One panel's series, the state at its right end, and d log v / d log t there (of the first panel alone)."""

    high: float
    log_alpha: Series
    mean: Series
    log_variance: Series | None
    end: _State
    power: float


class _Table:
    """Panels as they are accepted."""

    def __init__(self) -> None:
        self.panels: list[_Panel] = []

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.panels)

    def add(self, panel: _Panel) -> None:
        """Keep one."""
        self.panels.append(panel)

    def moments(self, first: float, power: float) -> Moments:
        """The table."""
        edges = (first, *(p.high for p in self.panels))
        logs = tuple(p.log_variance for p in self.panels if p.log_variance is not None)
        return Moments(edges, tuple(p.log_alpha for p in self.panels), tuple(p.mean for p in self.panels), logs, power)


def _panel(
    a: Function, b: Function, g2: Function, low: float, high: float, start: _State, loose: float
) -> _Panel | None:
    """The moments on [low, high]; None where a series has not converged and the panel is to be cut."""
    half, times = (high - low) / 2, nodes(low, high)
    rate = sampled(a, low, high)
    growth = integral(rate, half)
    if not math.isfinite(growth[0]) or tail(rate) * half > _EXACT or abs(value(growth, 1.0)) > 8:
        return None
    grown = [value(growth, (2 * t - low - high) / (high - low)) for t in times]
    spread = fit([g2(t) * math.exp(-2 * L) for t, L in zip(times, grown, strict=True)])
    push = fit([b(t) * math.exp(-L) for t, L in zip(times, grown, strict=True)])
    if not _converged(spread, loose) or not _converged(push, loose):
        return None
    mean_, variance_ = integral(push, half), integral(spread, half)
    end_growth, added = value(growth, 1.0), value(variance_, 1.0)
    end = _State(
        start.log_alpha + end_growth,
        math.exp(end_growth) * (start.mean + value(mean_, 1.0)),
        math.exp(2 * end_growth) * (start.variance + added),
    )
    xs = [(2 * t - low - high) / (high - low) for t in times]
    mean = fit([math.exp(L) * (start.mean + value(mean_, x)) for L, x in zip(grown, xs, strict=True)])
    power = high * g2(high) / end.variance if low == 0 and end.variance > 0 else 0.0
    log_variance = _log(start, variance_, grown, xs, low, loose)
    return _Panel(high, _shifted(growth, start.log_alpha), mean, log_variance, end, power)


def _log(
    start: _State, variance: Series, grown: list[float], xs: list[float], low: float, loose: float
) -> Series | None:
    """The series of log v; None at the start of time, and where it has not converged."""
    values = [start.variance + value(variance, x) for x in xs]
    if low == 0 or min(values) <= 0:
        return None
    logs = fit([2 * L + math.log(v) for L, v in zip(grown, values, strict=True)])
    return logs if tail(logs) < 10 * _EXACT * loose else None


def _shifted(series: Series, by: float) -> Series:
    return (series[0] + by, *series[1:])


def _converged(series: Series, loose: float) -> bool:
    top = max(map(abs, series))
    return math.isfinite(top) and tail(series) <= _EXACT * loose * top


def _divergent(t: float) -> Refusal:
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
