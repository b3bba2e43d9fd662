"""Upper bounds of spectral norms, of matrices and of convolutions, by products alone.

The Schatten norm ``‖W‖_2n = tr((WᵀW)^n)^(1/2n)`` is never below the spectral norm, and above it by a factor of at most
m^(1/2n), m the smaller side: 1.01 for m = 256 and n = 257. Powers come from repeated squaring.

A convolution with zeros beyond the border is cut out of one without a border: on the lattice Z², or on a torus so large
that the kernel, wrapped around it, meets zeros alone, h + r rows for an image of h and a kernel that reaches r far. Its
norm is thus at most the largest norm of the symbol ``Ŵ(θ) = Σ_j W_j e^{ijθ}``, a matrix of channels, over the
frequencies of the torus, or over all angles. Of these, N equidistant ones a side are looked at: by M. Riesz' lemma a
trigonometric polynomial of degree r falls from its maximum no faster than ``cos(r θ)``, so the largest of all is at
most that on the grid over ``cos(π r / N)``, for each side; this holds for every ``Re u* Ŵ v``, hence for the norm.
Reference: Sedghi, Gupta and Long, The singular values of convolutional layers, ICLR 2019 (the symbol); Ehlich and
Zeller, Schwankung von Polynomen zwischen Gitterpunkten, Mathematische Zeitschrift 86, 1964 (between the points of a
grid); Delattre, Barthélemy, Araujo and Allauzen, Efficient bound of Lipschitz constant for convolutional layers by Gram
iteration, ICML 2023 (powers of symbols).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

__all__ = ["convolution_bound", "frequencies", "norm_bound"]

SQUARINGS: Final = 8

ANGLES: Final = 12
"""Angles a side for each pixel of a kernel's reach: between them nothing exceeds 1/cos(π/12) = 1.035 times it."""

AT_ONCE: Final = 2
"""Squarings between two divisions by the size, which take longer than they do: of norm 1 and m rows, the largest
eigenvalue is at least 1/√m, and its fourth power far from underflow."""


def norm_bound(weight: Tensor) -> Tensor:
    """Numbers ≥ ‖weight‖₂ of matrices (…, m, n), with the Schatten norm's gradient (of first order): (…)."""
    with torch.no_grad():
        wide = weight.shape[-2] < weight.shape[-1]
        power = weight @ weight.mT if wide else weight.mT @ weight
        tiny, log_scale = torch.finfo(weight.dtype).tiny, weight.new_zeros(())
        for _ in range(SQUARINGS // AT_ONCE):
            size = torch.linalg.matrix_norm(power, keepdim=True).clamp(min=tiny)
            power, log_scale = power / size, log_scale + size.log()
            for _ in range(AT_ONCE):
                power = power @ power
            log_scale = log_scale * 2**AT_ONCE
        # power = (WᵀW)^(2^k) / exp(log_scale); the norm is homogeneous, so W's product with its gradient is the norm.
        slope = power @ weight if wide else weight @ power
        whole = (slope * weight).sum((-2, -1), keepdim=True).clamp(min=tiny)
        norm = torch.exp((whole.log() + log_scale) / (2 * (2**SQUARINGS + 1)))
        slope = slope * (norm / whole)
    return (slope * weight).sum((-2, -1))


def convolution_bound(weight: Tensor, waves: Tensor) -> Tensor:
    """A number ≥ the norm of a convolution (out, in, k, k) with zeros beyond the border; `waves` are the `frequencies`
    for the image."""
    real, imaginary = torch.tensordot(weight.flatten(2), waves, ([2], [1])).permute(2, 3, 0, 1)
    above, below = torch.cat((real, -imaginary), 2), torch.cat((imaginary, real), 2)
    return norm_bound(torch.cat((above, below), 1)).amax()


def frequencies(kernel: int, sides: Sequence[int]) -> Tensor:
    """``cos(j·θ)`` and ``sin(j·θ)`` of the places j of a kernel at the angles θ that bound a convolution of images of
    these sides, over what the symbol may exceed between them: (2, kernel², angles), float64.

    One of two opposite angles stands for both: their symbols are conjugate.
    """
    reach = kernel // 2
    grids, between = [], 1.0
    for side in sides:
        count = min(side + reach, max(ANGLES * reach, 1))
        grids.append(torch.arange(count, dtype=torch.float64) * (2 * math.pi / count))
        between *= 1.0 if count == side + reach else math.cos(math.pi * reach / count)
    upper = grids[1][: len(grids[1]) // 2 + 1]
    angles = torch.cartesian_prod(grids[0], upper)
    places = torch.arange(kernel, dtype=torch.float64) - reach
    phases = torch.cartesian_prod(places, places) @ angles.mT
    return torch.stack((phases.cos(), phases.sin())) / between
