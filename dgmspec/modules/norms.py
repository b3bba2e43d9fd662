"""An upper bound of a matrix's spectral norm, by products alone.

The Schatten norm ``‖W‖_2n = tr((WᵀW)^n)^(1/2n)`` is never below the spectral norm, and above it by a factor of at most
m^(1/2n), m the smaller side: 1.01 for m = 256 and n = 257. Powers come from repeated squaring.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

__all__ = ["norm_bound"]

SQUARINGS: Final = 8

AT_ONCE: Final = 2
"""Squarings between two divisions by the size, which take longer than they do: of norm 1 and m rows, the largest
eigenvalue is at least 1/√m, and its fourth power far from underflow."""


def norm_bound(weight: Tensor) -> Tensor:
    """A number ≥ ‖weight‖₂, with the Schatten norm's gradient (of first order)."""
    with torch.no_grad():
        wide = weight.shape[0] < weight.shape[1]
        power = weight @ weight.mT if wide else weight.mT @ weight
        tiny, log_scale = torch.finfo(weight.dtype).tiny, weight.new_zeros(())
        for _ in range(SQUARINGS // AT_ONCE):
            size = power.norm().clamp(min=tiny)
            power, log_scale = power / size, log_scale + size.log()
            for _ in range(AT_ONCE):
                power = power @ power
            log_scale = log_scale * 2**AT_ONCE
        # power = (WᵀW)^(2^k) / exp(log_scale); the norm is homogeneous, so W's product with its gradient is the norm.
        slope = power @ weight if wide else weight @ power
        whole = (slope * weight).sum().clamp(min=tiny)
        norm = torch.exp((whole.log() + log_scale) / (2 * (2**SQUARINGS + 1)))
        slope = slope * (norm / whole)
    return (slope * weight).sum()
