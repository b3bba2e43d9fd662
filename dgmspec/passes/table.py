"""The passes: one ordered, switchable table of graph → graph rewrites, the graph verified after each.

No pass may create, rename or drop a parameter, so every level gives the same state dict, and a model means the same at
all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dgmspec.core.steps import AbstractStep
from dgmspec.graph.graph import Graph, StepNode
from dgmspec.passes.rewrite import Link, rewrite
from dgmspec.passes.verify import verify_rewrite

__all__ = ["LEVELS", "PASSES", "Level", "Pass", "optimise"]

Level = Literal["O0", "O1"]
LEVELS: tuple[Level, ...] = ("O0", "O1")


@dataclass(frozen=True)
class Pass:
    """A rewrite and the lowest level that runs it."""

    name: str
    level: Level
    run: Callable[[Graph], Graph]


def _join_neighbours(graph: Graph) -> Graph:
    """g ∘ f = h where the operations know an h: P_a then P_b is the one permutation x[a[b[i]]]; log-dets are all 0."""

    def rule(links: list[Link]) -> list[Link] | None:
        if len(links) < 2 or not (_plain(links[-2]) and _plain(links[-1])):
            return None
        first, second = links[-2], links[-1]
        op = first.step.op.joined(first.step.inverse, second.step.op, second.step.inverse, first.before)
        return None if op is None else [*links[:-2], _joined(first, second, op)]

    return rewrite(graph, rule)


def _cancel_inverses(graph: Graph) -> Graph:
    """f⁻¹ ∘ f = id and f ∘ f⁻¹ = id, where f has no parameters and draws nothing; log|det| of both sums to 0."""

    def rule(links: list[Link]) -> list[Link] | None:
        if len(links) < 2 or not (_plain(links[-2]) and _plain(links[-1])):
            return None
        first, second = links[-2], links[-1]
        same = first.step.op == second.step.op and first.step.inverse is not second.step.inverse
        return links[:-2] if same and first.before == second.after else None

    return rewrite(graph, rule)


def _drop_identities(graph: Graph) -> Graph:
    """id ∘ f = f: a permutation in order, a reshape to the shape that is there; log|det| is 0."""

    def rule(links: list[Link]) -> list[Link] | None:
        last = links[-1] if links else None
        if last is None or not _plain(last) or last.before != last.after:
            return None
        return links[:-1] if last.step.op.is_identity(last.before) else None

    return rewrite(graph, rule)


PASSES: tuple[Pass, ...] = (
    # Joining first lets a pair that undoes itself become an identity, which the last pass drops.
    Pass("join-neighbours", "O1", _join_neighbours),
    # Before dropping identities: cancelling brings new neighbours together, none of which is an identity by itself.
    Pass("cancel-inverses", "O1", _cancel_inverses),
    Pass("drop-identities", "O1", _drop_identities),
)


def optimise(
    graph: Graph,
    level: Level = "O1",
    dump: Callable[[str, Graph], None] | None = None,
    passes: Sequence[Pass] = PASSES,
) -> Graph:
    """The typed graph after every pass of `level`, in their order; `dump` is told each pass's name and result."""
    for entry in passes:
        if LEVELS.index(entry.level) <= LEVELS.index(level):
            after = entry.run(graph)
            verify_rewrite(graph, after, entry.name)
            graph = after
            if dump is not None:
                dump(entry.name, graph)
    return graph


def _plain(link: Link) -> bool:
    """Whether a step is a bijection without parameters: free of draws, of bounds and of anything learned."""
    op, step = link.step.op, link.step
    x = link.after if step.inverse else link.before
    drawn = op.draws(x) or op.inverse_draws(x)
    return op.density == "exact" and not drawn and step.context is None and not op.parameters(x, None)


def _joined(first: Link, second: Link, op: AbstractStep) -> Link:
    """One step at the place of the first, from where the first starts to where the second ends."""
    step: StepNode = replace(first.step, op=op, inverse=False)
    return Link(step, first.before, second.after)
