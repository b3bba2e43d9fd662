r"""The two-dimensional toy sets: a latent (a label, an angle, a place on a curve) and Gaussian noise around it.

Shapes and constants follow the sets that the literature plots (scikit-learn's `make_moons`, `make_circles`,
`make_swiss_roll`; the toy sets of FFJORD, Grathwohl et al. 2019), stated so that each density is known exactly
(`dgmspec.runtime.densities`). Where those draw angles from a grid, the latent here is uniform, so that rows are
independent and identically distributed.

Row i depends on (set, seed, i) alone: rows are drawn in blocks of 256, each from its own counter of a Philox stream.
The first n rows of a longer draw are therefore the draw of n rows, and another seed gives fresh, independent points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgmspec.runtime.keyed import keyed_generator

__all__ = [
    "BLOCK",
    "TOYS",
    "Array",
    "Curve",
    "checkerboard",
    "circles",
    "eight_gaussians",
    "moon_curves",
    "pinwheel",
    "rings",
    "spiral_curves",
    "swiss_curve",
    "swiss_roll",
    "torus",
    "two_moons",
    "two_spirals",
]

Array = NDArray[np.float64]
BLOCK: Final = 256
"""Rows that share one counter of the random stream."""

RING_RADII: Final = (0.25, 0.5, 0.75, 1.0)
"""Radii of `rings`, in units of its outer radius."""


@dataclass(frozen=True)
class Curve:
    """A plane curve c(t), lo <= t <= hi, and the law of the latent t on it.

    `points` maps t of shape (...) to (..., 2); `pdf` is the density of t; `quantile` maps u ~ U(0, 1) to t.
    """

    lo: float
    hi: float
    points: Callable[[Array], Array]
    pdf: Callable[[Array], Array]
    quantile: Callable[[Array], Array]


def two_moons(n: int, *, noise: float = 0.05, seed: int = 0) -> Array:
    r"""Two interleaving half circles, `(n, 2)`.

    k ~ U{0, 1}, a ~ U(0, π), e ~ N(0, noise² I); x = (cos a, sin a) + e for k = 0 and
    x = (1 - cos a, 1/2 - sin a) + e for k = 1. The coordinates are those of scikit-learn's `make_moons`.
    """
    return _on_curves("two_moons", n, seed, moon_curves(), noise)


def eight_gaussians(
    n: int, *, radius: float = 4 / math.sqrt(2), noise: float = 0.5 / math.sqrt(2), seed: int = 0
) -> Array:
    r"""Eight equal Gaussians on a circle, `(n, 2)`.

    k ~ U{0, …, 7}; x = radius (cos πk/4, sin πk/4) + N(0, noise² I). Defaults: radius 4/√2, noise 0.5/√2, which is
    the set of radius 4 and noise 0.5 divided by √2.
    """
    _positive(radius=radius, noise=noise)

    def draw(rng: np.random.Generator) -> Array:
        angle = rng.integers(8, size=BLOCK).astype(np.float64) * (np.pi / 4)
        return radius * _unit(angle) + noise * rng.standard_normal((BLOCK, 2))

    return _rows("eight_gaussians", n, seed, draw)


def checkerboard(n: int, *, cells: int = 4, side: float = 2.0, seed: int = 0) -> Array:
    r"""Uniform on the dark squares of a board, `(n, 2)`.

    The board has cells × cells squares (cells even) of length `side`, centred at the origin; square (i, j), counted
    from the lower left, is dark when i + j is even. i ~ U{0, …, cells - 1}, j uniform among the dark squares of
    column i, x uniform in the square: density 2 / (cells side)² there, 0 elsewhere. The default covers [-4, 4]².
    """
    _positive(side=side)
    if cells < 2 or cells % 2:
        raise ValueError(f"`cells` must be even and at least 2, got {cells}")

    def draw(rng: np.random.Generator) -> Array:
        column = rng.integers(cells, size=BLOCK)
        row = 2 * rng.integers(cells // 2, size=BLOCK) + column % 2
        corner = np.stack([column, row], axis=-1) - cells / 2
        return side * (corner + rng.random((BLOCK, 2)))

    return _rows("checkerboard", n, seed, draw)


def circles(n: int, *, radius: float = 3.0, factor: float = 0.5, noise: float = 0.24, seed: int = 0) -> Array:
    r"""Two concentric circles, `(n, 2)`.

    ρ ~ U{radius, factor · radius}, a ~ U(0, 2π); x = ρ (cos a, sin a) + N(0, noise² I). The default is scikit-learn's
    `make_circles(factor=0.5, noise=0.08)` times 3.
    """
    _positive(radius=radius, factor=factor, noise=noise)
    return _on_circles("circles", n, seed, (radius, factor * radius), noise)


def rings(n: int, *, radius: float = 3.0, noise: float = 0.08, seed: int = 0) -> Array:
    r"""Four concentric rings, `(n, 2)`.

    ρ ~ U{1/4, 1/2, 3/4, 1} · radius, a ~ U(0, 2π); x = ρ (cos a, sin a) + N(0, noise² I).
    """
    _positive(radius=radius, noise=noise)
    return _on_circles("rings", n, seed, tuple(radius * ratio for ratio in RING_RADII), noise)


def pinwheel(
    n: int,
    *,
    arms: int = 5,
    radial_std: float = 0.3,
    tangential_std: float = 0.1,
    rate: float = 0.25,
    scale: float = 2.0,
    seed: int = 0,
) -> Array:
    r"""Gaussian blades bent into a wheel, `(n, 2)`.

    k ~ U{0, …, arms - 1}, f ~ N((1, 0), diag(radial_std², tangential_std²));
    x = scale · R(-(2πk/arms + rate e^{|f|})) f, with R(a) the rotation by a. The twist depends on |f| alone, which a
    rotation keeps, so f ↦ x / scale keeps areas and is undone by rotating back; the usual set twists by e^{f₁}, which
    is not one-to-one and looks the same.
    """
    _positive(radial_std=radial_std, tangential_std=tangential_std, scale=scale)
    if arms < 1:
        raise ValueError(f"`arms` must be at least 1, got {arms}")

    def draw(rng: np.random.Generator) -> Array:
        arm = rng.integers(arms, size=BLOCK)
        blade = rng.standard_normal((BLOCK, 2)) * (radial_std, tangential_std) + (1.0, 0.0)
        twist = rate * np.exp(np.hypot(blade[:, 0], blade[:, 1]))
        return scale * rotate(blade, -(2 * np.pi / arms * arm + twist))

    return _rows("pinwheel", n, seed, draw)


def two_spirals(n: int, *, turns: float = 1.5, scale: float = 1 / 3, noise: float = 0.1, seed: int = 0) -> Array:
    r"""Two Archimedean spirals, one the other's reflection in the origin, `(n, 2)`.

    s ~ U{-1, 1}, u ~ U(0, 1), t = 2π · turns · √u; x = s · scale · t (-cos t, sin t) + N(0, noise² I). The usual set
    adds a uniform jitter of width 0.5 · scale as well; it is left out here.
    """
    return _on_curves("two_spirals", n, seed, spiral_curves(turns, scale), noise)


def swiss_roll(n: int, *, scale: float = 0.2, noise: float = 0.2, seed: int = 0) -> Array:
    r"""One Archimedean spiral, the Swiss roll seen from the side, `(n, 2)`.

    t ~ U(3π/2, 9π/2); x = scale · t (cos t, sin t) + N(0, noise² I). The default is the first and last coordinate of
    scikit-learn's `make_swiss_roll(noise=1)`, divided by 5.
    """
    return _on_curves("swiss_roll", n, seed, swiss_curve(scale), noise)


def torus(n: int, *, concentration: float = 4.0, seed: int = 0) -> Array:
    r"""Two clusters of angles that wind around a torus, `(n, 2)`, in [-π, π).

    k ~ U{-1, 1}, a ~ von Mises(kπ/2, κ), b ~ von Mises(2a, κ) with κ = `concentration`; x = (a, b).
    """
    _positive(concentration=concentration)

    def draw(rng: np.random.Generator) -> Array:
        side = 2 * rng.integers(2, size=BLOCK) - 1
        a = rng.vonmises(side * (np.pi / 2), concentration)
        b = 2 * a + rng.vonmises(0.0, concentration, size=BLOCK)
        return (np.stack([a, b], axis=-1) + np.pi) % (2 * np.pi) - np.pi

    return _rows("torus", n, seed, draw)


def moon_curves() -> tuple[Curve, ...]:
    """The upper moon around the origin and the lower one around (1, 1/2)."""

    def upper(t: Array) -> Array:
        return _unit(t)

    def lower(t: Array) -> Array:
        return np.array([1.0, 0.5]) - _unit(t)

    return tuple(_uniform_curve(0.0, np.pi, points) for points in (upper, lower))


def spiral_curves(turns: float, scale: float) -> tuple[Curve, ...]:
    """The two arms of `two_spirals`; t has density 2t/T² on (0, T), which is near to uniform in length."""
    _positive(turns=turns, scale=scale)
    end = 2 * np.pi * turns

    def arm(sign: float) -> Curve:
        def points(t: Array) -> Array:
            return (sign * scale) * np.stack([-t * np.cos(t), t * np.sin(t)], axis=-1)

        return Curve(0.0, end, points, lambda t: 2 * t / end**2, lambda u: end * np.sqrt(u))

    return (arm(1.0), arm(-1.0))


def swiss_curve(scale: float) -> tuple[Curve, ...]:
    """The one arm of `swiss_roll`."""
    _positive(scale=scale)
    return (_uniform_curve(1.5 * np.pi, 4.5 * np.pi, lambda t: scale * t[..., None] * _unit(t)),)


def rotate(points: Array, angle: Array) -> Array:
    """Each row of `points` (m, 2) turned counter-clockwise by its angle (m,)."""
    c, s = np.cos(angle), np.sin(angle)
    x, y = points[..., 0], points[..., 1]
    return np.stack([c * x - s * y, s * x + c * y], axis=-1)


def _on_curves(name: str, n: int, seed: int, curves: tuple[Curve, ...], noise: float) -> Array:
    """A curve with equal chances, a place on it by its law, Gaussian noise."""
    _positive(noise=noise)

    def draw(rng: np.random.Generator) -> Array:
        which = rng.integers(len(curves), size=BLOCK)
        u = rng.random(BLOCK)
        places = np.stack([curve.points(curve.quantile(u)) for curve in curves])
        return places[which, np.arange(BLOCK)] + noise * rng.standard_normal((BLOCK, 2))

    return _rows(name, n, seed, draw)


def _on_circles(name: str, n: int, seed: int, radii: tuple[float, ...], noise: float) -> Array:
    """A circle around the origin with equal chances, a uniform angle, Gaussian noise."""

    def draw(rng: np.random.Generator) -> Array:
        radius = np.asarray(radii)[rng.integers(len(radii), size=BLOCK)]
        angle = rng.random(BLOCK) * (2 * np.pi)
        return radius[:, None] * _unit(angle) + noise * rng.standard_normal((BLOCK, 2))

    return _rows(name, n, seed, draw)


def _rows(name: str, n: int, seed: int, draw: Callable[[np.random.Generator], Array]) -> Array:
    """The first n rows of the set: `draw` fills one block of `BLOCK` rows from that block's generator."""
    if n < 1:
        raise ValueError(f"`n` must be at least 1, got {n}")
    blocks = [draw(keyed_generator(name, seed, block)) for block in range(-(-n // BLOCK))]
    return np.concatenate(blocks)[:n]


def _uniform_curve(lo: float, hi: float, points: Callable[[Array], Array]) -> Curve:
    """A curve whose latent is uniform on (lo, hi)."""
    width = hi - lo
    return Curve(lo, hi, points, lambda t: np.full_like(t, 1 / width), lambda u: lo + width * u)


def _unit(angle: Array) -> Array:
    """(cos a, sin a), shape (..., 2)."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _positive(**constants: float) -> None:
    """Refuse a constant for which the process has no density."""
    for name, value in constants.items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"`{name}` must be positive and finite, got {value}")


TOYS: Final[dict[str, Callable[..., Array]]] = {
    toy.__name__: toy
    for toy in (
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
"""Every set by its name; each takes n, its own constants by keyword, and a seed."""
