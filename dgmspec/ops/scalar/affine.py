"""Maps of constant slope: `affine`, `additive` and the fixed `shift_scale`."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import Field, field_validator

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.parameters import Init
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.types import Support
from dgmspec.ops.scalar.domain import AbstractOnLine, image_interval, require_interval, require_line

Numbers = float | tuple[float, ...]


class Affine(AbstractOnLine):
    """``y = x exp(s) + t`` with ``s = c tanh(r / c)``, the clamp c keeping the slope within (e^-c, e^c).

    Shapes: raw (2, *x): r, then t. Domain: ℝ onto ℝ. Log-derivative: s, constant in x.
    Caveat: the soft clamp bounds what one step can stretch; ``clamp = inf`` drops it and lets exp overflow.
    Reference: Dinh, Sohl-Dickstein and Bengio 2017, "Density estimation using Real NVP", eq. 7.
    """

    name: ClassVar[str] = "affine"
    examples: ClassVar[tuple[str, ...]] = ("affine", "affine(clamp = 2)", "affine(clamp = inf)")

    clamp: float = Field(5.0, gt=0, description="bound c of the log-slope, approached smoothly; inf for none")

    def raw(self, support: Support) -> tuple[Init, ...]:
        return (Init(), Init())

    def constant_slope(self) -> bool:
        return True


class Additive(AbstractScalar):
    """``y = x + t``, on the circle modulo 2π.

    Shapes: raw (1, *x): t. Domain: ℝ onto ℝ, the circle onto itself. Log-derivative: 0, so that every conditioner of it
    preserves volume.
    Reference: Dinh, Krueger and Bengio 2015, "NICE: Non-linear independent components estimation", eq. 5.
    """

    name: ClassVar[str] = "additive"
    examples: ClassVar[tuple[str, ...]] = ("additive",)

    def raw(self, support: Support) -> tuple[Init, ...]:
        return (Init(),)

    def image(self, support: Support) -> Support:
        if not support.circular:
            require_line(self.name, support)
        return support

    def preimage(self, support: Support) -> Support:
        if not support.circular:
            require_line(f"inverse {self.name}", support)
        return support

    def constant_slope(self) -> bool:
        return True

    def unit_slope(self) -> bool:
        return True


class ShiftScale(AbstractScalar):
    """``y = shift + scale x`` with fixed numbers, or one number a coordinate.

    Shapes: no raw parameters. Domain: an interval onto an interval. Log-derivative: log|scale|, constant.
    Caveat: a negative scale reverses the order; a vector needs one entry a coordinate of the event, and on an event
    that is not ℝ all coordinates must have the same image.
    """

    name: ClassVar[str] = "shift_scale"
    examples: ClassVar[tuple[str, ...]] = (
        "shift_scale(-1, 0.5)",
        "shift_scale(shift = 2)",
        "shift_scale(scale = -3)",
        "shift_scale(shift = [1, -2], scale = [0.5, 4])",
    )

    shift: Numbers = Field(0.0, description="what is added, after scaling: a number or one a coordinate")
    scale: Numbers = Field(1.0, description="the factor: a number or one a coordinate, none of them 0")

    @field_validator("shift", "scale")
    @classmethod
    def _finite(cls, value: Numbers) -> Numbers:
        if not all(map(math.isfinite, _entries(value))):
            raise ValueError("the numbers must be finite")
        return value

    @field_validator("scale")
    @classmethod
    def _not_zero(cls, value: Numbers) -> Numbers:
        if 0 in _entries(value):
            raise ValueError("a scale of 0 has no inverse")
        return value

    def raw(self, support: Support) -> tuple[Init, ...]:
        return ()

    def fixed(self, size: int) -> tuple[tuple[float, ...], ...]:
        if isinstance(self.shift, float) and isinstance(self.scale, float):
            return ()
        for argument, value in (("shift", self.shift), ("scale", self.scale)):
            if isinstance(value, tuple) and len(value) != size:
                raise Refusal(
                    "DGM310",
                    f"`{argument}` has {len(value)} numbers, but the event has {size} coordinates",
                    argument=argument,
                    help=(f"write {size} numbers, or a single one for all coordinates",),
                )
        return tuple(value if isinstance(value, tuple) else (value,) * size for value in (self.shift, self.scale))

    def image(self, support: Support) -> Support:
        return self._common(support, [lambda v, m=m, s=s: m + s * v for m, s in self._pairs()])

    def preimage(self, support: Support) -> Support:
        return self._common(support, [lambda v, m=m, s=s: (v - m) / s for m, s in self._pairs()])

    def constant_slope(self) -> bool:
        return True

    def unit_slope(self) -> bool:
        return all(abs(scale) == 1 for scale in _entries(self.scale))

    def _pairs(self) -> list[tuple[float, float]]:
        """(shift, scale) of each coordinate, or the one pair for all."""
        size = max(len(_entries(self.shift)), len(_entries(self.scale)))
        shifts, scales = (e * size if len(e) == 1 else e for e in map(_entries, (self.shift, self.scale)))
        return list(dict.fromkeys(zip(shifts, scales, strict=False)))

    def _common(self, support: Support, maps: list) -> Support:  # type: ignore[type-arg]
        """The image of the support under all maps, refused where coordinates disagree."""
        require_interval(self.name, support)
        images = {image_interval(self.name, support, *sorted((f(support.low), f(support.high)))) for f in maps}
        if len(images) > 1:
            raise Refusal(
                "DGM440",
                f"`{self.name}` takes {support.describe()} to a different interval in each coordinate",
                help=("use the same shift and scale for all coordinates",),
            )
        return images.pop()


def _entries(value: Numbers) -> tuple[float, ...]:
    """A number or a vector, as a vector."""
    return value if isinstance(value, tuple) else (value,)
