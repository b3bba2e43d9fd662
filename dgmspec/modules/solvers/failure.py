"""What a solve cannot do, as one exception that says where, for which sample, and what to try."""

from __future__ import annotations

from typing import Literal, Self

__all__ = ["REMEDIES", "SolverError"]

Reason = Literal["step", "nonfinite", "steps", "process"]

REMEDIES: dict[Reason, str] = {
    "step": "the velocity changes too fast there, the solution runs off to infinity, or the tolerance is below the "
    "rounding errors of its precision; try a looser tolerance, a smooth activation, a velocity that grows at most "
    "linearly, a `kinetic` term in the loss, float64, or a fixed-step solver",
    "nonfinite": "the solution runs off to infinity, or the velocity is not defined there; try a velocity that grows "
    "at most linearly, a shorter time interval, a lower learning rate, or a `kinetic` term in the loss",
    "steps": "try a looser tolerance, a method of higher order, a `kinetic` term in the loss, or a larger `max_steps`",
    "process": "give its `solver` more `steps`, which are too long for what the drift does there; where the drift "
    "itself runs off to infinity, a shorter time, or data within bounds",
}


class SolverError(ArithmeticError):
    """`reason`: the step size underflowed (``step``), a state stopped being finite (``nonfinite``), too many steps were
    taken (``steps``), or a simulated state left the numbers (``process``). `t` and `row` are the time and the row of
    the batch where it is worst; `remedy` says what to try, `where` the address of the arrow, once `at` has named it."""

    def __init__(self, reason: Reason, what: str, t: float, row: int, where: str = "") -> None:
        self.reason, self.what, self.t, self.row, self.where = reason, what, t, row, where
        self.remedy = REMEDIES[reason]
        place = f"{where}: " if where else ""
        super().__init__(f"{place}{what} at t = {t:.6g} in sample {row} of the batch: {self.remedy}")

    def at(self, where: str) -> Self:
        """The same error at an arrow's address."""
        return type(self)(self.reason, self.what, self.t, self.row, where)

    def __reduce__(self) -> tuple[type, tuple[str, str, float, int, str]]:
        return type(self), (self.reason, self.what, self.t, self.row, self.where)
