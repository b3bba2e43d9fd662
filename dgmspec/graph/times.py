"""The times of a noising arrow: an interval, the counted steps of a `markov`, or the levels of a `perturb`."""

from __future__ import annotations

from typing import Any

from dgmspec.algebra.evaluate import evaluate, show
from dgmspec.algebra.nodes import AbstractExpr, Argument, Call, Range, Vector
from dgmspec.algebra.paths.ladders import LADDERS, MOST_LEVELS, ladder
from dgmspec.core.address import Address, child
from dgmspec.graph.building import Building
from dgmspec.spec.model import Path

__all__ = ["lower_times"]


def lower_times(building: Building, member: Path, arrow: Address) -> dict[str, Any]:
    """``low`` and ``high``, and the levels of a ladder; raises `Reported` where the text holds a mistake."""
    domain, at = member.over.domain, child(arrow, "over")
    if isinstance(domain, Range):
        ends = _number(building, domain.low, at), _number(building, domain.high, at)
        return (
            _steps(building, member, *ends, at) if member.head == "markov" else _interval(building, member, *ends, at)
        )
    if member.head != "perturb":
        help_ = (f"write `over {member.over.name} in 0..1`",)
        building.findings.refuse("DGM642", f"the time of a `{member.head}` is a range", at, "no range", help_)
    levels = _levels(building, domain, at)
    return {"low": min(levels), "high": max(levels), "levels": levels}


def _steps(building: Building, member: Path, low: Any, high: Any, at: Address) -> dict[str, Any]:
    """1..T, in whole numbers."""
    help_ = (f"write `over {member.over.name} in 1..1000`",)
    if not (isinstance(low, int) and isinstance(high, int) and low == 1 and high >= 2):
        message = f"the steps of a `markov` are counted 1..T, not {show(low)}..{show(high)}"
        building.findings.refuse("DGM642", message, at, help=help_)
    if high > MOST_LEVELS:
        message = f"a `markov` takes at most {MOST_LEVELS:,} steps, and this has {high:,}"
        building.findings.refuse("DGM642", message, at, "too many", help_)
    return {"low": low, "high": high}


def _interval(building: Building, member: Path, low: Any, high: Any, at: Address) -> dict[str, Any]:
    """Two numbers, the first below the second."""
    if not low < high or high in (float("inf"),):
        help_ = (f"write `over {member.over.name} in 0..1`, the data standing at 0",)
        message = f"the time of a path rises, and {show(low)}..{show(high)} does not"
        building.findings.refuse("DGM642", message, at, "from data to noise", help_)
    return {"low": float(low), "high": float(high)}


def _levels(building: Building, domain: AbstractExpr, at: Address) -> tuple[float, ...]:
    """``[1, 0.5, 0.1]``, ``geometric(10, 0.01, 20)``, ``linear(1, 0.1, 10)``."""
    if isinstance(domain, Call) and domain.name in LADDERS:
        values = [_number(building, arg.value, at) for arg in _ladder_args(building, domain, at)]
        with building.findings.refusals_at(at):
            return ladder(domain.name, *values)
    if isinstance(domain, Vector):
        with building.findings.refusals_at(at):
            found = evaluate(building.caller().formula(domain, at), {})
        if len(found) > 1 and all(isinstance(v, (int, float)) and v > 0 for v in found):
            return tuple(map(float, found))
    building.findings.refuse(
        "DGM642",
        "levels are a list of two positive numbers or more, or a ladder of them",
        at,
        "no levels",
        ("write `[1, 0.5, 0.1]`, `geometric(10, 0.01, 20)` or `linear(1, 0.1, 10)`",),
    )


def _ladder_args(building: Building, domain: Call, at: Address) -> list[Argument]:
    names = ("from", "to", "count")
    given = {arg.name or names[i]: arg for i, arg in enumerate(domain.args) if i < 3}
    if set(given) != set(names) or len(domain.args) != 3:
        help_ = (f"write `{domain.name}(10, 0.01, 20)`, from 10 to 0.01, 20 levels",)
        building.findings.refuse("DGM642", f"`{domain.name}` takes from, to and count", at, help=help_)
    return [given[name] for name in names]


def _number(building: Building, formula: AbstractExpr, at: Address) -> Any:
    with building.findings.refusals_at(at):
        return evaluate(building.caller().formula(formula, at), {})
