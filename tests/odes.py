"""Models of one `ode` arrow, for tests."""

from __future__ import annotations

import torch
from torch import Tensor

import dgmspec
from dgmspec.modules.compiled import CompiledModel
from tests.zoo import randomise

DOUBLE = torch.float64


def ode(
    *body: str, size: int = 2, over: str = "t in 0..1", members: str = "", context: str = "", loss: str = "nll"
) -> str:
    """A whole file: x -> z by an ode of these statements."""
    lines = "; ".join(body)
    bar = f" | {context}" if context else ""
    return (
        f"dgm 1\nmodel M {{\n    {members}\n    observe x : real[{size}]\n    latent z : real[{size}] ~ normal(0, 1)\n"
        f"    ode x -> z{bar} over {over} {{ {lines} }}\n    loss = {loss}\n}}\n"
    )


def compiled(text: str, scale: float = 0.3, seed: int = 0) -> CompiledModel:
    """The model in float64, its parameters moved at random."""
    model = dgmspec.compile(dgmspec.parse(text), dtype=DOUBLE, seed=seed)
    randomise(model, seed, scale)
    return model


def points(rows: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, size, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
