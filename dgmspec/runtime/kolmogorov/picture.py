"""A picture of simulated processes beside their laws: bars beside a step line, or two maps of the plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm

from dgmspec.runtime.canvas import DATA, MODEL, canvas, save
from dgmspec.runtime.kolmogorov.histograms import Histogram

__all__ = ["draw_histograms"]


def draw_histograms(histograms: Sequence[Histogram], path: Path) -> None:
    """One row a histogram, as a PNG at `path`."""
    plane = any(histogram.counts.ndim == 2 for histogram in histograms)
    columns = 2 if plane else 1
    figure = canvas(4.2 * columns + 1.5, 3.3 * len(histograms))
    panels = figure.subplots(len(histograms), columns, squeeze=False)
    for row, histogram in zip(panels, histograms, strict=True):
        (_plane if histogram.counts.ndim == 2 else _line)(row, histogram)
    save(figure, path)


def _said(histogram: Histogram) -> str:
    return f"{histogram.title} at {histogram.t:.3g}: {histogram.deviation():.1f} standard errors"


def _line(row: Any, histogram: Histogram) -> None:
    axes, (edges,) = row[0], histogram.edges
    widths = np.diff(edges)
    share = histogram.counts / histogram.counts.sum() / widths
    axes.bar(edges[:-1], share, widths, align="edge", color=DATA, alpha=0.45, label="simulation")
    axes.stairs(histogram.mass / widths, edges, color=MODEL, linewidth=1.6, label=histogram.law)
    axes.set(title=_said(histogram), xlabel="x", ylabel="density")
    axes.legend(frameon=False)


def _plane(row: Any, histogram: Histogram) -> None:
    share, mass = histogram.counts / histogram.counts.sum(), histogram.mass
    norm = PowerNorm(0.6, vmin=0.0, vmax=float(max(share.max(), mass.max())))
    x, y = histogram.edges
    extent = (x[0], x[-1], y[0], y[-1])
    for axes, values, title in zip(row, (share, mass), (_said(histogram), histogram.law), strict=True):
        axes.imshow(values.T, extent=extent, origin="lower", cmap="magma", norm=norm, aspect="auto")
        axes.set_title(title)
