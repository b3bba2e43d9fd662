"""Scalar bijectors of the author's own: one part, its parameters left to the conditioner."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pydantic import InstanceOf

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.parameters import Init
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.steps import Facts
from dgmspec.core.types import REAL, Support
from dgmspec.ops.authored.definition import Definition, analytic
from dgmspec.ops.authored.proofs import DOMAINS, facts, proved, supports_before

_BEFORE: dict[tuple[str, str, float, float], Support] = {}


@dataclass(frozen=True)
class _Kind:
    """Whether the slope is constant in x, whether it is ±1, whether the inverse is found numerically."""

    constant: bool
    unit: bool
    numeric: bool


class AuthoredScalar(AbstractScalar):
    """The lines of a bijector of one part, run one after the other on every coordinate.

    Shapes: raw (P, *x): one number for each parameter after ``;``, which a softplus or a scaled sigmoid takes to its
    support; zero raw is 0 on ℝ, 1 beyond a bound, the middle of an interval. Domain: where every line is proved
    strictly monotone, onto what its limits say. Log-derivative: the sum of the lines'. Caveat: a line in which the
    variable stands more than once may have no inverse in closed form and is then inverted numerically, to rounding.
    """

    definition: InstanceOf[Definition]
    label: str
    """The use as it was written."""

    @property
    def name(self) -> str:  # type: ignore[override]  # the author's, so each object has its own
        return self.definition.name

    @property
    def inverts(self) -> Literal["closed form", "iterative"]:  # type: ignore[override]  # likewise
        return "iterative" if self._kind.numeric else "closed form"

    def equations(self) -> tuple[tuple[str, AbstractExpr], ...]:
        return self.definition.equations()

    def raw(self, support: Support) -> tuple[Init, ...]:
        return (Init(),) * len(self.definition.parameters)

    def image(self, support: Support) -> Support:
        return proved(self.definition, (support,)).after[0]

    def preimage(self, support: Support) -> Support:
        # A plain dictionary, because a compiled graph can read it where it cannot trace the algebra.
        key = (self.definition.key, support.kind.value, support.low, support.high)
        if key not in _BEFORE:
            _BEFORE[key] = supports_before(self.definition, (support,))[0]
        return _BEFORE[key]

    def constant_slope(self) -> bool:
        return self._kind.constant

    def unit_slope(self) -> bool:
        return self._kind.unit

    def facts(self, support: Support) -> Facts:
        return facts(self.definition, proved(self.definition, (support,)))

    @cached_property
    def _kind(self) -> _Kind:
        """Read off the proof on the largest usual domain that has one.

        A slope that is constant on all of ℝ is so on every part of it. One that is constant on a part only is constant
        elsewhere if the lines are analytic; with a kink, ``abs(x - 5)``, it may have another value there.
        """
        for domain in DOMAINS:
            try:
                updates = proved(self.definition, (domain,)).updates
            except Refusal:
                continue
            everywhere = domain == REAL or all(analytic(line.value) for line in self.definition.lines)
            return _Kind(
                everywhere and all(update.constant_slope for update in updates),
                everywhere and all(update.unit_slope for update in updates),
                any(update.inverse is None for update in updates),
            )
        return _Kind(False, False, False)
