"""The inverse of a scalar bijector, a scalar bijector itself."""

from __future__ import annotations

from typing import ClassVar

from dgmspec.core.parameters import Init
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.steps import Direction, Facts
from dgmspec.core.types import Support


class InverseScalar(AbstractScalar):
    """``y = f⁻¹(x)`` for the scalar bijector f with the same raw parameters, as in ``coupling(inverse rqs, …)``.

    Shapes: those of f. Domain: image of f onto domain of f. Log-derivative: minus that of f at y.
    Caveat: its forward is as costly as the inverse of f.
    """

    name: ClassVar[str] = "inverse"
    examples: ClassVar[tuple[str, ...]] = ("inverse rqs(4)", "inverse affine", "inverse exp")

    of: AbstractScalar

    def raw(self, support: Support) -> tuple[Init, ...]:
        return self.of.raw(self.of.preimage(support))

    def fixed(self, size: int) -> tuple[tuple[float, ...], ...]:
        return self.of.fixed(size)

    def facts(self, support: Support) -> Facts:
        return self.of.facts(self.of.preimage(support))

    def image(self, support: Support) -> Support:
        return self.of.preimage(support)

    def preimage(self, support: Support) -> Support:
        return self.of.image(support)

    def directions(self, passes: int) -> tuple[Direction, Direction]:
        forward, inverse = self.of.directions(passes)
        return inverse, forward

    def spelled(self) -> str:
        return f"inverse {self.of.spelled()}"

    def constant_slope(self) -> bool:
        return self.of.constant_slope()

    def unit_slope(self) -> bool:
        return self.of.unit_slope()
