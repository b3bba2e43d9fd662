"""Simulated processes beside the laws that they follow: what the self-check counted, as bars or maps of the plane."""

from __future__ import annotations

import numpy as np

from dgmspec.core.markup import Html, join, tag
from dgmspec.runtime.kolmogorov.histograms import Histogram
from dgmspec.runtime.page.charts import bars, plane
from dgmspec.runtime.page.material import Material
from dgmspec.runtime.page.rasters import heat
from dgmspec.runtime.page.views import key

__all__ = ["processes_section"]


def processes_section(material: Material) -> Html:
    """A panel a time; empty where no process of one or two coordinates was simulated."""
    found = material.verification.histograms
    if not found:
        return Html("")
    said = (
        "The equation as it is written, simulated, beside its law: the derived one, or the Kolmogorov-Fokker-Planck "
        "equation solved on a grid. The distance is the largest of a cell, or that of all cells together."
    )
    names = key([("data", "simulation"), ("density", "law")]) if any(h.counts.ndim == 1 for h in found) else None
    panels = (figure for histogram in found for figure in _panels(histogram))
    return join([tag("p", said, class_="dgm-soft"), names, tag("div", *panels, class_="row")])


def _panels(histogram: Histogram) -> list[Html]:
    title = f"{histogram.title}, time {histogram.t:.3g}"
    said = f"  {histogram.deviation():.1f} standard errors from the {histogram.law}"
    share, mass = histogram.counts / max(histogram.counts.sum(), 1), histogram.mass
    if share.ndim == 1:
        (edges,) = histogram.edges
        widths = np.diff(edges)
        chart = bars([("data", share / widths), ("density", mass / widths)], edges, title)
        return [tag("figure", tag("figcaption", tag("b", title), said), chart)]
    x, y = histogram.edges
    extent, top = (float(x[0]), float(x[-1]), float(y[0]), float(y[-1])), float(max(share.max(), mass.max()))
    return [
        tag("figure", tag("figcaption", tag("b", name), more), plane(heat(values.T, top), extent, name))
        for values, name, more in ((share, title, said), (mass, f"{histogram.law}, time {histogram.t:.3g}", ""))
    ]
