"""What the language says of noising arrows and this version does not compile: refused with what to write instead."""

from __future__ import annotations

from dgmspec.core.address import Address

__all__ = ["Said", "learned"]

Said = tuple[str, Address, str, tuple[str, ...]]


def learned(head: str, name: str, net: bool, simulates: bool, at: Address) -> Said:
    """A number or a net that is learned, in the law of a path or declared for it: message, place, label and help of a
    finding (DGM901)."""
    helps: tuple[str, ...]
    if net and simulates:
        helps = "write the drift as a formula of numbers", "or write an `ode`, whose velocity may be a net"
    elif net:
        helps = ("write the law as a formula; what a path learns is a prediction, `learn noise(x, t) = mlp(64, 64)`",)
    else:
        helps = (f"make it a param, a number that you set: `param {name} = 1`",)
        helps += () if simulates else ("or write an affine law, which may read learned numbers",)
    return (
        f"the law of this `{head}` is a formula of numbers that are known; the {'net' if net else 'learned number'} "
        f"`{name}` in it is read and kept, not compiled",
        at,
        "not compiled",
        helps,
    )
