"""The pictures of a model: samples beside data, codes in the plane, a density over the plane."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dgmspec.core.types import Shape
from dgmspec.runtime.canvas import DATA, FAINT, MODEL, Array, FilePath, Grid, canvas, frame_of, lone_axes, save

__all__ = ["draw_density", "draw_groups", "draw_plane", "draw_samples", "image_shape"]

_MAP: Final = "magma"
_TILES: Final = 8  # images along each side of a mosaic
_PAIRS: Final = 4  # coordinates shown by their pairwise marginals
_SMALLEST_IMAGE: Final = 16  # a shorter vector is not taken for a square image
_CROWD: Final = 1_500  # points from which a histogram says more than a scatter


def draw_samples(samples: Array, data: Array | None, shape: Shape, path: FilePath, name: str = "x") -> None:
    """Samples of the variable `name` beside real data (or alone), both (n, *shape), in the form that suits the shape;
    a PNG at `path`.

    Scalars: histograms. Pairs: the plane. Images ([h, w], [1 or 3, h, w], or a vector of square length from 16 on):
    mosaics. Anything else: marginals of the first coordinates, one by one and in pairs. Samples that are not finite
    are left out and counted in the title.
    """
    drawn = _flat(samples)
    finite = np.asarray(np.isfinite(drawn).all(axis=1))
    lost = int((~finite).sum())
    figure = _grouped(({} if data is None else {"data": _flat(data)}) | {"samples": drawn[finite]}, shape, name)
    if lost:
        figure.suptitle(f"{lost:,} of {len(finite):,} samples are not finite and left out", color=MODEL, fontsize=9)
    save(figure, path)


def draw_groups(groups: Mapping[str, Array], shape: Shape, path: FilePath, name: str = "x") -> None:
    """Groups of events of one shape side by side, by their titles, in the form that suits the shape."""
    save(_grouped({title: _flat(rows) for title, rows in groups.items()}, shape, name), path)


def draw_plane(points: Array, images: Array | None, image: tuple[int, int, int] | None, path: FilePath) -> None:
    """Points of the plane, and beside them the images that a grid over it stands for, where they are images."""
    extent = Grid.around(points).extent
    figure = canvas(4.5 * (1 if images is None else 2), _plane_height(extent) if images is None else 4.9)
    panels = figure.subplots(1, 1 if images is None else 2, squeeze=False)[0]
    _crowd(panels[0], points, extent)
    panels[0].set_title(f"codes ({len(points):,})")
    if images is not None and image is not None:
        panels[1].imshow(_mosaic(np.clip(_scaled(images), 0.0, 1.0).reshape(-1, *image)), interpolation="nearest")
        panels[1].set_title("the plane decoded")
        panels[1].set_axis_off()
    save(figure, path)


def _scaled(images: Array) -> Array:
    low, high = float(images.min()), float(images.max())
    return (images - low) / max(high - low, 1e-12)


def _grouped(groups: Mapping[str, Array], shape: Shape, name: str) -> Figure:
    """Events as vectors by the titles of their groups, in the form that suits their shape."""
    image, size = image_shape(shape), next(iter(groups.values())).shape[1]
    if image is not None:
        return _mosaics(groups, image)
    if size == 1:
        return _histograms(groups, name)
    return _planes(groups, name) if size == 2 else _marginals(groups, name)


def draw_density(log_prob: Array, grid: Grid, data: Array, path: FilePath, true_log_prob: Array | None = None) -> None:
    """Data (n, 2), the model's density on `grid.points` (size²,), and the true one where it is known; a PNG at `path`.

    Densities share one colour scale, which ends at the 99.9th percentile of the true one (else of the model's).
    """
    maps = {"model density": log_prob} | ({} if true_log_prob is None else {"true density": true_log_prob})
    # A model may overflow or fail on parts of the plane; its picture is wanted all the more.
    values = {
        title: np.exp(np.minimum(np.asarray(log, np.float64), 700.0)).reshape(grid.size, -1)
        for title, log in maps.items()
    }
    top = float(np.quantile(np.nan_to_num(list(values.values())[-1]), 0.999)) or 1.0
    figure = canvas(4.4 * (1 + len(maps)), _plane_height(grid.extent))
    panels = figure.subplots(1, 1 + len(maps), squeeze=False)[0]
    _crowd(panels[0], np.asarray(data, np.float64), grid.extent)
    panels[0].set_title(f"data ({len(data):,})")
    for axes, (title, density) in zip(panels[1:], values.items(), strict=True):
        norm = PowerNorm(0.6, vmin=0.0, vmax=top)
        shown = axes.imshow(density, extent=grid.extent, origin="lower", cmap=_MAP, norm=norm, aspect="equal")
        axes.set_title(title)
    figure.colorbar(shown, ax=list(panels), shrink=0.9, pad=0.01)
    save(figure, path)


def image_shape(shape: Shape) -> tuple[int, int, int] | None:
    """(channels, height, width) where events of this shape are images."""
    side = math.isqrt(math.prod(shape))
    if len(shape) == 1 and side * side == shape[0] >= _SMALLEST_IMAGE:
        return (1, side, side)
    if len(shape) == 2 and min(shape) > 2:
        return (1, *shape)
    if len(shape) == 3 and shape[0] in (1, 3):
        return shape
    return None


def _flat(rows: Array) -> NDArray[np.float64]:
    """Events as vectors, (n, d)."""
    return np.asarray(rows).reshape(len(rows), -1).astype(np.float64)


def _mosaics(groups: Mapping[str, Array], image: tuple[int, int, int]) -> Figure:
    """Square mosaics on one grey (or colour) scale, that of the first group."""
    scale = next(iter(groups.values()))
    low, high = (float(scale.min()), float(scale.max())) if len(scale) else (0.0, 1.0)
    figure = canvas(4.5 * len(groups), 4.9)
    for axes, (title, rows) in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups.items(), strict=True):
        scaled = np.clip((rows[: _TILES**2] - low) / max(high - low, 1e-12), 0.0, 1.0)
        axes.imshow(_mosaic(scaled.reshape(-1, *image)), vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(title)
        axes.set_axis_off()
    return figure


def _mosaic(images: Array) -> Array:
    """Images (n, c, h, w) in [0, 1] tiled with a light seam, as (H, W, 3)."""
    _, channels, height, width = images.shape
    seam = max(1, height // 16)
    sheet = np.full((_TILES * (height + seam) + seam, _TILES * (width + seam) + seam, 3), 0.55)
    for index, picture in enumerate(images):
        row, column = divmod(index, _TILES)
        top, left = seam + row * (height + seam), seam + column * (width + seam)
        pixels = np.repeat(picture, 3 // channels, axis=0).transpose(1, 2, 0)
        sheet[top : top + height, left : left + width] = pixels
    return sheet


def _planes(groups: Mapping[str, Array], name: str) -> Figure:
    """Points in the plane, all groups over the frame of the first."""
    extent = Grid.around(next(iter(groups.values()))).extent
    left, right, bottom, top = extent
    figure = canvas(4.5 * len(groups), _plane_height(extent))
    for axes, (title, rows) in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups.items(), strict=True):
        inside = (rows[:, 0] > left) & (rows[:, 0] < right) & (rows[:, 1] > bottom) & (rows[:, 1] < top)
        outside = int((~inside).sum())
        _crowd(axes, rows, extent)
        axes.set_title(f"{title} ({len(rows):,}{f', {outside:,} outside the frame' if outside else ''})")
        axes.set(xlabel=f"{name}[0]", ylabel=f"{name}[1]")
        axes.label_outer()
    return figure


def _plane_height(extent: tuple[float, float, float, float]) -> float:
    """Inches for a panel about 4.2 wide that shows this rectangle without distortion, its title and its label."""
    left, right, bottom, top = extent
    return 4.2 * min(max((top - bottom) / (right - left), 0.5), 1.6) + 0.8


def _crowd(axes: Axes, rows: Array, extent: tuple[float, float, float, float]) -> None:
    """Points of the plane: each by itself while they are few, their histogram when many."""
    left, right, bottom, top = extent
    axes.set_facecolor("black")
    if len(rows) < _CROWD:
        axes.scatter(rows[:, 0], rows[:, 1], s=5, color="#fcb69f", alpha=0.8, linewidths=0)
    else:
        bins, frame = int(np.clip(math.sqrt(len(rows)), 60, 200)), ((left, right), (bottom, top))
        counts = np.histogram2d(rows[:, 0], rows[:, 1], bins=bins, range=frame)[0]
        top_count = max(float(np.quantile(counts[counts > 0], 0.99)), 1.0) if counts.any() else 1.0
        norm = PowerNorm(0.6, vmin=0.0, vmax=top_count)
        axes.imshow(counts.T, extent=extent, origin="lower", cmap=_MAP, norm=norm, interpolation="nearest")
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")


def _histograms(groups: Mapping[str, Array], name: str) -> Figure:
    """One coordinate: data filled, samples as a line."""
    figure, axes = lone_axes(6.4, 4.0)
    _overlay(axes, groups, 0)
    axes.set(xlabel=name, ylabel="density")
    axes.legend(frameon=False)
    return figure


def _marginals(groups: Mapping[str, Array], name: str) -> Figure:
    """The first coordinates: each one's histograms on the diagonal, pairs below (first group) and above (last)."""
    first, last = next(iter(groups.values())), list(groups.values())[-1]
    count = min(_PAIRS, first.shape[1])
    figure = canvas(2.1 * count + 0.6, 2.1 * count + 0.6)
    panels = figure.subplots(count, count, squeeze=False)
    for i in range(count):
        for j in range(count):
            axes = panels[i, j]
            if i == j:
                _overlay(axes, groups, i)
                axes.set_yticks([])
            else:
                rows, color = (last[:2_000], MODEL) if i < j or len(groups) == 1 else (first[:2_000], DATA)
                axes.scatter(rows[:, j], rows[:, i], s=3, color=color, alpha=0.35, linewidths=0)
                axes.set(xlim=frame_of(first[:, j]), ylim=frame_of(first[:, i]))
            axes.tick_params(labelsize=7)
            axes.set(xlabel=f"{name}[{j}]", ylabel=f"{name}[{i}]")
            axes.label_outer()
    panels[0, 0].legend(frameon=False, fontsize=7)
    return figure


def _overlay(axes: Axes, groups: Mapping[str, Array], axis: int) -> None:
    """Normalised histograms on common bins: one a value for few whole numbers, else 60 over the first group's range."""
    lead = next(iter(groups.values()))[:, axis]
    low, high = (float(lead.min()), float(lead.max())) if len(lead) else (0.0, 1.0)
    whole = bool((lead == np.round(lead)).all()) and high - low <= 256
    edges = np.arange(low - 0.5, high + 1) if whole else np.linspace(*frame_of(lead), 61)
    for title, rows in groups.items():
        style: dict[str, Any] = {"color": FAINT} if title == "data" else {"color": MODEL, "histtype": "step"}
        shown = rows[(rows[:, axis] >= edges[0]) & (rows[:, axis] <= edges[-1]), axis]
        if len(shown):  # where all fall outside there is no share to draw
            axes.hist(shown, bins=list(edges), density=True, linewidth=1.5, label=title, **style)
    axes.set_xlim(edges[0], edges[-1])
