"""The toy sets: draws fixed by their seed, and densities that are those of the draws."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

from dgmspec.runtime.canvas import Grid
from dgmspec.runtime.densities import DENSITIES, log_density
from dgmspec.runtime.toys import TOYS, Curve, moon_curves, spiral_curves, swiss_curve

# Other constants than the defaults, so that a density that ignores one is caught.
OTHER = {
    "two_moons": {"noise": 0.15},
    "eight_gaussians": {"radius": 2.0, "noise": 0.4},
    "checkerboard": {"cells": 6, "side": 1.0},
    "circles": {"radius": 2.0, "factor": 0.3, "noise": 0.2},
    "pinwheel": {"arms": 3, "radial_std": 0.25, "tangential_std": 0.2, "rate": 0.4, "scale": 1.5},
    "rings": {"radius": 2.0, "noise": 0.12},
    "two_spirals": {"turns": 1.0, "scale": 0.4, "noise": 0.2},
    "swiss_roll": {"scale": 0.25, "noise": 0.3},
    "torus": {"concentration": 1.5},
}
CASES = [(name, constants) for name in TOYS for constants in ({}, OTHER[name])]
SIDE = 360


def lattice(name, constants):
    """Cell centres and cell area of a lattice over a frame that the set does not leave; the board's and the
    torus's edges lie on it."""
    reach = {"checkerboard": 4.0, "torus": np.pi}.get(name, 1.6 * np.abs(TOYS[name](4_000, seed=9, **constants)).max())
    grid = Grid((-reach, reach, -reach, reach), SIDE)
    return grid, (2 * reach / SIDE) ** 2


def test_every_set_has_a_density_of_the_same_constants():
    assert list(TOYS) == list(DENSITIES)
    for name, toy in TOYS.items():
        own = {k: p.default for k, p in inspect.signature(toy).parameters.items() if k not in ("n", "seed")}
        density = {k: p.default for k, p in inspect.signature(DENSITIES[name]).parameters.items() if k != "x"}

        assert own == density


@pytest.mark.parametrize("name", TOYS)
def test_rows_depend_on_set_seed_and_index_alone(name):
    draw = TOYS[name](1_000, seed=5)

    assert draw.shape == (1_000, 2) and draw.dtype == np.float64
    assert np.array_equal(draw[:300], TOYS[name](300, seed=5))
    assert not np.isin(draw, TOYS[name](1_000, seed=6)).any()
    assert len(np.unique(draw, axis=0)) == 1_000


def test_sets_of_one_seed_are_independent():
    noise = [TOYS[name](512, seed=0) for name in TOYS]
    for i, first in enumerate(noise):
        for second in noise[:i]:
            assert abs(np.corrcoef(first[:, 0], second[:, 0])[0, 1]) < 0.25


@pytest.mark.parametrize(("name", "constants"), CASES)
def test_density_integrates_to_one_and_is_that_of_the_draws(name, constants):
    grid, cell = lattice(name, constants)
    log_p = log_density(name, grid.points, **constants)
    mass = np.exp(log_p) * cell
    entropy = -(mass * np.where(mass > 0, log_p, 0.0)).sum()
    draw = TOYS[name](40_000, seed=1, **constants)
    surprise = -log_density(name, draw, **constants)

    assert mass.sum() == pytest.approx(1, abs=1e-9)
    assert abs(surprise.mean() - entropy) <= 4 * surprise.std() / 200 + 1e-9
    assert chi_square_excess(draw, mass, grid) < 5


def chi_square_excess(draw, mass, grid):
    """Standard deviations by which the chi-square statistic of a coarse histogram exceeds its mean."""
    coarse, left, right = 60, *grid.extent[:2]
    expected = mass.reshape(coarse, SIDE // coarse, coarse, SIDE // coarse).sum(axis=(1, 3)) * len(draw)
    seen, _, _ = np.histogram2d(draw[:, 1], draw[:, 0], bins=coarse, range=((left, right), (left, right)))
    kept = expected >= 8
    expected_cells = np.append(expected[kept], max(expected[~kept].sum(), 1e-9))
    seen_cells = np.append(seen[kept], seen[~kept].sum())
    if expected_cells[-1] < 8:
        assert seen_cells[-1] < 40
        expected_cells, seen_cells = expected_cells[:-1], seen_cells[:-1]
    statistic = ((seen_cells - expected_cells) ** 2 / expected_cells).sum()
    return (statistic - len(expected_cells)) / np.sqrt(2 * len(expected_cells))


CURVES = {
    "two_moons": (moon_curves(), 0.05),
    "two_spirals": (spiral_curves(1.5, 1 / 3), 0.1),
    "swiss_roll": (swiss_curve(0.2), 0.2),
}


def by_many_nodes(curves: tuple[Curve, ...], noise: float, x: np.ndarray) -> float:
    """The same integral over the whole of each curve, by 20,000 equal panels of eight nodes."""
    place, weight = np.polynomial.legendre.leggauss(8)
    terms = []
    for curve in curves:
        width = (curve.hi - curve.lo) / 20_000
        t = curve.lo + width * (np.arange(20_000)[:, None] + (place + 1) / 2)
        square = ((x - curve.points(t)) ** 2).sum(axis=-1)
        terms.append(np.log(curve.pdf(t) * weight * width / 2) - square / (2 * noise**2))
    top = max(term.max() for term in terms)
    total = sum(np.exp(term - top).sum() for term in terms)
    return top + np.log(total) - np.log(len(curves) * 2 * np.pi * noise**2)


@pytest.mark.parametrize("name", CURVES)
def test_quadrature_is_exact_near_the_curve_and_far_from_it(name):
    curves, noise = CURVES[name]
    near = TOYS[name](5, seed=3)
    far = np.array([[0.0, 0.0], [0.3, -0.1], [4.0, 0.5], [-5.0, -3.0], [30.0, 8.0]])
    for x in np.concatenate([near, far]):
        exact = by_many_nodes(curves, noise, x)

        # In nats an absolute error is a relative one of the density; far out the exponent's own rounding is larger.
        assert log_density(name, x[None])[0] == pytest.approx(exact, abs=1e-8, rel=1e-11)


@pytest.mark.parametrize("name", CURVES)
def test_quadrature_does_not_depend_on_the_company_of_a_point(name):
    x = np.concatenate([TOYS[name](30, seed=4), [[40.0, -40.0]]])
    together = log_density(name, x)

    assert np.allclose(together, [log_density(name, row[None])[0] for row in x], rtol=1e-12, atol=1e-10)


def test_small_noise_needs_no_more_care():
    x = TOYS["two_moons"](2_000, noise=1e-3, seed=2)
    log_p = log_density("two_moons", x, noise=1e-3)

    # Locally a line of density 1/2π across which the noise is Gaussian, but for the ends of the moons.
    assert log_p.mean() == pytest.approx(-np.log(2 * np.pi) - 0.5 * np.log(2 * np.pi * 1e-6) - 0.5, abs=0.06)


def test_pinwheel_keeps_area():
    """With one arm and no twist the blade is a plain Gaussian; the twist moves its mass without changing heights."""
    plain = TOYS["pinwheel"](500, arms=1, rate=1e-12)
    twisted = TOYS["pinwheel"](500, arms=1, rate=0.5)

    assert np.allclose(np.hypot(*plain.T), np.hypot(*twisted.T))
    assert np.allclose(
        log_density("pinwheel", plain, arms=1, rate=1e-12), log_density("pinwheel", twisted, arms=1, rate=0.5)
    )


def test_known_constants_of_the_literature():
    assert np.abs(TOYS["checkerboard"](5_000)).max() <= 4
    assert log_density("checkerboard", np.array([[-3.9, -3.9], [-3.9, -1.9]])) == pytest.approx([-np.log(32), -np.inf])
    assert np.hypot(*TOYS["eight_gaussians"](5_000).T).mean() == pytest.approx(2.85, abs=0.02)
    moons = TOYS["two_moons"](5_000, noise=0.01)
    assert moons.min(axis=0) == pytest.approx([-1, -0.5], abs=0.05)
    assert moons.max(axis=0) == pytest.approx([2, 1], abs=0.05)


@pytest.mark.parametrize(
    ("name", "constants"), [("two_moons", {"noise": 0}), ("checkerboard", {"cells": 3}), ("pinwheel", {"arms": 0})]
)
def test_constants_without_a_density_are_refused(name, constants):
    with pytest.raises(ValueError, match="must be"):
        TOYS[name](10, **constants)


def test_points_that_are_no_points_are_refused():
    with pytest.raises(ValueError, match="finite points"):
        log_density("rings", np.array([[np.nan, 0.0]]))
    with pytest.raises(ValueError, match="finite points"):
        log_density("rings", np.zeros((3, 3)))


def test_toys_import_numpy_alone():
    heavy = "torch sklearn scipy matplotlib accelerate"
    code = f"import sys, dgmspec.runtime.toys; print([m for m in '{heavy}'.split() if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert found.strip() == "[]"
