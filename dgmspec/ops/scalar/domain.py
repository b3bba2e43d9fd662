"""The domains of scalar bijectors: what they refuse, supports that are not intervals or that leave the domain."""

from __future__ import annotations

import math
from abc import ABC

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.types import REAL, Support, SupportKind, interval


def require_interval(name: str, support: Support) -> None:
    """Refuse a support that is no interval of the line."""
    if not support.continuous:
        raise Refusal(
            "DGM311",
            f"`{name}` is a bijection of a continuous variable, and what reaches it is {support}",
            help=(f"put {onto_numbers(support)} before it, which makes the variable continuous",),
        )
    if support.circular:
        raise Refusal(
            "DGM313",
            f"`{name}` is a bijection of the line or a part of it, and what reaches it are angles",
            help=("on the circle, `rqs`, `moebius` and `additive` are the scalar bijectors",),
        )


def onto_numbers(support: Support) -> str:
    """The step that makes a discrete variable continuous, as it is written."""
    return "`argmax`" if support.kind is SupportKind.CATEGORY else "`dequantize(uniform)`"


def require_line(name: str, support: Support) -> None:
    """Refuse every support but ℝ, for maps whose image of an interval would depend on their parameters."""
    require_interval(name, support)
    if support != REAL:
        raise Refusal(
            "DGM440",
            f"`{name}` takes {support.describe()} to an interval that depends on its parameters",
            notes=("an `rqs` in its place keeps the interval: it maps it onto itself",),
            help=(f"put {onto_line(support)} before it, which maps {support.describe()} onto all of ℝ",),
        )


class AbstractOnLine(AbstractScalar, ABC):
    """A map of ℝ onto ℝ, whatever its parameters."""

    def image(self, support: Support) -> Support:
        require_line(self.name, support)
        return REAL

    def preimage(self, support: Support) -> Support:
        require_line(f"inverse {self.name}", support)
        return REAL


def require_within(name: str, domain: Support, support: Support) -> None:
    """Refuse a support with points outside `domain`."""
    require_interval(name, support)
    if not domain.contains(support):
        raise Refusal(
            "DGM303",
            f"`{name}` is defined on {domain.describe()}, and what reaches it lives on {support.describe()}",
        )


def image_interval(name: str, support: Support, low: float, high: float) -> Support:
    """The open interval (low, high); refused where rounding leaves nothing between its ends."""
    if not low < high:
        raise Refusal(
            "DGM303",
            f"`{name}` takes {support.describe()} to an interval that holds no floating-point number",
            help=("put `shift_scale(shift, scale)` before it, which brings the variable where the map still moves",),
        )
    return interval(low, high)


def onto_line(support: Support) -> str:
    """Steps that map a set onto the line, as they are written."""
    if support.discrete:
        return "`dequantize(uniform); logit`"
    if math.isfinite(support.low) and math.isfinite(support.high):
        return "`logit`"
    if math.isfinite(support.low):
        return "`inverse exp`" if support.low == 0 else f"`shift_scale({-support.low:g}, 1)` and `inverse exp`"
    return f"`shift_scale({support.high:g}, -1)` and `inverse exp`"
