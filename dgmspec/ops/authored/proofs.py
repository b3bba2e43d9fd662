"""What is proved of a definition on given supports: every line's update, forwards, and the supports backwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from dgmspec.algebra.rewrite import free_names
from dgmspec.algebra.updates import Update, analyse
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.steps import Facts
from dgmspec.core.types import POSITIVE, REAL, UNIT, Support, interval
from dgmspec.ops.authored.definition import Definition, Line
from dgmspec.ops.scalar.domain import require_interval

__all__ = ["DOMAINS", "Proof", "facts", "proved", "supports_before"]

DOMAINS: Final = (REAL, POSITIVE, UNIT, interval(-1, 1))
"""Where a map is looked at that is to be known without a support at hand, the largest first."""


@dataclass(frozen=True)
class Proof:
    """One update per line, and the support of each part behind the last."""

    updates: tuple[Update, ...]
    after: tuple[Support, ...]


@lru_cache(maxsize=4096)
def proved(definition: Definition, before: tuple[Support, ...]) -> Proof:
    """The updates of the parts that start on the supports `before`; `Refusal` at the line that cannot hold."""
    for support in before:
        require_interval(definition.name, support)
    known = dict(zip(definition.parts, before, strict=True))
    updates = []
    for line in definition.lines:
        updates.append(_update(definition, line, known))
        known[line.target] = updates[-1].image
    return Proof(tuple(updates), tuple(known[part] for part in definition.parts))


def facts(definition: Definition, proof: Proof) -> Facts:
    """How every line is proved, and which are inverted to rounding rather than in closed form."""
    numeric = [line.target for line, update in zip(definition.lines, proof.updates, strict=True) if not update.inverse]
    said = "; ".join(dict.fromkeys(update.proof for update in proof.updates))
    checked = [f"`{definition.name}` is inverted in `{numeric[0]}` by bracketed Newton steps"] if numeric else []
    return Facts(proved=(f"`{definition.name}`: {said}",), checked=tuple(checked))


@lru_cache(maxsize=1024)
def supports_before(definition: Definition, after: tuple[Support, ...]) -> tuple[Support, ...]:
    """The supports that the lines take exactly onto `after`; `Refusal` where there are none."""
    for support in after:
        require_interval(f"inverse {definition.name}", support)
    known = dict(zip(definition.parts, after, strict=True))
    for line in reversed(definition.lines):
        known[line.target] = _preimage(definition, line, known)
    return tuple(known[part] for part in definition.parts)


def _preimage(definition: Definition, line: Line, known: Mapping[str, Support]) -> Support:
    """What the line takes exactly onto its target's support: a usual domain, or the image under its inverse."""
    wanted = known[line.target]
    undone: Support | None = None
    refusal: Refusal | None = None
    for domain in dict.fromkeys((*DOMAINS, wanted)):
        try:
            update = _update(definition, line, {**known, line.target: domain})
            if update.image == wanted:
                return domain
            if undone is None and update.inverse is not None:
                undone = _update(definition, Line(line.target, update.inverse, place=line.place), known).image
        except Refusal as found:
            refusal = refusal or found
    if undone is not None and _update(definition, line, {**known, line.target: undone}).image == wanted:
        return undone
    raise refusal or Refusal(
        "DGM303",
        f"no values of `{line.target}` are known that this line takes onto {wanted.describe()}",
        place=line.place,
    )


def _update(definition: Definition, line: Line, known: Mapping[str, Support]) -> Update:
    """The algebra of one line, its refusal placed there."""
    every = {**{c.name: c.support for c in definition.constants}, **known}
    every |= {r.symbol: definition.net(r.net).support for other in definition.lines for r in other.readings}
    try:
        names = (line.target, *free_names(line.value))
        return analyse(line.target, line.value, {name: every[name] for name in names})
    except Refusal as refusal:
        refusal.place = line.place
        raise
