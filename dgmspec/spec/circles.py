"""Definitions that need themselves, directly or through others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dgmspec.algebra.nodes import AbstractExpr, Call, Name, walk
from dgmspec.spec.model import Apply, Chain, Energy, Fn, LearnFunction, Net, Param, Repeat, Step

Definable = Param | Fn | Net | Energy | LearnFunction | Chain


def circles(parts: Iterable[Definable]) -> Iterator[list[str]]:
    """For each circle among the definitions the names along it, the first again at the end."""
    needs = {part.name: _needs(part) for part in parts}
    done: set[str] = set()
    for start in needs:
        circle = [] if start in done else _circle(start, needs, done)
        if circle:
            done.update(circle)
            yield circle


def _needs(item: Definable) -> frozenset[str]:
    """The names that a definition's value mentions and does not bind itself."""
    if isinstance(item, Chain):
        return frozenset(_mentioned(item.steps, frozenset(param.name for param in item.params)))
    own = frozenset() if isinstance(item, Param) else frozenset(item.args)
    return frozenset(_free(item.value, own))


def _mentioned(steps: Iterable[Step], bound: frozenset[str]) -> Iterator[str]:
    for step in steps:
        if isinstance(step, Apply):
            yield from _free(step.call, bound)
            continue
        inner = bound
        if isinstance(step, Repeat):
            yield from _free(step.count, bound)
            inner = bound | {step.index} if step.index else bound
        yield from _mentioned(step.steps, inner)


def _free(value: AbstractExpr, bound: frozenset[str]) -> Iterator[str]:
    """The names in an expression, of values and of calls, that are not bound."""
    names = (n.id if isinstance(n, Name) else n.name for n in walk(value) if isinstance(n, (Name, Call)))
    return (name for name in names if name not in bound)


def _circle(start: str, needs: Mapping[str, frozenset[str]], done: set[str]) -> list[str]:
    """A path from a definition back to itself or to one before it, found depth first without recursion."""
    path: list[str] = [start]
    todo = [iter(sorted(needs[start] & needs.keys()))]
    while todo:
        following = next(todo[-1], None)
        if following is None:
            todo.pop()
            done.add(path.pop())
        elif following in path:
            return [*path[path.index(following) :], following]
        elif following not in done:
            path.append(following)
            todo.append(iter(sorted(needs[following] & needs.keys())))
    return []
