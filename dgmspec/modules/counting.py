"""How often solvers evaluate a velocity, told to whoever asks while a program runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dgmspec.core.address import Address

__all__ = ["count", "counting"]

_LISTENERS: list[dict[Address, int]] = []


@contextmanager
def counting() -> Iterator[dict[Address, int]]:
    """The evaluations made inside the block, by the address of the step that solves."""
    found: dict[Address, int] = {}
    _LISTENERS.append(found)
    try:
        yield found
    finally:
        _LISTENERS.remove(found)


def count(address: Address, evaluations: int) -> None:
    """Tell of a solve."""
    for found in _LISTENERS:
        found[address] = found.get(address, 0) + evaluations
