"""Bijections of the circle: `moebius`. `additive` (a rotation there) and `rqs` map the circle onto itself as well."""

from __future__ import annotations

from typing import ClassVar

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.parameters import Init
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.types import CIRCLE, Support


class Moebius(AbstractScalar):
    """``h(z) = (1 - |ω|²) (z - ω) / |z - ω|² - ω`` for the point z = (cos x, sin x) and ω inside the unit disc.

    Shapes: raw (2, *x): r with ``ω = 0.99 r / √(1 + |r|²)``. Domain: the circle onto itself; zero raw is the identity.
    Log-derivative: ``log(1 - |ω|²) - log|z - ω|²``.
    Cost: O(1) a coordinate each way; the inverse is the same map with -ω.
    Caveat: one map moves mass towards one point, away from ω; several, or `rqs`, give several modes.
    Reference: Rezende, Papamakarios, Racanière et al. 2020, "Normalizing flows on tori and spheres", section 2.1.1.
    """

    name: ClassVar[str] = "moebius"
    examples: ClassVar[tuple[str, ...]] = ("moebius",)

    def raw(self, support: Support) -> tuple[Init, ...]:
        return (Init(), Init())

    def image(self, support: Support) -> Support:
        return self._circle(support)

    def preimage(self, support: Support) -> Support:
        return self._circle(support)

    def _circle(self, support: Support) -> Support:
        if support != CIRCLE:
            raise Refusal(
                "DGM303",
                f"`{self.name}` is defined on the circle, and what reaches it lives on {support.describe()}",
                help=(
                    "declare the angles as `circle`, or use `rqs`, which maps the line and every interval onto itself",
                ),
            )
        return CIRCLE
