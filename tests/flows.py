"""Flows made of step texts: the model around them, with a prior where their image ends."""

from __future__ import annotations

from collections.abc import Sequence

import torch

import dgmspec
from dgmspec.core.diagnostics import Refusal, has_errors
from dgmspec.core.types import UNKNOWN, Type
from dgmspec.graph.graph import Graph
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.randomness import noise_for
from tests.zoo import randomise

PRIORS = {
    "real": "normal(0, 1)",
    "positive": "gamma(2, 1)",
    "unit": "beta(2, 3)",
    "interval(-1, 1)": "uniform(-1, 1)",
    "interval(0, 17)": "uniform(0, 17)",
    "circle": "von_mises(0.5, 2)",
}
"""A law for every support that the library's examples give."""


def flow(before: str, steps: Sequence[str], context: bool = False) -> str | None:
    """The text of a model `before` -> z through the steps, z with a prior on their exact image; None where the steps
    cannot follow each other there. With `context` a `given c : real[2]` reaches every conditioner."""
    draft = _text(before, "real[*]", steps, context)
    graph = dgmspec.diagnose(draft).graphs.get("M")
    if graph is None or not graph.complete:
        return None
    image = _image(graph)
    if image is None or str(image.support) not in PRIORS:
        return None
    support = str(image.support)
    text = _text(before, f"{support}[*] ~ {PRIORS[support]}", steps, context)
    return None if has_errors(dgmspec.diagnose(text).diagnostics) else text


def _image(graph: Graph) -> Type | None:
    """The type after the last step, whatever is declared there."""
    (arrow,) = graph.arrows.values()
    last = graph.steps[arrow.steps[-1]]
    before, context = (graph.type_of(v) if v else None for v in (last.source, last.context))
    if not isinstance(before, Type) or context is UNKNOWN:
        return None
    try:
        return (last.op.infer_input if last.inverse else last.op.infer_type)(before, context)
    except Refusal:
        return None


def _text(before: str, after: str, steps: Sequence[str], context: bool) -> str:
    given, bar = ("    given c : real[2]\n", " | c") if context else ("", "")
    body = "".join(f"        {step}\n" for step in steps)
    arrow = f"    flow x -> z{bar} {{\n{body}    }}\n"
    return f"dgm 1\nmodel M {{\n    observe x : {before}\n{given}    latent z : {after}\n{arrow}}}\n"


def compiled(text: str, seed: int = 0, scale: float = 0.3, **options: object) -> CompiledModel:
    """The model of a text in float64, its parameters moved by N(0, scale²) from their initial values."""
    model = dgmspec.compile(dgmspec.parse(text), seed=seed, dtype=torch.float64, **options)
    randomise(model, seed, scale)
    return model.eval()


def share_inside(model: CompiledModel, count: int = 40_000) -> float:
    """Which share of a model's draws lies inside the support of x, none of them drawn again, under contexts of 0.7."""
    program = model.program("sample")
    noise = noise_for(program, (0, count), 1, model.dtype)
    given = {name: torch.full((count, *type_.shape), 0.7, dtype=model.dtype) for name, type_ in model.givens.items()}
    with torch.no_grad():
        drawn = model.run("sample", given | noise)["x"].reshape(count, -1)
    support = model.observed["x"].support
    return float(((drawn > support.low) & (drawn < support.high)).all(1).double().mean())
