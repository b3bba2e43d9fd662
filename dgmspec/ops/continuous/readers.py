"""The parameters of the nets that formulas of an arrow apply, whose sizes follow from what they are applied to."""

from __future__ import annotations

from collections.abc import Mapping

from dgmspec.algebra.shapes import shape_of, show_shape
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.nets import NetUse
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.types import Shape, Type
from dgmspec.ops.authored import OwnNet, Reading
from dgmspec.ops.continuous.applied import AbstractApplied
from dgmspec.ops.nets import AbstractOrdered, context_shape

__all__ = ["net_parameters"]

_Form = tuple[tuple[Shape, ...], bool]
"""The shapes of what a net is given, and whether it is given the time too."""


def net_parameters(
    applied: AbstractApplied, net: OwnNet, known: Mapping[str, Shape], c: Type | None
) -> tuple[ParamSpec, ...]:
    """A net's parameters, none where nothing reads it; `known` are the shapes of all names."""
    use = _use(applied, net, known, c)
    if use is None:
        return ()
    try:
        return net.op.ordered_parameters(use) if isinstance(net.op, AbstractOrdered) else net.op.net_parameters(use)
    except Refusal as refusal:
        refusal.place = net.place
        raise


def _use(applied: AbstractApplied, net: OwnNet, known: Mapping[str, Shape], c: Type | None) -> NetUse | None:
    """The shapes of a net, from the arguments that it is applied to; None where nothing reads it."""
    readings = [reading for reading in applied.all_readings if reading.net == net.name]
    if not readings:
        return None
    forms = list(dict.fromkeys(_form(applied, reading, known) for reading in readings))
    if len(forms) > 1:
        first, second = map(_described, forms[:2])
        raise Refusal(
            "DGM312",
            f"`{net.name}` reads {first} in one place and {second} in another",
            help=("a net has one size: declare a second net",),
        )
    in_place = net.name in applied.in_place
    inputs, timed = forms[0]
    return NetUse(inputs, net.size.at(known), context_shape(c) if in_place else None, in_place, time=int(timed))


def _form(applied: AbstractApplied, reading: Reading, known: Mapping[str, Shape]) -> _Form:
    """The shapes of what a reading gives its net beside the time, and whether it gives it that."""
    rest = applied.inputs(reading)
    return tuple(shape_of(arg, known) for arg in rest), len(rest) < len(reading.args)


def _described(form: _Form) -> str:
    inputs, timed = form
    return " and ".join([*map(show_shape, inputs), *(["the time"] if timed else [])])
