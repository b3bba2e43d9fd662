"""Addresses: one name for every node, from a diagnostic's caret to a key of the state dict.

``RealNVP/x->z/0[k=3]/1/net`` is: model, arrow, step 0 (a repeat, in its turn k = 3), step 1 in it, argument ``net``.
Turns of a repeat without ``as`` are ``[3]``. Shared nets and learned parameters stand directly under the model:
``RealNVP/h``. An address holds no dot, so it is a legal parameter name in PyTorch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b

Address = str

_TURN = re.compile(r"\[(?:[^\[\]=,/]+=)?\d+\]")


def child(address: Address, part: str | int) -> Address:
    """The address of `part` below `address` (which may be empty)."""
    return f"{address}/{part}" if address else str(part)


def callee(address: Address) -> Address:
    """The place of the name alone in the call, or the name, at `address`."""
    return child(address, "()")


def keyword(address: Address, name: str) -> Address:
    """The place of an argument's name alone in the call at `address`."""
    return child(address, f"{name}=")


def turn(address: Address, index: int, name: str | None = None) -> Address:
    """The address of one turn of a repeat: ``…/0[k=3]``, or ``…/0[3]`` without a name."""
    return f"{address}[{name}={index}]" if name else f"{address}[{index}]"


def written(address: Address) -> Address:
    """The place in the text that `address` came from: the turns of repeats removed."""
    return _TURN.sub("", address)


def prefixes(address: Address) -> Iterator[Address]:
    """`address` as written and every address above it, nearest first."""
    at = written(address)
    while at:
        yield at
        at = at.rpartition("/")[0]


def seed_of(seed: int, address: Address, *more: int) -> int:
    """A 63-bit seed that depends on the run's seed and the address alone, the same on every machine."""
    key = "\0".join((str(seed), address, *map(str, more))).encode()
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big") >> 1
