"""Hutchinson's probes: random vectors whose second moment is the identity, drawn once for a whole solve.

``E eᵀJe = tr J`` and ``E |eᵀJ|² = ‖J‖²_F`` for each kind, with k probes averaged. With S the symmetric part of J, the
variance of the trace's estimate is ``2 (‖S‖² - Σ S_ii²) / k`` for signs, ``2 ‖S‖² / k`` for normal probes and, for k
orthogonal ones among d coordinates, ``2 d (d - k) / (k (d - 1) (d + 2)) · (‖S‖² - (tr S)² / d)``: nothing at k = d.
References: Hutchinson, A stochastic estimator of the trace of the influence matrix, 1989; Avron and Toledo, Randomized
algorithms for estimating the trace of an implicit symmetric positive semi-definite matrix, 2011.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = ["Kind", "probes", "variance"]

Kind = Literal["rademacher", "gaussian", "orthogonal"]


def probes(kind: Kind, draws: Tensor) -> Tensor:
    """Probes (batch, k, d) from as many draws: random signs as they are, normal ones as they are or, for ``orthogonal``
    and k ≤ d, made orthogonal within a row and of length √d."""
    if kind != "orthogonal":
        return draws
    rows: Tensor = torch.linalg.qr(draws.mT).Q.mT
    return float(draws.shape[2] ** 0.5) * rows


def variance(kind: Kind, jacobian: Tensor, k: int) -> Tensor:
    """The variance of the trace's estimate with k probes, for Jacobians (…, d, d)."""
    s, d = (jacobian + jacobian.mT) / 2, jacobian.shape[-1]
    diagonal = torch.diagonal(s, dim1=-2, dim2=-1)
    total: Tensor = s.square().sum((-2, -1))
    if kind == "rademacher":
        return 2 * (total - diagonal.square().sum(-1)) / k
    if kind == "gaussian":
        return 2 * total / k
    if d == 1:
        return torch.zeros_like(total)
    spread: Tensor = total - diagonal.sum(-1).square() / d
    return 2 * d * (d - k) / (k * (d - 1) * (d + 2)) * spread
