"""What there is to draw of a model: its boxes and edges, in layers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import networkx as nx

from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.types import Type, number
from dgmspec.graph.graph import FormulaNode, Graph, NetNode, StepNode, ValueId
from dgmspec.graph.words import describe, describe_value

__all__ = ["Box", "Drawing", "Edge", "Kind", "drawing", "law", "step_label"]

Kind = Literal["observe", "latent", "given", "step", "net"]

_WIDE: Final = 44
"""Letters from which on a line of a box is broken, after a comma."""


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
    boxes = tuple(Box(ids[node], kind, _broken(lines), layers[node]) for node, kind, lines in made)
    return Drawing(graph.name, boxes, tuple(Edge(ids[a], ids[b], dashed) for a, b, dashed in pairs))


def _broken(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The lines, long ones broken after commas: a box wider than the page would leave nothing to read."""
    found: list[str] = []
    for line in lines:
        found.append("")
        for piece in re.split(r"(?<=,) ", line):
            if found[-1] and len(found[-1]) + len(piece) >= _WIDE:
                found.append("")
            found[-1] += f" {piece}" if found[-1] else piece
    return tuple(found)


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
    """Every box by the address of what it shows, of a net or a formula by the value of this use, with its lines."""
    found: list[tuple[str, Kind, tuple[str, ...]]] = []
    for variable in graph.variables.values():
        said = f"{variable.name} : {graph.type_of(variable.value)}"
        prior = f"~ {law(variable.prior.op)}" if variable.prior else "~ exp(…)" if variable.target else ""
        found.append((variable.value, variable.role, (said, prior) if prior else (said,)))
    found += [(net.target, "net", (f"net {net.name}",)) for net in graph.nets.values()]
    found += [(formula.target, "net", ("formula",)) for formula in graph.formulas.values()]
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
            yield makers.get(value, value), node.target, True


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
