"""A drawing of a model as SVG."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Final

from dgmspec.checks.drawing import Box, Drawing, Kind

__all__ = ["to_svg"]

_CHAR, _LINE, _PAD, _GAP, _RISE = 7.2, 16, 12, 28, 30
"""Pixels: the width of a letter, the height of a line, inside a box, beside it, and from one layer to the next."""

_FILL: Final[dict[Kind, str]] = {
    "observe": "#dbe9f6",
    "latent": "#ffffff",
    "given": "#ffffff",
    "step": "#f7f5ef",
    "net": "#eef6e8",
}


@dataclass(frozen=True)
class _Placed:
    """A box on the page: its centre and its size."""

    box: Box
    x: float
    y: float
    width: float
    height: float


def to_svg(drawn: Drawing) -> str:
    """The drawing as an SVG picture: layers from top to bottom, each centred."""
    placed, width, height = _placed(drawn)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="monospace" font-size="12">',
        f"<title>{escape(drawn.title)}</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#444"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" class="paper" fill="#fff"/>',
    ]
    parts += [_line(placed[edge.source], placed[edge.target], edge.dashed) for edge in drawn.edges]
    parts += [_shape(spot) for spot in placed.values()]
    return "\n".join([*parts, "</svg>", ""])


def _placed(drawn: Drawing) -> tuple[dict[str, _Placed], float, float]:
    """Where every box stands, and the size of the page: what only conditions stands in a column of its own, right."""
    solid = {end for edge in drawn.edges if not edge.dashed for end in (edge.source, edge.target)}
    aside = {end for edge in drawn.edges for end in (edge.source, edge.target)} - solid
    sizes = {b.id: _size(b) for b in drawn.boxes}
    rows: dict[int, tuple[list[Box], list[Box]]] = {}
    for box in drawn.boxes:
        rows.setdefault(box.layer, ([], []))[box.id in aside].append(box)
    wide = [max((_width(row[column], sizes) for row in rows.values()), default=0.0) for column in (0, 1)]
    found, y = dict[str, _Placed](), float(_GAP)
    for layer in sorted(rows):
        tall = max(sizes[b.id][1] for column in rows[layer] for b in column)
        left = float(_GAP)
        for column, room in zip(rows[layer], wide, strict=True):
            x = left + (room - _width(column, sizes)) / 2
            for box in column:
                found[box.id] = _Placed(box, x + sizes[box.id][0] / 2, y + tall / 2, *sizes[box.id])
                x += sizes[box.id][0] + _GAP
            left += room + _GAP
        y += tall + _RISE
    return found, sum(wide) + (3 if wide[1] else 2) * _GAP, y - _RISE + _GAP


def _size(box: Box) -> tuple[float, float]:
    return _CHAR * max(map(len, box.lines)) + 2 * _PAD, float(_LINE * len(box.lines) + _PAD)


def _width(row: list[Box], sizes: dict[str, tuple[float, float]]) -> float:
    return sum(sizes[box.id][0] + _GAP for box in row) - _GAP if row else 0.0


def _line(a: _Placed, b: _Placed, dashed: bool) -> str:
    """From below one box to above the other; what conditions comes in from the side where it can."""
    start, end = a.y + a.height / 2, b.y - b.height / 2
    bend = (end - start) / 2
    aside = abs(a.x - b.x) - b.width / 2
    if dashed and aside > 10:
        edge, turn = b.x + (b.width / 2 if a.x > b.x else -b.width / 2), 10 if a.x > b.x else -10
        path = f"M{a.x:.1f} {start:.1f}V{b.y - 10:.1f}Q{a.x:.1f} {b.y:.1f} {a.x - turn:.1f} {b.y:.1f}H{edge:.1f}"
    else:
        path = f"M{a.x:.1f} {start:.1f}C{a.x:.1f} {start + bend:.1f} {b.x:.1f} {end - bend:.1f} {b.x:.1f} {end:.1f}"
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<path class="edge" d="{path}" fill="none" stroke="#444"{dash} marker-end="url(#head)"/>'


def _shape(spot: _Placed) -> str:
    box, left, top = spot.box, spot.x - spot.width / 2, spot.y - spot.height / 2
    round_ = {"step": 2, "net": 8}.get(box.kind, spot.height / 2)
    dash = ' stroke-dasharray="4 3"' if box.kind == "given" else ""
    first = spot.y - _LINE * (len(box.lines) - 1) / 2 + 4
    text = "".join(
        f'<text x="{spot.x:.1f}" y="{first + _LINE * i:.1f}" text-anchor="middle">{escape(line)}</text>'
        for i, line in enumerate(box.lines)
    )
    return (
        f'<rect class="box {box.kind}" x="{left:.1f}" y="{top:.1f}" width="{spot.width:.1f}" '
        f'height="{spot.height:.1f}" rx="{round_:.0f}" fill="{_FILL[box.kind]}" stroke="#444"{dash}/>{text}'
    )
