"""Every operation of the library in a small model of its own, made from the operation's own examples.

`steps` gives the (example, types around it, context or none) that the checker accepts; the law tests run over them,
so a new operation is under every law as soon as it has examples. No operation is named here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

import dgmspec
from dgmspec.core.diagnostics import has_errors
from dgmspec.core.types import Type
from dgmspec.graph.infer import arriving
from dgmspec.modules.compiled import CompiledModel
from dgmspec.ops import library

TYPES = (
    "real[4]", "real[2, 2, 2]", "real[2, 4, 4]", "real", "unit[3]", "positive[3]", "interval(0, 17)[3]",
    "interval(-1, 1)[4]", "integer(0..16)[3]", "real[2]", "real[1]", "circle[3]", "category(3)[2]",
    "category(5)[1, 2, 2]",
)  # fmt: skip
"""Types tried in front of every example: the first two that it accepts are used."""

WRAPPERS = {
    "scalar": (
        "elementwise({})",
        "coupling({}, mask = half, net = mlp(8))",
        "autoregressive({}, net = made(8))",
    ),
    "net": (
        "coupling(affine, mask = half, net = {})",
        "coupling(affine, mask = checkerboard(0), net = {})",
        "autoregressive(affine, net = {})",
    ),
    "mask": ("coupling(affine, mask = {}, net = mlp(8))",),
    "order": (
        "autoregressive(affine, order = {}, net = made(8))",
        "autoregressive(affine, order = {}, net = masked_conv(4))",
    ),
    "permutation": ("permute({})",),
    "linear_form": ("linear({})",),
    "dequantizer": ("dequantize({})",),
    "step": ("{}", "inverse {}"),
}
"""How an example of each role becomes a step."""


@dataclass(frozen=True)
class Case:
    """One step text behind one type, with a context `c : real[2]` or without."""

    step: str
    before: str
    after: str
    context: bool

    def __str__(self) -> str:
        return f"{self.before} | {self.step}" + (" | c" if self.context else "")

    @property
    def text(self) -> str:
        """The model of the step alone."""
        given, bar = ("    given c : real[2]\n", " | c") if self.context else ("", "")
        flow = f"    flow x -> z{bar} {{ {self.step} }}\n"
        return f"dgm 1\nmodel M {{\n    observe x : {self.before}\n{given}    latent z : {self.after}[*]\n{flow}}}\n"

    def compile(self, seed: int = 0) -> CompiledModel:
        """The model in float64, its parameters drawn away from their initial values."""
        model = dgmspec.compile(dgmspec.parse(self.text), seed=seed, dtype=torch.float64)
        randomise(model, seed)
        return model.eval()


def small(spec: dgmspec.Spec, depth: int = 2) -> dgmspec.Spec:
    """A shipped spec with fewer layers, smaller images and narrower nets, where it has params for them."""
    sizes = {"depth": depth, "side": 8, "width": 16, "base": 4, "T": 25, "stops": 20, "columns": 4}
    sizes |= {"steps": 1} if depth == 1 else {}
    return spec.with_params(**{name: value for name, value in sizes.items() if name in spec.params})


def noises(path: Path) -> bool:
    """Whether a shipped spec has a noising arrow, whose flow is dear to run and has tests of its own."""
    return any(line.split()[:1] in (["sde"], ["markov"], ["perturb"]) for line in path.read_text().splitlines())


def randomise(model: CompiledModel, seed: int = 0, scale: float = 0.3) -> None:
    """Move every parameter by N(0, scale²), where its mask lets it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            step = scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            mask = model.mask_of(name)
            parameter += (step if mask is None else step * mask).to(parameter.dtype)


@cache
def steps() -> tuple[Case, ...]:
    """All cases that the checker accepts: each step behind a type, behind two where it stands by itself, and behind
    one with a context."""
    found: list[Case] = []
    for step in dict.fromkeys(step_texts()):
        conditioned = step.startswith(("elementwise", "coupling", "autoregressive"))
        alone = list(islice(_accepted(step, TYPES), 1 if conditioned else 2))
        found += alone
        found += list(islice(_accepted(step, [case.before for case in alone], context=True), 1))
    return tuple(found)


def step_texts() -> list[str]:
    """Every example of the library as a step, whatever it may follow."""
    texts: list[str] = []
    for cls in library():
        for wrapper in WRAPPERS.get(cls.role, ()):
            texts += [wrapper.format(example) for example in cls.examples]
    return texts


def _accepted(step: str, types: Iterable[str], context: bool = False) -> Iterator[Case]:
    """The step behind every type that the checker lets it follow, before the support that it gives."""
    for before in types:
        case = Case(step, before, before.partition("[")[0], context)
        found = dgmspec.diagnose(case.text)
        if not has_errors(found.diagnostics):
            yield case
            continue
        graph = found.graphs.get("M")
        given = arriving(graph, next(iter(graph.steps.values()))) if graph and graph.steps else None
        if given is not None and str(given.support) != case.after:  # else it may not stand here at all
            case = replace(case, after=str(given.support))
            if not has_errors(dgmspec.diagnose(case.text).diagnostics):
                yield case


def draw_event(type_: Type, batch: int, seed: int = 0, spread: float = 1.5) -> Tensor:
    """Points inside a support, float64, (batch, *event)."""
    generator = torch.Generator().manual_seed(seed)
    normal = spread * torch.randn(batch, *type_.shape, generator=generator, dtype=torch.float64)
    low, high = type_.support.low, type_.support.high
    if not type_.support.continuous:
        return torch.randint(int(low), int(high) + 1, normal.shape, generator=generator).double()
    if math.isinf(low) and math.isinf(high):
        return normal
    if math.isinf(high):
        return low + normal.exp()
    if math.isinf(low):
        return high - normal.exp()
    return low + (high - low) * torch.sigmoid(normal)
