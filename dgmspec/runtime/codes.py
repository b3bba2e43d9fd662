"""Pictures of what latent variables hold: data beside their reconstructions, and the plane of two-dimensional codes."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dgmspec.modules.compiled import CompiledModel
from dgmspec.program.program import Program
from dgmspec.runtime.data import Dataset
from dgmspec.runtime.feed import split
from dgmspec.runtime.latent import inferred
from dgmspec.runtime.pictures import draw_groups, draw_plane, image_shape
from dgmspec.runtime.rundir import RunDirectory

__all__ = ["draw_codes"]

ROWS = 2_000
"""Rows whose codes are drawn."""

TILES = 8
"""Images a side of the map of the plane."""

Array = NDArray[Any]


@torch.no_grad()
def draw_codes(model: CompiledModel, data: Dataset, directory: RunDirectory) -> None:
    """``reconstructions.png``: rows and the means of what their codes' means generate. ``codes.png``, where the codes
    are pairs: where the rows lie, and the images that the plane stands for."""
    both = all(isinstance(model.programs[phase], Program) for phase in ("encode_mean", "decode_mean"))
    if not inferred(model) or len(model.observed) != 1 or not both:
        return
    (name,) = model.observed
    shape = model.type_of(name).shape
    x, given = split(model, data.head(ROWS).columns)
    codes = model.encode(x, given=given, seed=0, mean=True)
    back = model.decode(codes, given=given, seed=0, mean=True)
    shown = {"data": _array(x), "reconstructions": _array(back)}
    draw_groups(shown, shape, directory.path / "reconstructions.png", name)
    if isinstance(codes, Tensor) and codes.shape[1:] == (2,):
        plane = None if model.givens or image_shape(shape) is None else _array(model.decode(_grid(codes), mean=True))
        draw_plane(_array(codes), plane, image_shape(shape), directory.path / "codes.png")


def _grid(codes: Tensor) -> Tensor:
    """Places over the plane, from the top left: at even shares of a normal law of the codes' mean and spread."""
    shares = [NormalDist().inv_cdf((i + 0.5) / TILES) for i in range(TILES)]
    across = torch.tensor(shares, dtype=codes.dtype, device=codes.device)
    places = torch.stack(torch.meshgrid(-across, across, indexing="ij")[::-1], -1).reshape(-1, 2)
    return codes.mean(0) + codes.std(0) * places


def _array(values: Tensor) -> Array:
    return np.asarray(values.cpu().double())
