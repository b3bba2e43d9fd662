r"""Simple densities of integer data, to read a model's likelihood against.

All figures are test bits per dimension, -E log2 p(x + u) / D with u ~ U[0, 1)^D, so that they stand beside a model
trained on dequantised data. A mass function P gives p(x + u) = P(x); the Gaussian's expectation over u is taken in
closed form. What a baseline may choose (smoothing, number of components, when to stop) is chosen on the validation
rows; the test rows are read once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix
from scipy.special import logsumexp

from dgmspec.runtime.keyed import keyed_generator

__all__ = ["baselines", "gaussian_bits", "histogram_bits", "mixture_bits"]

Array = NDArray[np.float64]
Rows = NDArray[np.integer]

HISTOGRAM_COUNTS: Final = (0.1, 0.3, 1.0, 3.0)
"""Pseudo-counts tried for each level of each column of the histogram."""

COMPONENTS: Final = (10, 20, 40)
"""Numbers of mixture components tried."""

PRIOR_ROWS: Final = (10.0, 20.0, 40.0)
"""Strengths tried for the mixture's prior: each component sees this many extra rows with the columns' overall law."""

MIXTURE_UP_TO: Final = 1_000_000
"""Most entries of training data for which the mixture is fitted: beyond, its EM steps would take many minutes."""

EM_STEPS: Final = 100
"""Most EM steps for one mixture."""

EM_PATIENCE: Final = 5
"""EM ends after this many steps without a better validation likelihood."""


def baselines(train: Rows, validation: Rows, test: Rows, low: int, high: int, seed: int = 0) -> dict[str, float]:
    """Test bits per dimension of the three baselines on rows (n, D) of integers low..high; no mixture of large data."""
    found = {"histogram": histogram_bits(train, validation, test, low, high)}
    if train.size <= MIXTURE_UP_TO:
        found["mixture"] = mixture_bits(train, validation, test, low, high, seed)
    return found | {"gaussian": gaussian_bits(train, test)}


def gaussian_bits(train: Rows, test: Rows) -> float:
    r"""Full-covariance Gaussian of x + u, by maximum likelihood.

    Mean m + 1/2 and covariance Σ = Cov(x) + I/12, so it exists also where a column is constant. Over u,
    E (x + u - m - ½)ᵀ Σ⁻¹ (x + u - m - ½) = (x - m)ᵀ Σ⁻¹ (x - m) + tr(Σ⁻¹)/12.
    """
    rows = train.astype(np.float64)
    mean = rows.mean(axis=0)
    size = int(rows.shape[1])
    covariance = np.cov(rows, rowvar=False, bias=True).reshape(size, size) + np.eye(size) / 12
    factor = cho_factor(covariance, lower=True)
    offset = test.astype(np.float64) - mean
    square = np.einsum("ij,ji->i", offset, cho_solve(factor, offset.T)).mean()
    square += np.trace(cho_solve(factor, np.eye(size))) / 12
    log_det = 2 * np.log(np.diagonal(factor[0])).sum()
    nats: float = (float(square) + float(log_det) + size * math.log(2 * math.pi)) / 2
    return nats / (size * math.log(2))


def histogram_bits(train: Rows, validation: Rows, test: Rows, low: int, high: int) -> float:
    """Independent columns, P(x_d = v) ∝ count + a, the pseudo-count a chosen on validation."""
    levels, size = high - low + 1, int(train.shape[1])
    counts = sum(np.bincount(_cells(row, low, levels), minlength=size * levels) for row in np.array_split(train, 64))
    held, tested = _cells(validation, low, levels), _cells(test, low, levels)
    laws = [_log_laws(np.asarray(counts).reshape(size, levels) + extra) for extra in HISTOGRAM_COUNTS]
    best = max(laws, key=lambda law: float(law[held].mean()))
    return -float(best[tested].mean()) / math.log(2)


def mixture_bits(train: Rows, validation: Rows, test: Rows, low: int, high: int, seed: int = 0) -> float:
    """Mixture of products of categoricals, by EM; components, prior and step are chosen on validation.

    One EM step costs O(n D C) for C components, whatever the number of levels.
    """
    levels = high - low + 1
    data, held = _one_hot(train, low, levels), _one_hot(validation, low, levels)
    candidates = [
        _fit(data, held, levels, components, strength, seed) for components in COMPONENTS for strength in PRIOR_ROWS
    ]
    best = max(candidates, key=lambda candidate: candidate.mean_log_prob(held))
    return _bits(best, _one_hot(test, low, levels), test.shape[1])


@dataclass(frozen=True)
class _Mixture:
    """Log-weights (C,) and log-laws (C, D · levels) of a mixture of independent categoricals."""

    log_weight: Array
    log_law: Array

    def joint(self, one_hot: csr_matrix) -> Array:
        """log P(component, x), shape (n, C)."""
        return np.asarray(one_hot @ self.log_law.T) + self.log_weight

    def mean_log_prob(self, one_hot: csr_matrix) -> float:
        """Mean of log P(x) in nats."""
        return float(logsumexp(self.joint(one_hot), axis=1).mean())


def _fit(data: csr_matrix, held: csr_matrix, levels: int, components: int, strength: float, seed: int) -> _Mixture:
    """EM from random soft assignments; the step that is best on `held` is kept."""
    overall = strength * np.exp(_log_laws(_counts(data, levels) + 1 / levels))
    rng = keyed_generator("mixture", seed, components)
    belongs = np.full((data.shape[0], components), 0.5 / components)
    belongs[np.arange(len(belongs)), rng.integers(components, size=len(belongs))] += 0.5
    best, best_score, waited = None, -math.inf, 0
    for _ in range(EM_STEPS):
        counts = np.asarray(data.T @ belongs).T.reshape(components, -1, levels)
        share = belongs.sum(axis=0) + 1
        mixture = _Mixture(np.log(share / share.sum()), _log_laws(counts + overall.reshape(-1, levels)))
        score = mixture.mean_log_prob(held)
        best, best_score, waited = (mixture, score, 0) if score > best_score else (best, best_score, waited + 1)
        if waited == EM_PATIENCE:
            break
        joint = mixture.joint(data)
        belongs = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    assert best is not None
    return best


def _one_hot(rows: Rows, low: int, levels: int) -> csr_matrix:
    """Rows (n, D) as a sparse (n, D · levels) indicator matrix."""
    n, size = rows.shape
    starts = np.arange(0, n * size + 1, size)
    return csr_matrix((np.ones(n * size), _cells(rows, low, levels), starts), shape=(n, size * levels))


def _cells(rows: Rows, low: int, levels: int) -> NDArray[np.int64]:
    """The cell, column · levels + level, of every entry, row by row."""
    cells: NDArray[np.int64] = (rows.astype(np.int64) - low + levels * np.arange(rows.shape[1])).ravel()
    return cells


def _counts(one_hot: csr_matrix, levels: int) -> Array:
    """How often each column takes each level, shape (D, levels)."""
    return np.asarray(one_hot.sum(axis=0)).reshape(-1, levels)


def _log_laws(counts: Array) -> Array:
    """Counts (..., D, levels) normalised over levels, logged, flattened to (..., D · levels)."""
    laws = np.log(counts) - np.log(counts.sum(axis=-1, keepdims=True))
    flat: Array = laws.reshape(*counts.shape[:-2], -1)
    return flat


def _bits(mixture: _Mixture, one_hot: csr_matrix, size: int) -> float:
    """-E log2 P(x) / D."""
    return -mixture.mean_log_prob(one_hot) / (size * math.log(2))
