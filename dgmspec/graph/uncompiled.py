"""What the language says of noising arrows and this version does not compile: refused with what to write instead.

Each function gives the message, its place, the label and the help of a finding (DGM901).
"""

from __future__ import annotations

from dgmspec.core.address import Address
from dgmspec.spec.model import Path

__all__ = ["Said", "joint", "learned"]

Said = tuple[str, Address, str, tuple[str, ...]]


def joint(member: Path, simulates: bool, at: Address) -> Said:
    """Several variables at an end of the arrow."""
    head, ends = member.head, max(member.source, member.target, key=len)
    whole, named = f"[{', '.join(ends)}]", " and ".join(f"`{name}`" for name in ends)
    vector = f"declare one vector in place of {named}"
    steps = f"`latent u : real[n]`, `flow {whole} -> u {{ permute(reverse) }}`, `{head} u -> z over …`"
    return (
        f"the joint state `{whole}` of this `{head}` is read and kept, not compiled: it leads from one variable to one",
        at,
        "several variables",
        (vector,) if simulates or ends != member.source else (vector, f"or join them by a flow first: {steps}"),
    )


def learned(head: str, name: str, net: bool, simulates: bool, at: Address) -> Said:
    """A number or a net that is learned, in the law of a path or declared for it."""
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
