"""Torch twin of the Fourier features."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.modules.twin import EmbeddingTwin, Parameters
from dgmspec.ops.nets.fourier import Fourier


def embed(op: Fourier, p: Parameters, x: Tensor) -> Tensor:
    """(batch, numbers) -> (batch, features)."""
    with torch.autocast(x.device.type, enabled=False):  # a phase of many turns has no digits left in half precision
        turns = p["frequencies"]
        found = F.linear(x, turns) if op.kind == "random" else (x.unsqueeze(2) * turns).flatten(1)
        phase = 2 * math.pi * found
        return torch.cat((torch.cos(phase), torch.sin(phase)), 1)


TWINS = {Fourier: EmbeddingTwin(embed)}
