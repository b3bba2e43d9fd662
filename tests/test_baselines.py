"""The simple densities against closed forms, brute force, and what they reach on the digits."""

import numpy as np
import pytest

from dgmspec.core.types import Type, integers
from dgmspec.runtime.baselines import baselines, gaussian_bits, histogram_bits, mixture_bits
from dgmspec.runtime.data import Context, open_source


@pytest.fixture(scope="module")
def digits():
    return open_source("digits", {"flat": True}, {"x": Type(integers(0, 16), (64,))}, Context())


def test_digits_in_bits_per_dimension(digits):
    """Three random splits: the figures are those of the data, the spread that of 180 test rows."""
    splits = [digits.split((0.8, 0.1, 0.1), seed) for seed in range(3)]
    reached = [baselines(*(part["x"] for part in parts), 0, 16) for parts in splits]
    mean = {name: np.mean([figures[name] for figures in reached]) for name in reached[0]}

    assert mean["gaussian"] == pytest.approx(2.93, abs=0.06)
    assert mean["histogram"] == pytest.approx(2.41, abs=0.03)
    assert mean["mixture"] == pytest.approx(2.18, abs=0.03)


def test_histogram_of_independent_columns_reaches_their_entropy():
    rng = np.random.default_rng(0)
    law = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    rows = np.stack([rng.choice(3, 20_000, p=p) for p in law], axis=1) - 1
    entropy = -(law * np.log2(law)).sum() / 2

    assert histogram_bits(rows[:16_000], rows[16_000:18_000], rows[18_000:], -1, 1) == pytest.approx(entropy, abs=0.03)


def test_mixture_finds_clusters_that_a_histogram_cannot():
    """Two equally likely words of eight letters with 10 % errors: close to their entropy, far below the histogram."""
    rng = np.random.default_rng(1)
    words = np.array([[0] * 8, [3] * 8])
    rows = words[rng.integers(2, size=4_000)]
    wrong = rng.random(rows.shape) < 0.1
    rows = np.where(wrong, rng.integers(4, size=rows.shape), rows)
    parts = (rows[:3_000], rows[3_000:3_500], rows[3_500:], 0, 3)
    right, other = 0.925, 0.025
    entropy = -(right * np.log2(right) + 3 * other * np.log2(other)) + 1 / 8

    assert mixture_bits(*parts) == pytest.approx(entropy, abs=0.04)
    assert histogram_bits(*parts) > entropy + 0.5


def test_gaussian_takes_the_mean_over_dequantisation_exactly():
    rng = np.random.default_rng(2)
    train, test = (rng.integers(0, 5, size=(n, 3)) @ np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]]) for n in (500, 50))
    mean, covariance = train.mean(axis=0) + 0.5, np.cov(train.T, bias=True) + np.eye(3) / 12
    drawn = np.repeat(test, 4_000, axis=0) + rng.random((200_000, 3))
    offset = drawn - mean
    nats = 0.5 * (np.einsum("ij,jk,ik->i", offset, np.linalg.inv(covariance), offset))
    nats += 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]

    assert gaussian_bits(train, test) == pytest.approx(nats.mean() / 3 / np.log(2), abs=0.003)


def test_constant_columns_and_unseen_levels_are_finite():
    train = np.zeros((60, 4), dtype=np.uint8)
    train[:, 1] = np.arange(60) % 3
    test = train[:20] + np.uint8(1)
    figures = baselines(train, train[:20], test, 0, 9)

    assert all(np.isfinite(list(figures.values())))


def test_one_column():
    rows = np.arange(100)[:, None] % 4
    figures = baselines(rows[:60], rows[60:80], rows[80:], 0, 3)

    assert figures["histogram"] == pytest.approx(2, abs=0.01)


def test_the_seed_fixes_the_mixture(digits):
    parts = [part["x"] for part in digits.split((0.1, 0.1, 0.1), 0)]

    assert mixture_bits(*parts, 0, 16, seed=4) == mixture_bits(*parts, 0, 16, seed=4)
