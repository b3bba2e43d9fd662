"""Samples beside data: sheets of images, maps of the plane, marginals, by the shape of the variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dgmspec.core.markup import Html, join, tag
from dgmspec.core.types import Type
from dgmspec.runtime.canvas import Grid, frame_of
from dgmspec.runtime.page.charts import Line, histogram, plane
from dgmspec.runtime.page.material import Material
from dgmspec.runtime.page.rasters import counts, heat, sheet
from dgmspec.runtime.pictures import image_shape

__all__ = ["key", "samples_section"]

Array = NDArray[Any]
Groups = list[tuple[str, Array]]

_MARGINALS: Final = 12
_PAIRS: Final = 4


def key(names: Sequence[tuple[str, str]], more: str = "") -> Html:
    """What the colours mean: (class, words) each."""
    return tag(
        "div",
        *(tag("span", tag("i", class_=kind), said) for kind, said in names),
        tag("span", more) if more else None,
        class_="key",
    )


def samples_section(material: Material) -> Html:
    """Every observed variable, or why there is nothing to show."""
    missing = tag("p", f"No data beside them: {material.missing}.", class_="dgm-soft") if material.missing else None
    if material.unsampled:
        missing = join([missing, tag("p", f"No samples: {material.unsampled}.", class_="dgm-soft")])
    if not material.samples and material.data is None:
        return join([missing])
    names = list(material.model.observed)
    shown = [tag("h3", tag("code", name)) if len(names) > 1 else None for name in names]
    views = [_variable(material, name) for name in names]
    return join([missing, *(part for pair in zip(shown, views, strict=True) for part in pair)])


def _variable(material: Material, name: str) -> Html:
    type_ = material.model.type_of(name)
    groups: Groups = []
    if material.data is not None:
        groups.append(("data", np.asarray(material.data[name], np.float64)))
    lost = 0
    if name in material.samples:
        rows = material.samples[name]
        finite = np.isfinite(rows.reshape(len(rows), -1)).all(axis=1)
        lost = int((~finite).sum())
        groups.append(("samples", rows[finite]))
    groups = [(title, rows.reshape(len(rows), -1)) for title, rows in groups if len(rows)]
    if not groups:
        return tag("p", "No sample is finite.", class_="dgm-error")
    image = image_shape(type_.shape)
    if image is not None:
        parts = [_sheets(groups, image), _pooled(groups)]
    elif type_.size == 1:
        parts = [_line(material, groups, name)]
    elif type_.size == 2:
        parts = [_maps(material, groups), _marginals(groups, type_, name)]
    else:
        parts = [_marginals(groups, type_, name), _pairs(groups, name)]
    warning = tag("p", f"{lost:,} samples are not finite and left out.", class_="dgm-error") if lost else None
    return join([warning, *parts])


# ---- images ---------------------------------------------------------------------------------------------------------


def _sheets(groups: Groups, image: tuple[int, int, int]) -> Html:
    low, high = float(groups[0][1].min()), float(groups[0][1].max())
    figures = [
        tag(
            "figure",
            tag("figcaption", tag("b", title), f"  {min(64, len(rows))} of {len(rows):,}"),
            tag("img", src=sheet(rows.reshape(-1, *image), low, high), alt=f"{title} as images", class_="sheet"),
        )
        for title, rows in groups
    ]
    return tag("div", *figures, class_="row")


def _pooled(groups: Groups) -> Html:
    """The values of all pixels together."""
    edges = _edges(groups[0][1].ravel())
    chart = histogram([(title, rows.ravel()) for title, rows in groups], edges, "values of all pixels")
    return join([tag("h3", "Values of all pixels"), key([(title, title) for title, _ in groups]), chart])


# ---- the line ----------------------------------------------------------------------------------------------------


def _line(material: Material, groups: Groups, name: str) -> Html:
    """Histograms of the one coordinate, and the density over them where it is exact."""
    names = [(title, title) for title, _ in groups]
    curve = None
    if material.curve is not None:
        curve = Line("density", "density", *material.curve)
        names.append(("density", f"model density, {material.model.density}"))
    chart = histogram(
        [(title, rows[:, 0]) for title, rows in groups], _edges(groups[0][1][:, 0]), f"marginal of {name}", curve
    )
    return join([key(names), chart])


# ---- the plane ------------------------------------------------------------------------------------------------------


def _maps(material: Material, groups: Groups) -> Html:
    """Data, samples, and the densities where they are known, over one frame."""
    found = material.plane
    extent = found.grid.extent if found else Grid.around(groups[0][1]).extent
    panels: list[tuple[str, str, str]] = []
    for title, rows in groups:
        shown = counts(rows, extent)
        top = float(np.quantile(shown[shown > 0], 0.99)) if shown.any() else 1.0
        panels.append((title, f"{len(rows):,} points", heat(shown, top)))
    if found is not None:
        last = found.truth if found.truth is not None else found.model
        top = float(np.quantile(np.nan_to_num(last), 0.999))
        label = material.model.density
        panels.append(("model density", f"{label}; colours to {top:.3g}", heat(found.model, top)))
        if found.truth is not None:
            panels.append(("true density", "known; the same colours", heat(found.truth, top)))
    figures = [
        tag("figure", tag("figcaption", tag("b", title), f"  {said}"), plane(uri, extent, title))
        for title, said, uri in panels
    ]
    return tag("div", *figures, class_="row")


# ---- vectors --------------------------------------------------------------------------------------------------------


def _marginals(groups: Groups, type_: Type, variable: str) -> Html:
    count = min(_MARGINALS, type_.size)
    charts = []
    for i in range(count):
        name = f"{variable}[{i}]" if type_.size > 1 else variable
        chart = histogram(
            [(title, rows[:, i]) for title, rows in groups], _edges(groups[0][1][:, i]), f"marginal of {name}"
        )
        charts.append(tag("figure", tag("figcaption", name), chart))
    title = "Marginals" if count == type_.size else f"Marginals of the first {count} of {type_.size} coordinates"
    return join([tag("h3", title), key([(title, title) for title, _ in groups]), tag("div", *charts, class_="row")])


def _pairs(groups: Groups, name: str) -> Html:
    """The first coordinates in pairs: data below the diagonal, samples above."""
    count = min(_PAIRS, groups[0][1].shape[1])
    below, above = groups[0], groups[-1]
    rows = []
    for i in range(count):
        cells = [tag("th", f"{name}[{i}]", scope="row")]
        for j in range(count):
            title, points = below if i > j else above
            said = f"{title}: {name}[{i}] against {name}[{j}]"
            cells.append(tag("td", _pair(points, groups[0][1], i, j, said) if i != j else None))
        rows.append(tag("tr", *cells))
    head = tag("tr", tag("th"), *(tag("th", f"{name}[{j}]", scope="col") for j in range(count)))
    said = "Pairs of coordinates" + (": data below the diagonal, samples above" if len(groups) > 1 else "")
    return join([tag("h3", said), tag("div", tag("table", head, *rows, class_="pairs"), class_="dgm-scroll")])


def _pair(points: Array, lead: Array, i: int, j: int, said: str) -> Html:
    (left, right), (bottom, top) = frame_of(lead[:, j]), frame_of(lead[:, i])
    shown = counts(points[:, [j, i]], (left, right, bottom, top))
    most = float(np.quantile(shown[shown > 0], 0.99)) if shown.any() else 1.0
    return tag("img", src=heat(shown, most), alt=said)


def _edges(values: Array) -> Array:
    """Bins: one a value for few whole numbers, else 48 over nearly all values."""
    low, high = float(values.min()), float(values.max())
    if bool((values == np.round(values)).all()) and high - low <= 64:
        return np.arange(low - 0.5, high + 1)
    return np.linspace(*frame_of(values), 49)
