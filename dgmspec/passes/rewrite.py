"""Rewriting the steps of an arrow: a rule sees neighbours, the engine keeps values and types joined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dgmspec.core.types import Type
from dgmspec.graph.graph import ArrowNode, Graph, StepNode, Value

__all__ = ["Link", "Rule", "rewrite"]


@dataclass(frozen=True)
class Link:
    """A step with the types before and after it along its arrow."""

    step: StepNode
    before: Type
    after: Type


Rule = Callable[[list[Link]], list[Link] | None]
"""The last links of a chain -> what stands in their place, or None where the rule does not apply.

A rule is offered the links so far and replaces a suffix: it returns the whole list, shorter than before.
"""


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """`rule` applied along every arrow until it applies nowhere; an arrow keeps one step at least."""
    for arrow in graph.arrows.values():
        links = [_link(graph, address) for address in arrow.steps]
        kept = _reduced(links, rule)
        if len(kept) < len(links):
            graph = _with_steps(graph, arrow, kept)
    return graph


def _reduced(links: list[Link], rule: Rule) -> list[Link]:
    kept: list[Link] = []
    for index, link in enumerate(links):
        kept.append(link)
        last = index == len(links) - 1
        while (shorter := rule(kept)) is not None and (shorter or not last):
            kept = shorter
    return kept


def _link(graph: Graph, address: str) -> Link:
    step = graph.steps[address]
    before, after = graph.type_of(step.source), graph.type_of(step.target)
    assert isinstance(before, Type) and isinstance(after, Type), f"{address} has no types"
    return Link(step, before, after)


def _with_steps(graph: Graph, arrow: ArrowNode, links: list[Link]) -> Graph:
    """The graph with the arrow's steps replaced, each joined to the next by a value of its own."""
    old = [graph.steps[address] for address in arrow.steps]
    here, end = old[0].source, old[-1].target
    interior = {step.target for step in old[:-1]}
    values = {name: value for name, value in graph.values.items() if name not in interior}
    made: dict[str, StepNode] = {}
    for index, link in enumerate(links):
        there = end if index == len(links) - 1 else f"{link.step.address}:out"
        values.setdefault(there, Value(there, link.after))
        made[link.step.address] = replace(link.step, source=here, target=there)
        here = there
    steps = {a: s for a, s in graph.steps.items() if a not in arrow.steps} | made
    arrows = graph.arrows | {arrow.address: replace(arrow, steps=tuple(made))}
    return replace(graph, values=values, steps=steps, arrows=arrows)
