"""Ours: the spec compiled, run by the interpreter, through torch.compile, or frozen."""

from __future__ import annotations

import torch
from torch import Tensor

import dgmspec
from bench.adapters.base import Flow, Layer
from bench.workloads import Workload
from dgmspec.modules.compiled import CompiledModel

__all__ = ["build", "flow_of", "layers_of", "randomise", "shrink"]


def build(workload: Workload, dtype: torch.dtype = torch.float32) -> CompiledModel:
    """The compiled model of a workload."""
    return dgmspec.compile(dgmspec.parse(workload.text), dtype=dtype)


def flow_of(model: CompiledModel) -> Flow:
    """A model (eager, compiled or frozen) as the adapters give flows."""
    held = [model.mask_of(name) for name, _ in model.named_parameters() if name.endswith(("/lower", "/upper"))]
    unused = sum(int((~mask).sum()) for mask in held if mask is not None)
    return Flow(model, model.log_prob, model.sample, unused=unused, pull=model.pull)


@torch.no_grad()
def randomise(model: CompiledModel, scale: float) -> None:
    """Move every number that is free by N(0, scale²): a flow at its start is the identity, which proves nothing."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        step = scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter.dtype)
        mask = model.mask_of(name)
        parameter += step if mask is None else step * mask


@torch.no_grad()
def shrink(model: CompiledModel, factor: float) -> None:
    """Make every number smaller, so that no norm of a residual net reaches its bound."""
    for parameter in model.parameters():
        parameter *= factor


def layers_of(model: CompiledModel) -> list[Layer]:
    """The numbers of a model, layer by layer."""
    state = model.state_dict()
    found: list[Layer] = []
    rest: dict[str, Tensor] = {}
    for address, step in model.graph.steps.items():
        own = {key.removeprefix(f"{address}/"): value for key, value in state.items() if key.startswith(f"{address}/")}
        if "net/0/weight" in own:
            net = tuple((own[f"net/{i}/weight"], own[f"net/{i}/bias"]) for i in range(3))
            found.append(Layer(net, rest))
            rest = {}
        elif own:
            rest |= own
            form = getattr(step.op, "form", None)
            if form is not None:
                rest["source"] = torch.tensor(form.source(own["log_diagonal"].shape[0]))
    return found
