"""What is left of a text with errors: a spec of the statements that could be read, to be looked at further.

What is found in it counts only where it cannot follow from an earlier error: `Remains.follows` draws that line. A name
whose declaration was lost stands for 1 as a value, and a finding that speaks of it is silent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

from dgmspec.algebra.nodes import RESERVED, Node, Number
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Diagnostic, Span, has_errors
from dgmspec.ops import roles_of
from dgmspec.spec.model import Flow, Item, Member, Model, Param, Sample, Spec, Train, Use, Variable, member_name
from dgmspec.spec.places import FORMS
from dgmspec.spec.sources import place
from dgmspec.spec.uses import File
from dgmspec.syntax.around import names_around
from dgmspec.syntax.tree import Tree

__all__ = ["Remains", "remains"]

_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r"`([^`]+)`")
# Statements that outlive an error in their braces.
_BLOCKS = ("model", "train", "sample", "flow")
_NodeT = TypeVar("_NodeT", bound=Node)


@dataclass(frozen=True)
class Remains:
    """The spec of what could be read; `sound` are its models that no error touches, directly or by a name."""

    spec: Spec
    sound: frozenset[str]
    lost: frozenset[str]
    errors: tuple[Span, ...]
    starts: frozenset[int]
    """Where the statements begin that hold an error: what is said about such a statement as a whole follows from it."""

    def follows(self, finding: Diagnostic, texts: Mapping[str, str]) -> bool:
        """Whether a located finding may be a consequence of an error that was reported already."""
        at = finding.at
        if not isinstance(at, Span):
            return True
        if at.source == "" and (at.start in self.starts or any(_meet(at, error) for error in self.errors)):
            return True
        said = " ".join((texts[at.source][at.start : at.end], *_QUOTED.findall(finding.message)))
        return not self.lost.isdisjoint(_WORD.findall(said))


def remains(main: File, found: Sequence[Diagnostic], sources: Mapping[str, str]) -> Remains:
    """What is left of a file in which errors were found."""
    rest = _Rest(main, tuple(d.at for d in found if d.severity == "error" and isinstance(d.at, Span)))
    items = rest.kept(main.document.items, "", rest.item)
    declared = {item.alias if isinstance(item, Use) else getattr(item, "name", "") for item in items}
    declared |= {member_name(member) for item in items if isinstance(item, Model) for member in item.members}
    around = names_around(main.text, (error.start for error in rest.errors if error.source == ""))
    lost = frozenset(name for name in rest.dropped | around if name not in declared and not roles_of(name))
    values = sorted(name for name in lost.difference(RESERVED) if name.isidentifier())
    stand_ins = [Param(name=name, value=Number(value=1)) for name in values]
    spec = Spec(*stand_ins, *items, sources=dict(sorted(sources.items())))
    starts = frozenset(node.span.start for node in rest.statements.values() if rest.holds(node.span))
    return Remains(spec, rest.sound(items, lost), lost, rest.errors, starts)


@dataclass
class _Rest:
    """Chooses what is kept; `dropped` are the names of the rest."""

    main: File
    errors: tuple[Span, ...]
    dropped: set[str] = field(default_factory=set)
    statements: dict[int, Tree] = field(init=False)

    def __post_init__(self) -> None:
        trees = (node for node in self.main.tree.walk() if isinstance(node, Tree) and node.kind in FORMS)
        self.statements = {node.span.start: node for node in trees}

    def holds(self, span: Span) -> bool:
        """Whether an error lies in a piece of the text."""
        return any(_meet(span, error) for error in self.errors)

    def kept(self, parts: Iterable[_NodeT], above: Address, read: Callable[[_NodeT, Address], _NodeT]) -> list[_NodeT]:
        """The parts that stand for something, each name once, read further by `read`."""
        first: dict[Address, _NodeT] = {}
        for part in parts:
            at = _address(part, above)
            if not self._refused(part, at):
                first.setdefault(at, part)
            else:
                self.dropped.add(at.rpartition("/")[2])
        return [read(part, at) for at, part in first.items()]

    def item(self, item: Item, at: Address) -> Item:
        """An item without the members or settings that were refused."""
        if isinstance(item, Model):
            return item.model_copy(update={"members": tuple(self.kept(item.members, at, _same))})
        if isinstance(item, (Train, Sample)):
            return item.model_copy(update={"settings": tuple(self.kept(item.settings, at, _same))})
        return item

    def sound(self, items: Iterable[Item], lost: frozenset[str]) -> frozenset[str]:
        """The models that hold no error and read, directly or not, no name that was lost or holds one."""
        words = {at: set(_WORD.findall(self._text(at))) for at in (_address(item, "") for item in items)}
        tainted = set(lost)
        while more := {at for at in words if at not in tainted and (words[at] & tainted or self._hurt(at))}:
            tainted |= more
        return frozenset(item.name for item in items if isinstance(item, Model) and item.name not in tainted)

    def _refused(self, part: Node, at: Address) -> bool:
        """Whether an error lies in a statement itself: a variable outlives it, its type being unknown then."""
        if isinstance(part, Use):
            used = self.main.uses.get(part.alias)
            if used is None or used.path != place(part.path, self.main.path):  # of one alias twice, the other's file
                return True
            return any(has_errors([*f.found, *f.document.reading.found]) for f in used.all())
        node = self._statement(at)
        if node is None or isinstance(part, (Variable, Flow)):
            return False
        if node.kind not in _BLOCKS or node.block is None:
            return self.holds(node.span)
        return self.holds(Span(node.span.source, node.span.start, node.block.span.start))

    def _statement(self, at: Address) -> Tree | None:
        span = self.main.document.reading.spans.get(at)
        return self.statements.get(span.start) if span else None

    def _text(self, at: Address) -> str:
        node = self._statement(at)
        return self.main.text[node.span.start : node.span.end] if node else ""

    def _hurt(self, at: Address) -> bool:
        node = self._statement(at)
        return node is not None and self.holds(node.span)


def _same(part: _NodeT, at: Address) -> _NodeT:
    return part


def _address(part: Node, above: Address) -> Address:
    match part:
        case Train() | Sample():
            return child(above, f"{part.kind} {part.model}")
        case Use():
            return child(above, part.alias)
    return child(above, member_name(cast(Member, part)))


def _meet(a: Span, b: Span) -> bool:
    """Whether two spans of one source share a character, or a place between characters that belongs to neither."""
    return a.source == b.source and a.start < max(b.end, b.start + 1) and b.start < max(a.end, a.start + 1)
