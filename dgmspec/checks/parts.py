"""Images that are by design a part of what follows: a bound on the way to the prior, data left out on the way back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dgmspec.checks.analysis import Analysis, StepFacts, place
from dgmspec.core.diagnostics import Diagnostic
from dgmspec.core.types import Part, Support, Type
from dgmspec.graph.graph import ArrowNode, StepNode

__all__ = ["check_parts"]


def check_parts(analysis: Analysis) -> Iterator[Diagnostic]:
    """DGM302, 303, 308."""
    for chain in analysis.chains.values():
        for meant in chain.widenings:
            step = next(step for step in chain.steps if step.node is meant.step)
            found = _said(step, meant.reader, chain.arrow, analysis.towards_prior(chain.arrow))
            redrawn = analysis.dependence.of[chain.arrow.source].observed
            yield found if redrawn or found.code != "DGM308" else _latent(found)


def _said(step: StepFacts, reader: StepNode | None, arrow: ArrowNode, towards: bool) -> Diagnostic:
    """What to say of a part read as the whole, on an arrow that leads towards the prior or to the data."""
    part = step.node.op.part
    assert part is not None
    if step.node.inverse:
        return _unmet(step, part, arrow.source) if towards else _undone(step, part, arrow.target)
    read = f"where `{arrow.target}` lives" if reader is None else f"what `{_word(reader)}` takes"
    return _bound(step, part, read, arrow.source) if towards else _unreached(step, part, read, arrow.target)


def _bound(step: StepFacts, part: Part, reader: str, data: str) -> Diagnostic:
    return Diagnostic(
        "DGM308",
        f"the image of `{step.name}` is {_rounded(part.image)} by design, a part of {reader}",
        place(step.node),
        f"maps {step.before} into, not onto {_on(step.before, part.whole)}",
        notes=(_missing(data, "the image"),),
    )


def _undone(step: StepFacts, part: Part, data: str) -> Diagnostic:
    return Diagnostic(
        "DGM308",
        f"`{step.label}` takes {_rounded(part.image)} by design, a part of what reaches it",
        place(step.node),
        f"maps a part of {_on(step.before, part.whole)} onto {_on(step.after, step.after.support)}",
        notes=(_missing(data, "that part"),),
    )


def _latent(found: Diagnostic) -> Diagnostic:
    """What falls outside is drawn again where samples end, at data; a latent variable keeps what it is drawn as."""
    return Diagnostic(
        "DGM302",
        f"{found.message}, and no latent variable is drawn again where it falls outside",
        found.at,
        found.label,
        notes=("as written, samples would be made of values that the bound on the density leaves out",),
        help=("leave `alpha` out, which is for data that reach the ends: `logit` is onto",),
    )


def _missing(data: str, part: str) -> str:
    return (
        f"the density of {data} is a lower bound: the prior's mass outside {part} is missing, and `sample` draws again "
        "what falls there"
    )


def _unreached(step: StepFacts, part: Part, reader: str, data: str) -> Diagnostic:
    """The image stands on the way from the prior: `data` beyond it have no density."""
    return Diagnostic(
        "DGM302",
        f"the image of `{step.name}` is {_rounded(part.image)}, on the way to `{data}` a part of {reader}",
        place(step.node),
        f"maps {step.before} into, not onto {_on(step.before, part.whole)}",
        notes=(f"as written, no value of `{data}` that lies beyond the image can be drawn",),
        help=("write a step that is onto, such as `logit` without alpha",),
    )


def _unmet(step: StepFacts, part: Part, data: str) -> Diagnostic:
    """Data meet the step that takes a part alone."""
    return Diagnostic(
        "DGM303",
        f"`{step.label}` is defined on {_rounded(part.image)}, and values of `{data}` that reach it live on "
        f"{part.whole.describe()}",
        place(step.node),
        f"leaves out data beyond {_rounded(part.image)}",
        help=("write a step that takes all of them, such as `sigmoid`",),
    )


def _word(step: StepNode) -> str:
    """The first word of a step as it is written."""
    return ("inverse " if step.inverse else "") + step.label.partition("(")[0]


def _on(type_: Type, support: Support) -> Type:
    return replace(type_, support=support, aside=())


def _rounded(support: Support) -> str:
    return f"({support.low:.4g}, {support.high:.4g})"
