"""Images that are by design a part of what follows, and what is read past them.

``logit(alpha = 0.05)`` takes an interval into ℝ, onto (-2.94, 2.94). What follows may keep to that part, as a spline
does that maps an interval onto itself, or need all of ℝ, as a learned scale does. So the value behind such a step has
two types, the part and the whole, and steps carry both along. The first step that refuses the part and takes the whole
reads the whole, and only that is known from there on; at an arrow's end the declaration decides. Undone (``inverse
logit(alpha)``, written towards the data), such a step takes the whole and leaves out what lies beside the part.

Either way the map remains one to one, and the prior's mass beside the part belongs to no data: the density of the data
integrates to less than 1 by just that mass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import REAL, Type, Unknown
from dgmspec.graph.graph import ArrowNode, Graph, StepNode
from dgmspec.ops.scalar.domain import onto_line

__all__ = ["Widened", "given_by", "unreached", "whole_of", "widenings"]


def given_by(step: StepNode, x: Type, c: Type | None) -> Type:
    """The type that a step gives along its arrow; of what is by design a whole, it undoes the part."""
    if not step.inverse:
        return step.op.infer_type(x, c)
    part = step.op.part
    return step.op.infer_input(x if part is None or x.support != part.whole else x.with_support(part.image), c)


def whole_of(step: StepNode, given: Type, whole: Type | None, c: Type | None) -> Type | None:
    """What `given`, the type behind a step, is by design a part of, where `whole` is that of the value before it."""
    if step.op.part is not None and not step.inverse:
        return given.with_support(step.op.part.whole)
    if whole is None:
        return None
    with suppress(Refusal):
        found = given_by(step, whole, c)
        return None if found == given else found
    return None


def unreached(step: StepNode, y: Type, c: Type | None) -> Refusal | None:
    """Why a step that was met from behind cannot give `y`: its image of ℝ is another set; None where it is not."""
    with suppress(Refusal):
        image = given_by(step, y.with_support(REAL), c).support
        if image != y.support:
            return Refusal(
                "DGM302",
                f"the image of `{'inverse ' * step.inverse}{step.label}` is {image.describe()}, but what stands behind "
                f"it lives on {y.support.describe()}",
                help=(f"drop the step, or put {onto_line(image)} behind it",) if y.support == REAL else (),
            )
    return None


@dataclass(frozen=True)
class Widened:
    """A place on an arrow where a part is read as the whole: behind `step`, whose image it is, by `reader`, or by the
    variable at the arrow's end where that is None. Undone, a step reads the whole itself."""

    step: StepNode
    reader: StepNode | None


def widenings(graph: Graph, arrow: ArrowNode) -> Iterator[Widened]:
    """The places on an arrow of known types where the part is read as the whole, in order."""
    steps = [graph.steps[address] for address in arrow.steps]
    whole, origin = None, None
    for step, reader in zip(steps, [*steps[1:], None], strict=True):
        x, y = graph.type_of(step.source), graph.type_of(step.target)
        c = None if step.context is None else graph.type_of(step.context)
        if isinstance(x, Unknown) or isinstance(y, Unknown) or isinstance(c, Unknown):
            return
        if (part := step.op.part) is not None:
            origin = origin if step.inverse else step
            if step.inverse and x.support == part.whole:
                yield Widened(step, step)
        beyond = None
        with suppress(Refusal):
            given = given_by(step, x, c)
            beyond = whole_of(step, given, whole, c)
            if origin is not None and beyond is not None and given.support != y.support == beyond.support:
                yield Widened(origin, reader)
                beyond = None
        whole = beyond
