"""What a file and a model declare, by name."""

from __future__ import annotations

from collections.abc import Iterable

from dgmspec.algebra.nodes import Node
from dgmspec.core.address import Address, child
from dgmspec.spec.model import (
    Bijector,
    Chain,
    Data,
    Energy,
    Fn,
    Item,
    Learn,
    LearnFunction,
    Member,
    Model,
    Net,
    Param,
    Sample,
    Setting,
    Train,
    Use,
    Variable,
)
from dgmspec.spec.scope import Entry


def names_of(items: Iterable[Item], prefix: Address = "") -> dict[str, Entry]:
    """What the items of a file declare, the first declaration of a name counting."""
    found: dict[str, Entry] = {}
    for item in items:
        if isinstance(item, Use):
            found.setdefault(item.alias, Entry("file", at=child(prefix, item.alias)))
        elif not isinstance(item, (Train, Sample)):
            found.setdefault(item.name, entry_of(item, child(prefix, item.name)))
    return found


def entry_of(item: Node, at: Address) -> Entry:
    """What one declaration at `at` stands for."""
    match item:
        case Fn() | Net() | Energy():
            return Entry(item.kind, item.args, at=at)
        case LearnFunction():
            return Entry("learned function", item.args, at=at)
        case Chain():
            required = tuple(p.name for p in item.params if p.value is None)
            return Entry("chain", tuple(p.name for p in item.params), required, at)
        case Param() | Data() | Bijector() | Model() | Variable() | Setting():
            return Entry(item.kind, at=at)
        case Learn():
            return Entry("learned parameter", at=at)
    raise AssertionError(f"{item!r} declares nothing")


def members_of(members: Iterable[Member], model: Address) -> dict[str, Entry]:
    """What the members of a model declare."""
    found: dict[str, Entry] = {}
    for member in members:
        if isinstance(member, (Variable, Net, Fn, Energy, Learn, LearnFunction)):
            found.setdefault(member.name, entry_of(member, child(model, member.name)))
    return found
