"""Which terms of a velocity are Lipschitz in the state by their form: then paths exist and are unique."""

from __future__ import annotations

from collections.abc import Iterator

from dgmspec.algebra.lipschitz import unproved
from dgmspec.algebra.rewrite import substitute
from dgmspec.core.nets import AbstractNet
from dgmspec.ops.continuous import Velocity
from dgmspec.ops.nets import AbstractLayered
from dgmspec.spec.unresolve import formula_text

__all__ = ["is_lipschitz", "unproved_terms"]


def is_lipschitz(op: AbstractNet) -> bool:
    """Whether a net is Lipschitz by its form: linear maps and activations alone."""
    return isinstance(op, AbstractLayered) and not op.normed()


def unproved_terms(velocity: Velocity) -> Iterator[str]:
    """The terms of a velocity that are not Lipschitz by their form, as they were written."""
    tame, wild = {velocity.state}, {found.symbol for found in velocity.gradients}
    for reading in velocity.readings:
        if reading.symbol in velocity.moving:
            args_tame = not any(True for arg in reading.args for _ in unproved(arg, tame, wild))
            good = args_tame and is_lipschitz(velocity.net(reading.net).op)
            (tame if good else wild).add(reading.symbol)
    for term in unproved(velocity.value, tame, wild):
        yield formula_text(substitute(term, velocity.applied))
