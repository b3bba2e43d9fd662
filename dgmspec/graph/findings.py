"""Where the rooms of lowering and inference put what they find: one list, one door for refusals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from dgmspec.core.address import Address
from dgmspec.core.diagnostics import Diagnostic, Label, Refusal, did_you_mean


class Reported(Exception):
    """Unwinds to the nearest construct that can do without a part whose mistake has been reported already."""


@dataclass
class Findings:
    """Diagnostics in the order of their discovery, each once: another use of what is wrong in itself adds nothing."""

    found: list[Diagnostic] = field(default_factory=list)
    _seen: set[tuple[str, str, object]] = field(default_factory=set)

    def add(self, diagnostic: Diagnostic) -> None:
        """Keep a finding; one that is already there (a repeat's other turns, a chain's other uses) is dropped."""
        key = (diagnostic.code, diagnostic.message, diagnostic.at)
        if key not in self._seen:
            self._seen.add(key)
            self.found.append(diagnostic)

    def report(
        self,
        code: str,
        message: str,
        at: Address | None,
        label: str = "",
        labels: tuple[Label, ...] = (),
        notes: tuple[str, ...] = (),
        help: tuple[str, ...] = (),
    ) -> None:
        """Keep a finding given by its parts."""
        self.add(Diagnostic(code, message, at, label, labels, notes, help))

    def refuse(
        self,
        code: str,
        message: str,
        at: Address | None,
        label: str = "",
        help: tuple[str, ...] = (),
        labels: tuple[Label, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> NoReturn:
        """Keep a finding given by its parts, and unwind by `Reported`."""
        self.report(code, message, at, label, labels, notes, help)
        raise Reported

    @contextmanager
    def refusals_at(self, at: Address | None, labels: tuple[Label, ...] = ()) -> Iterator[None]:
        """Turn a `Refusal` from inside into a finding at `at`, and unwind by `Reported`."""
        try:
            yield
        except Refusal as refusal:
            self.add(refusal.diagnostic(at, labels))
            raise Reported from refusal


def meant(name: str, candidates: tuple[str, ...] | list[str] | dict[str, object]) -> tuple[str, ...]:
    """The help for a mistyped name: the nearest candidate, or the whole list where it is short."""
    near = did_you_mean(name, candidates)
    if near:
        return (f"did you mean `{near}`?",)
    shown = sorted(candidates)
    return (f"write one of {', '.join(f'`{c}`' for c in shown)}",) if 0 < len(shown) <= 12 else ()
