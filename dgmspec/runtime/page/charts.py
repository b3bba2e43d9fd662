"""Charts as SVG that takes the colours of the page: curves, histograms, and pictures of the plane with their axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dgmspec.core.markup import Html, join, tag

__all__ = ["Axes", "Line", "curves", "histogram", "plane", "ticks"]

Array = NDArray[Any]

_POINTS: Final = 500
"""Points of a curve that are drawn; of longer ones, means of neighbours."""


_SIDE: Final = 205
"""Pixels across a picture of the plane: four stand in a row of the page."""


@dataclass(frozen=True)
class Axes:
    """A frame of `width` × `height` pixels over the rectangle `x` × `y`, inside margins for what labels it."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: float
    height: float
    left: float = 46
    bottom: float = 30
    top: float = 8
    right: float = 10

    def at(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Data to pixels."""
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return self.left + across * self.width, self.top + (1 - up) * self.height

    def window(self, *parts: str) -> Html:
        """Parts of which only what lies inside the frame is seen; a dot on its edge is seen whole."""
        left, top, width, height = self.left - 3, self.top, self.width + 6, self.height + 3
        place = {"x": left, "y": top, "width": width, "height": height, "viewBox": f"{left} {top} {width} {height}"}
        return tag("svg", *parts, overflow="hidden", **place)

    def svg(self, *parts: str, title: str, x_label: str = "", y_label: str = "", y_ticks: bool = True) -> Html:
        """The chart: grid and ticks below, `parts` above; `title` describes it for those who cannot see it."""
        full = (self.left + self.width + self.right, self.top + self.height + self.bottom)
        marks = [*self._x_ticks(), *(self._y_ticks() if y_ticks else ())]
        x, y = self.at(np.array(self.x), np.array(self.y))
        base = tag("path", d=f"M{x[0]:.1f} {y[0]:.1f}H{x[1]:.1f}", class_="axis")
        words = [
            tag("text", x_label, x=f"{x[1]:.1f}", y=f"{full[1] - 2:.1f}", text_anchor="end", class_="label"),
            tag("text", y_label, x="2", y="10", class_="label"),
        ]
        size = {"width": f"{full[0]:.0f}", "height": f"{full[1]:.0f}", "viewBox": f"0 0 {full[0]:.0f} {full[1]:.0f}"}
        inner = join([tag("title", title), *marks, *parts, base, *words])
        return tag("svg", inner, class_="chart", role="img", **size)

    def _x_ticks(self) -> Iterator[Html]:
        for value in ticks(*self.x, max(2, int(self.width // 70))):
            x, y = self.at(value, self.y[0])
            yield tag("path", d=f"M{x:.1f} {y:.1f}v4", class_="axis")
            yield tag("text", _number(value), x=f"{x:.1f}", y=f"{y + 16:.1f}", text_anchor="middle")

    def _y_ticks(self) -> Iterator[Html]:
        for value in ticks(*self.y, max(2, int(self.height // 45))):
            x, y = self.at(self.x[0], value)
            yield tag("path", d=f"M{x:.1f} {y:.1f}h{self.width:.1f}", class_="grid")
            yield tag("text", _number(value), x=f"{x - 6:.1f}", y=f"{y + 4:.1f}", text_anchor="end")


@dataclass(frozen=True)
class Line:
    """A curve: its name, its class, and whether its points are marked."""

    name: str
    kind: str
    x: Array
    y: Array
    dots: bool = False


def curves(lines: Sequence[Line], title: str, x_label: str, y_label: str, frame: tuple[float, float]) -> Html:
    """Curves over one another, between the heights of `frame`."""
    start, end = min(float(line.x[0]) for line in lines), max(float(line.x[-1]) for line in lines)
    axes = Axes((start if end > start else 0.0, end), frame, 720, 230, left=56, top=20)
    parts: list[Html] = []
    for line in lines:
        x, y = axes.at(*_thinned(line.x, line.y))
        parts.append(_path(x, y, f"line {line.kind}"))
        if (line.dots and len(x) <= 80) or len(x) == 1:
            parts += [
                tag("circle", cx=f"{a:.1f}", cy=f"{b:.1f}", r="2.5", class_=f"dot {line.kind}")
                for a, b in zip(x, y, strict=True)
            ]
    return axes.svg(axes.window(*parts), title=title, x_label=x_label, y_label=y_label)


def _heights(values: Array, edges: Array) -> Array:
    """A histogram with area one, of the values that lie between the edges; of none it is flat."""
    counts = np.histogram(values, bins=edges)[0]
    heights: Array = counts / (np.diff(edges) * max(1, counts.sum()))
    return heights


def histogram(groups: Sequence[tuple[str, Array]], edges: Array, title: str, curve: Line | None = None) -> Html:
    """Normalised histograms on common bins, as `bars`."""
    return bars([(name, _heights(values, edges)) for name, values in groups], edges, title, curve)


def bars(groups: Sequence[tuple[str, Array]], edges: Array, title: str, curve: Line | None = None) -> Html:
    """Heights on common bins, those of the data filled and the others as outlines; a density over them."""
    heights = [height for _, height in groups]
    tallest = max([*(float(h.max()) for h in heights), float(curve.y.max()) if curve else 0.0]) or 1.0
    axes = Axes((float(edges[0]), float(edges[-1])), (0.0, 1.06 * tallest), 190, 92, left=8, right=8, bottom=22)
    parts: list[Html] = []
    for (name, _), height in zip(groups, heights, strict=True):
        x, y = axes.at(np.repeat(edges, 2), np.concatenate([[0.0], np.repeat(height, 2), [0.0]]))
        parts.append(_path(x, y, f"area {name}" if name == "data" else f"line {name}"))
    if curve:
        parts.append(_path(*axes.at(curve.x, curve.y), f"line {curve.kind}"))
    return axes.svg(*parts, title=title, y_ticks=False)


def plane(uri: str, extent: tuple[float, float, float, float], title: str) -> Html:
    """A picture of the rectangle (left, right, bottom, top) with its axes."""
    left, right, bottom, top = extent
    height = _SIDE * min(max((top - bottom) / (right - left), 0.5), 1.6)
    axes = Axes((left, right), (bottom, top), _SIDE, height, left=34)
    x, y = axes.at(left, top)
    image = tag(
        "image", href=uri, x=f"{x:.1f}", y=f"{y:.1f}", width=_SIDE, height=f"{height:.1f}", preserveAspectRatio="none"
    )
    return axes.svg(image, title=title)


def ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from low to high, two at the least: steps of 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    steps = [power * factor for factor in (0.5, 1, 2, 5, 10)]
    chosen = next(index for index, step in enumerate(steps) if step >= raw * 0.999)
    # One number alone is no scale; of the next finer step two or more lie inside.
    wide, fine = (_multiples(steps[index], low, high) for index in (chosen, chosen - 1))
    return wide if len(wide) > 1 else fine


def _multiples(step: float, low: float, high: float) -> list[float]:
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 and value == round(value) else f"{value:.4g}".replace("-", "−")


def _path(x: Array, y: Array, kind: str) -> Html:
    points = "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
    return tag("path", d=f"M{points}", class_=kind)


def _thinned(x: Array, y: Array) -> tuple[Array, Array]:
    """Means of neighbours, so that a long curve stays a small picture."""
    size = -(-len(x) // _POINTS)
    if size <= 1:
        return x, y
    cuts = np.arange(0, len(x), size)
    counts = np.diff([*cuts, len(x)])
    return np.add.reduceat(x, cuts) / counts, np.add.reduceat(y, cuts) / counts
