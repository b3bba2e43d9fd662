r"""Exact log-densities of the toy sets of `dgmspec.runtime.toys`, in nats, in float64.

Gaussian mixtures, the board, the rings and the pinwheel have closed forms. A curve blurred by Gaussian noise has

    p(x) = ∫ p(t) N(x; c(t), σ² I) dt,

which is integrated by Gauss-Legendre panels along the curve. A panel's length is kept below 48 σ²/R for a point at
distance R from the curve, so that the exponent changes by a bounded amount over a panel and 32 nodes leave a relative
error near 1e-14 however far out the point lies; panels that cannot contribute 1e-17 of the whole are skipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import i0e, logsumexp

from dgmspec.runtime.toys import (
    RING_RADII,
    Array,
    Curve,
    moon_curves,
    rotate,
    spiral_curves,
    swiss_curve,
)

__all__ = ["DENSITIES", "log_density"]

_NODES: Final = 32
_BASE_LENGTH: Final = 4.0  # of a panel, in units of the noise, for points near the curve
_BASE_REACH: Final = 12.0  # how near, in units of the noise; 4 × further out, panels are 4 × shorter
_BANDS: Final = 5
_NEGLIGIBLE: Final = 40.0  # nats below the leading panel at which a panel is skipped
_CHUNK: Final = 2_000_000  # point-panel pairs held in memory at once


def log_density(name: str, x: Array, **constants: float) -> Array:
    """log p(x) in nats of the toy set `name` at the points `x` (m, 2); shape (m,), -inf where the density is 0.

    `constants` are those of the set's function in `dgmspec.runtime.toys`, with the same defaults.
    """
    points = np.asarray(x, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"expected finite points of shape (m, 2), got shape {points.shape}")
    return DENSITIES[name](points, **constants)


def two_moons(x: Array, *, noise: float = 0.05) -> Array:
    """Quadrature over the angle of each half circle."""
    return _curves(x, moon_curves(), noise)


def eight_gaussians(x: Array, *, radius: float = 4 / math.sqrt(2), noise: float = 0.5 / math.sqrt(2)) -> Array:
    """log 1/8 Σ_k N(x; radius (cos πk/4, sin πk/4), noise² I)."""
    angle = np.arange(8) * (np.pi / 4)
    centres = radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    square = ((x[:, None, :] - centres) ** 2).sum(axis=-1)
    total: Array = logsumexp(-square / (2 * noise**2), axis=1)
    return total - math.log(8 * 2 * np.pi * noise**2)


def checkerboard(x: Array, *, cells: int = 4, side: float = 2.0) -> Array:
    """log 2 / (cells side)² on the dark squares (closed below, open above), -inf elsewhere."""
    square = np.floor(x / side + cells / 2)
    on_board = ((square >= 0) & (square < cells)).all(axis=1)
    dark = on_board & (square.sum(axis=1) % 2 == 0)
    return np.where(dark, math.log(2) - 2 * math.log(cells * side), -np.inf)


def circles(x: Array, *, radius: float = 3.0, factor: float = 0.5, noise: float = 0.24) -> Array:
    """Closed form with the modified Bessel function I₀, one term a circle."""
    return _circles(x, (radius, factor * radius), noise)


def rings(x: Array, *, radius: float = 3.0, noise: float = 0.08) -> Array:
    """Closed form with the modified Bessel function I₀, one term a ring."""
    return _circles(x, [radius * ratio for ratio in RING_RADII], noise)


def pinwheel(
    x: Array,
    *,
    arms: int = 5,
    radial_std: float = 0.3,
    tangential_std: float = 0.1,
    rate: float = 0.25,
    scale: float = 2.0,
) -> Array:
    """log 1/(arms scale²) Σ_k N(f_k; (1, 0), diag(radial_std², tangential_std²)), f_k the point turned to arm 0."""
    plane = x / scale
    twist = rate * np.exp(np.minimum(np.hypot(plane[:, 0], plane[:, 1]), 700.0))
    turned = np.stack([rotate(plane, 2 * np.pi / arms * k + twist) for k in range(arms)])
    square = ((turned[..., 0] - 1) / radial_std) ** 2 + (turned[..., 1] / tangential_std) ** 2
    volume = arms * 2 * np.pi * radial_std * tangential_std * scale**2
    total: Array = logsumexp(-square / 2, axis=0)
    return total - math.log(volume)


def two_spirals(x: Array, *, turns: float = 1.5, scale: float = 1 / 3, noise: float = 0.1) -> Array:
    """Quadrature along each arm."""
    return _curves(x, spiral_curves(turns, scale), noise)


def swiss_roll(x: Array, *, scale: float = 0.2, noise: float = 0.2) -> Array:
    """Quadrature along the arm."""
    return _curves(x, swiss_curve(scale), noise)


def torus(x: Array, *, concentration: float = 4.0) -> Array:
    """log 1/2 Σ_k vM(a; kπ/2, κ) + log vM(b; 2a, κ) with respect to da db, -inf beyond ±π."""
    a, b = x.T
    constant = -math.log(2 * np.pi * i0e(concentration))
    sides = np.stack([np.cos(a + np.pi / 2), np.cos(a - np.pi / 2)])
    first = logsumexp(concentration * (sides - 1), axis=0) - math.log(2) + constant
    second: Array = concentration * (np.cos(b - 2 * a) - 1) + constant
    return np.where((np.abs(x) <= np.pi * (1 + 1e-7)).all(axis=1), first + second, -np.inf)


DENSITIES: Final[dict[str, Callable[..., Array]]] = {
    density.__name__: density
    for density in (
        two_moons,
        eight_gaussians,
        checkerboard,
        circles,
        pinwheel,
        rings,
        two_spirals,
        swiss_roll,
        torus,
    )
}
"""The log-density of every set by its name, on points of shape (m, 2)."""


def _circles(x: Array, radii: Sequence[float], noise: float) -> Array:
    r"""Equal mixture of circles of radius ρ blurred by σ, at distance r from the origin.

    p(x) = e^{-(r² + ρ²)/2σ²} I₀(rρ/σ²) / 2πσ² = e^{-(r - ρ)²/2σ²} [e^{-z} I₀(z)] / 2πσ², z = rρ/σ².
    """
    r = np.hypot(x[:, 0], x[:, 1])[:, None]
    rho = np.asarray(radii)
    terms = np.log(i0e(r * rho / noise**2)) - (r - rho) ** 2 / (2 * noise**2)
    total: Array = logsumexp(terms, axis=1)
    return total - math.log(len(radii) * 2 * np.pi * noise**2)


@dataclass(frozen=True)
class _Panels:
    """A partition of curves: P panels of Q nodes.

    `middle` (P, 2) is the point half-way along each panel, which no point of the panel is further away from than
    `reach`; `nodes` are the two coordinates, each (P, Q); `log_weight` (P, Q) is log(quadrature weight · p(t)).
    """

    middle: Array
    reach: float
    nodes: tuple[Array, Array]
    log_weight: Array


def _curves(x: Array, curves: tuple[Curve, ...], noise: float) -> Array:
    """Log-density of an equal mixture of curves blurred by Gaussian noise: points in bands of distance."""
    coarse = _panels(curves, _BASE_LENGTH * noise)
    out = np.empty(len(x))
    distance = np.concatenate([_distances(rows, coarse).min(axis=1) for rows in _chunks(x, coarse)])
    far = np.maximum((distance + coarse.reach) / (_BASE_REACH * noise), 1.0)
    band = np.minimum(np.ceil(np.log(far) / math.log(4)), _BANDS - 1).astype(int)
    for k in np.unique(band):
        panels = _panels(curves, _BASE_LENGTH * noise / 4**k)
        chosen = x[band == k]
        out[band == k] = np.concatenate([_integrate(rows, panels, noise) for rows in _chunks(chosen, panels)])
    return out - math.log(len(curves) * 2 * np.pi * noise**2)


def _panels(curves: tuple[Curve, ...], length: float) -> _Panels:
    """Cut each curve into equal pieces of at most `length`, measured along it."""
    parts = [_cut(curve, length) for curve in curves]
    middle, nodes, log_weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    # The pieces are equal up to the interpolation of arc length, hence a margin.
    return _Panels(middle, 0.51 * length, (nodes[..., 0].copy(), nodes[..., 1].copy()), log_weight)


def _cut(curve: Curve, length: float) -> tuple[Array, Array, Array]:
    """Middles (P, 2), nodes (P, Q, 2) and log-weights (P, Q) of one curve's panels."""
    fine = np.linspace(curve.lo, curve.hi, 8193)
    chords = np.linalg.norm(np.diff(curve.points(fine), axis=0), axis=-1)
    along = np.concatenate([[0.0], np.cumsum(chords)])
    count = math.ceil(along[-1] / length)
    cuts = np.interp(np.linspace(0.0, along[-1], 2 * count + 1), along, fine)
    lo, middle, hi = cuts[:-1:2], cuts[1::2], cuts[2::2]
    place, weight = np.polynomial.legendre.leggauss(_NODES)
    half = (hi - lo)[:, None] / 2
    t = lo[:, None] + half * (place + 1)
    return curve.points(middle), curve.points(t), np.log(half * weight * curve.pdf(t))


def _integrate(x: Array, panels: _Panels, noise: float) -> Array:
    """log ∫ p(t) exp(-|x - c(t)|²/2σ²) dt for each row of x, over the panels that matter to it."""
    distance = _distances(x, panels)
    nearest = distance.min(axis=1, keepdims=True) + panels.reach
    farthest = np.sqrt(nearest**2 + 2 * _NEGLIGIBLE * noise**2)
    row, panel = np.nonzero(distance - panels.reach < farthest)
    square = (x[row, None, 0] - panels.nodes[0][panel]) ** 2
    square += (x[row, None, 1] - panels.nodes[1][panel]) ** 2
    terms = panels.log_weight[panel] - square / (2 * noise**2)
    starts = np.searchsorted(row, np.arange(len(x)))
    top = np.maximum.reduceat(terms.max(axis=1), starts)
    total = np.add.reduceat(np.exp(terms - top[row, None]).sum(axis=1), starts)
    return top + np.log(total)


def _distances(x: Array, panels: _Panels) -> Array:
    """|x - middle|, shape (m, P)."""
    return np.hypot(x[:, None, 0] - panels.middle[:, 0], x[:, None, 1] - panels.middle[:, 1])


def _chunks(x: Array, panels: _Panels) -> list[Array]:
    """The rows of x in pieces that keep memory bounded."""
    size = max(1, min(8192, _CHUNK // len(panels.middle)))
    return [x[start : start + size] for start in range(0, len(x), size)]
