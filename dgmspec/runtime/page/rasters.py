"""Arrays as pictures: densities and crowds of points over the plane, sheets of images."""

from __future__ import annotations

import math
from typing import Any, Final

import matplotlib
import numpy as np
from numpy.typing import NDArray

from dgmspec.core.png import pixels_uri

__all__ = ["counts", "heat", "sheet"]

Array = NDArray[Any]

_GAMMA: Final = 0.6
"""Densities are shown to this power, so that their thin parts are seen."""

_TILES: Final = 8


def heat(values: Array, top: float) -> str:
    """Values (rows from the bottom up) as colours from 0 to `top`."""
    scaled = np.clip(np.nan_to_num(values) / (top or 1.0), 0.0, 1.0) ** _GAMMA
    return _uri(matplotlib.colormaps["magma"](scaled[::-1])[..., :3])


def counts(points: Array, extent: tuple[float, float, float, float]) -> Array:
    """How many points (n, 2) fall into each cell of the rectangle, rows from the bottom up."""
    left, right, bottom, top = extent
    bins = int(np.clip(math.sqrt(len(points)), 40, 160))
    return np.histogram2d(points[:, 1], points[:, 0], bins=bins, range=((bottom, top), (left, right)))[0]


def sheet(images: Array, low: float, high: float) -> str:
    """Images (n, c, h, w) with values from low to high, tiled with a seam."""
    _, channels, height, width = images.shape
    seam = max(1, height // 12)
    full = np.full((_TILES * (height + seam) - seam, _TILES * (width + seam) - seam, 3), 0.5)
    scaled = np.clip((images[: _TILES**2] - low) / max(high - low, 1e-12), 0.0, 1.0)
    for index, picture in enumerate(scaled):
        row, column = divmod(index, _TILES)
        top, left = row * (height + seam), column * (width + seam)
        pixels = np.repeat(picture, 3 // channels, axis=0).transpose(1, 2, 0)
        full[top : top + height, left : left + width] = pixels
    return _uri(full)


def _uri(colours: Array) -> str:
    return pixels_uri([row.tobytes() for row in np.round(255 * colours).astype(np.uint8)])
