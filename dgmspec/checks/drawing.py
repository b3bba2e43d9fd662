"""A model drawn: first which boxes and arrows there are, in layers, then the same drawing as dot, Mermaid or SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Final, Literal

import networkx as nx

from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.types import Type, number
from dgmspec.graph.graph import FormulaNode, Graph, NetNode, StepNode, ValueId
from dgmspec.graph.words import describe, describe_value

__all__ = ["RENDERERS", "Box", "Drawing", "Edge", "drawing", "to_dot", "to_mermaid", "to_svg"]

Kind = Literal["observe", "latent", "given", "step", "net"]


@dataclass(frozen=True)
class Box:
    """A variable, a step or a net: `id` is a plain word (``n3``), `layer` its distance from where the arrows start."""

    id: str
    kind: Kind
    lines: tuple[str, ...]
    layer: int


@dataclass(frozen=True)
class Edge:
    """From one box to another; `dashed` where it only conditions."""

    source: str
    target: str
    dashed: bool = False


@dataclass(frozen=True)
class Drawing:
    """A model's boxes and edges, in the order of the text."""

    title: str
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]


def drawing(graph: Graph) -> Drawing:
    """What there is to draw of a model; runs of equal steps stay as they are written, one box each."""
    made = _nodes(graph)
    ids = {node: f"n{number}" for number, (node, _, _) in enumerate(made)}
    pairs = _forwards([(a, b, dashed) for a, b, dashed in _pairs(graph) if a in ids and b in ids])
    layers = _layers(list(ids), pairs)
    boxes = tuple(Box(ids[node], kind, lines, layers[node]) for node, kind, lines in made)
    return Drawing(graph.name, boxes, tuple(Edge(ids[a], ids[b], dashed) for a, b, dashed in pairs))


def _forwards(pairs: list[tuple[str, str, bool]]) -> list[tuple[str, str, bool]]:
    """Without what conditions its own origin, as the data do an arrow of inference: a drawing leads downwards."""
    generated: nx.DiGraph = nx.DiGraph([(a, b) for a, b, dashed in pairs if not dashed])
    known = generated.nodes
    backwards = {(a, b) for a, b, dashed in pairs if dashed and a in known and b in known and _leads(generated, b, a)}
    return [(a, b, dashed) for a, b, dashed in pairs if (a, b) not in backwards]


def _leads(graph: nx.DiGraph, start: str, end: str) -> bool:
    found: bool = nx.has_path(graph, start, end)
    return found


def _nodes(graph: Graph) -> list[tuple[str, Kind, tuple[str, ...]]]:
    """Every box by the address of what it shows, with its lines of text."""
    found: list[tuple[str, Kind, tuple[str, ...]]] = []
    for variable in graph.variables.values():
        said = f"{variable.name} : {graph.type_of(variable.value)}"
        prior = f"~ {law(variable.prior.op)}" if variable.prior else "~ exp(…)" if variable.target else ""
        found.append((variable.value, variable.role, (said, prior) if prior else (said,)))
    found += [(net.address, "net", (f"net {net.name}",)) for net in graph.nets.values()]
    found += [(formula.address, "net", ("formula",)) for formula in graph.formulas.values()]
    found += [(step.address, "step", (step_label(step),)) for step in graph.steps.values()]
    return found


def law(op: AbstractDistribution) -> str:
    """A distribution with its numbers, also where they are its defaults: ``normal(0, 1)``."""
    said = describe(op)
    values = [getattr(op, name) for name in type(op).model_fields]
    shown = [number(value) if isinstance(value, float) else describe_value(value) for value in values]
    return said if "(" in said or not shown else f"{said}({', '.join(shown)})"


def step_label(step: StepNode) -> str:
    """The step as it is written, without its nets."""
    return ("inverse " if step.inverse else "") + (step.label or step.op.name)


def _pairs(graph: Graph) -> Iterator[tuple[str, str, bool]]:
    """Edges between boxes: values that are no variables are passed over."""
    shown = {v.value for v in graph.variables.values()}
    makers: dict[ValueId, str] = {s.target: s.address for s in graph.steps.values() if s.target not in shown}
    nets: list[NetNode | FormulaNode] = [*graph.nets.values(), *graph.formulas.values()]
    makers |= {node.target: node.address for node in nets}
    for step in graph.steps.values():
        yield makers.get(step.source, step.source), step.address, False
        if step.context is not None:
            yield makers.get(step.context, step.context), step.address, True
        if step.target in shown:
            yield step.address, step.target, False
    for whole in graph.joints():
        starts = any(arrow.source == whole.name for arrow in graph.arrows.values())
        for part in (graph.variables[name].value for name in whole.parts):
            yield *((part, whole.value) if starts else (whole.value, part)), False
    yield from _set_aside(graph)
    for variable in graph.variables.values():
        for value in variable.prior.inputs if variable.prior else ():
            yield makers.get(value, value), variable.value, False
    for node in nets:
        for value in node.inputs:
            yield makers.get(value, value), node.address, True


def _set_aside(graph: Graph) -> Iterator[tuple[str, str, bool]]:
    """From every step that sets a part aside to the step that takes it up again: an inverse one, or the flow's join."""
    for arrow in graph.arrows.values():
        aside: list[str] = []
        for step in (graph.steps[address] for address in arrow.steps):
            before, after = graph.type_of(step.source), graph.type_of(step.target)
            if not isinstance(before, Type) or not isinstance(after, Type):
                break
            aside += [step.address] * (len(after.aside) - len(before.aside))
            yield from ((part, step.address, False) for part in aside[len(after.aside) :])
            del aside[len(after.aside) :]


def _layers(nodes: list[str], pairs: list[tuple[str, str, bool]]) -> dict[str, int]:
    """The longest way from a source to each node; what only conditions stands one layer before its first use."""
    after: dict[str, list[str]] = {node: [] for node in nodes}
    waiting = dict.fromkeys(nodes, 0)
    for a, b, _ in pairs:
        after[a].append(b)
        waiting[b] += 1
    layers, ready = dict.fromkeys(nodes, 0), [node for node in nodes if not waiting[node]]
    for node in ready:
        for follower in after[node]:
            layers[follower] = max(layers[follower], layers[node] + 1)
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    conditions = {a for a, _, dashed in pairs if dashed} - {b for _, b, _ in pairs}
    for node in conditions:
        layers[node] = max(0, min(layers[b] for b in after[node]) - 1)
    return layers


# ---- dot ------------------------------------------------------------------------------------------------------------

_DOT: Final[dict[Kind, str]] = {
    "observe": 'shape=ellipse, style=filled, fillcolor="#dbe9f6"',
    "latent": "shape=ellipse",
    "given": "shape=ellipse, style=dashed",
    "step": "shape=box",
    "net": "shape=box, style=rounded",
}


def to_dot(drawn: Drawing) -> str:
    """The drawing in the language of Graphviz."""
    lines = [f"digraph {_quoted(drawn.title)} {{", "    rankdir=TB;"]
    lines += [f"    {box.id} [label={_quoted(*box.lines)}, {_DOT[box.kind]}];" for box in drawn.boxes]
    lines += [f"    {e.source} -> {e.target}{' [style=dashed]' if e.dashed else ''};" for e in drawn.edges]
    return "\n".join([*lines, "}", ""])


def _quoted(*lines: str) -> str:
    return '"' + "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'


# ---- Mermaid --------------------------------------------------------------------------------------------------------

_MERMAID: Final[dict[Kind, tuple[str, str]]] = {
    "observe": ("([", "])"),
    "latent": ("([", "])"),
    "given": ("([", "])"),
    "step": ("[", "]"),
    "net": ("(", ")"),
}


def to_mermaid(drawn: Drawing) -> str:
    """The drawing as a Mermaid flow chart."""
    lines = ["flowchart TB"]
    for box in drawn.boxes:
        opened, closed = _MERMAID[box.kind]
        lines.append(f'    {box.id}{opened}"{"<br/>".join(map(_entity, box.lines))}"{closed}')
    lines += [f"    {edge.source} {'-.->' if edge.dashed else '-->'} {edge.target}" for edge in drawn.edges]
    observed = [box.id for box in drawn.boxes if box.kind == "observe"]
    if observed:
        lines += ["    classDef observed fill:#dbe9f6", f"    class {','.join(observed)} observed"]
    return "\n".join([*lines, ""])


def _entity(text: str) -> str:
    """Text inside a Mermaid label: its own signs as entities."""
    return "".join(f"#{ord(char)};" if char in '#"<>&`\\' else char for char in text)


# ---- SVG ------------------------------------------------------------------------------------------------------------

_CHAR, _LINE, _PAD, _GAP, _RISE = 7.2, 16, 12, 28, 30
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


RENDERERS: Final[dict[str, Callable[[Drawing], str]]] = {"dot": to_dot, "mermaid": to_mermaid, "svg": to_svg}
"""What a drawing can be written as."""
