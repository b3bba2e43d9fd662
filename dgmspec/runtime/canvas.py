"""What every picture rests on: figures that touch no global state, their colours, frames over data, and files.

Figures are built from matplotlib's objects with its Agg canvas, so drawing needs no screen.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dgmspec.core.disk import replacing

__all__ = ["DATA", "FAINT", "MODEL", "Array", "FilePath", "Grid", "canvas", "frame_of", "lone_axes", "save", "spread"]

Array = NDArray[Any]
FilePath = str | PathLike[str]

DATA: Final = "#1f4e79"
MODEL: Final = "#d1603d"
FAINT: Final = "#b9c7d6"
_DPI: Final = 130


@dataclass(frozen=True)
class Grid:
    """A square lattice over the rectangle (left, right, bottom, top): `size` cell centres along each axis."""

    extent: tuple[float, float, float, float]
    size: int

    @staticmethod
    def around(data: Array, size: int = 200) -> Grid:
        """The lattice that frames nearly all rows of `data` (n, 2), with a margin."""
        (left, right), (bottom, top) = (frame_of(data[:, axis]) for axis in (0, 1))
        return Grid((left, right, bottom, top), size)

    @property
    def points(self) -> NDArray[np.float64]:
        """The cell centres, shape (size², 2), the first coordinate running fastest."""
        left, right, bottom, top = self.extent
        middle = (np.arange(self.size) + 0.5) / self.size
        x, y = np.meshgrid(left + (right - left) * middle, bottom + (top - bottom) * middle)
        return np.stack([x.ravel(), y.ravel()], axis=-1)

    def inside(self, low: float, high: float) -> NDArray[np.bool_]:
        """Which cell centres have both coordinates in the open interval (low, high)."""
        return np.asarray(((self.points > low) & (self.points < high)).all(axis=1))


def frame_of(values: Array) -> tuple[float, float]:
    """An interval holding nearly all values, with a margin."""
    low, high = (float(q) for q in np.quantile(values, (0.0005, 0.9995)))
    margin = 0.08 * spread(low, high) or 0.5
    return low - margin, high + margin


def spread(low: float, high: float) -> float:
    """How far apart two ends are; of large numbers that are the same to rounding, what a picture can tell apart."""
    most = max(abs(low), abs(high))
    return high - low if high - low > 1e-12 * most else 0.01 * most if most > 100 else 0.0


def canvas(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def lone_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, without the box's upper and right sides."""
    figure = canvas(width, height)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Figure, path: FilePath) -> None:
    """Write the figure in one step, as a PNG that names neither day nor version."""
    with replacing(Path(path)) as part:
        figure.savefig(part, format="png", metadata={"Software": None})
