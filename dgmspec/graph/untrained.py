"""Nets in the law of a path that leads from data to noise: nothing trains them there."""

from __future__ import annotations

from dgmspec.core.address import Address

__all__ = ["Said", "untrained"]

Said = tuple[str, Address, str, tuple[str, ...]]


def untrained(head: str, name: str, at: Address) -> Said:
    """The message, the place, the label and the help of a finding (DGM677) about the net `name`."""
    helps: tuple[str, ...] = (
        "write the law as a formula; what a path learns is a prediction, `learn noise(x, t) = mlp(64, 64)`",
    )
    if head == "sde":
        helps = (*helps, "or let the process run forwards from a prior at its start, whose law may apply nets")
    return (
        f"losses compare predictions along the law of this `{head}`, and none trains a net in it, as `{name}` is",
        at,
        "a net in the law",
        helps,
    )
