"""Networks of the user's own inside a velocity: run with the weights that a solve holds, and tried when handed over."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dgmspec.core.types import Shape

__all__ = ["run", "tried"]


def run(name: str, module: nn.Module, weights: Mapping[str, Tensor], inputs: Sequence[Tensor], shape: Shape) -> Tensor:
    """The module's value, (batch, *shape), with these weights in the place of its own."""
    out: Tensor = functional_call(module, dict(weights), tuple(inputs))
    return checked(name, out, (inputs[0].shape[0], *shape))


def checked(name: str, out: Tensor, expected: tuple[int, ...]) -> Tensor:
    """A module's result; a mistake of the user's where it has another shape."""
    if out.shape != expected:
        raise ValueError(f"external net `{name}`: expected a result of shape {expected}, got {tuple(out.shape)}")
    return out


@torch.no_grad()
def tried(name: str, module: nn.Module, inputs: Sequence[Tensor], shape: Shape) -> None:
    """Refuse a module that is no function of a row in training: of another shape, random, or of its batch mates.

    A copy is run, so that no state of the module's changes. `inputs` are of three rows or more.
    """
    own = copy.deepcopy(module).train()
    with torch.random.fork_rng(devices=[inputs[0].device] if inputs[0].is_cuda else []):
        first, again, fewer = (_tried(name, own, rows) for rows in (inputs, inputs, [v[:2] for v in inputs]))
    checked(name, first, (inputs[0].shape[0], *shape))
    if not torch.equal(first, again):
        raise ValueError(
            f"external net `{name}` gives another value when it is evaluated again in training (does it drop units?), "
            "so that no one equation would be solved"
        )
    if not torch.allclose(first[:2], fewer, rtol=1e-3, atol=1e-5):
        raise ValueError(
            f"external net `{name}` gives a row another value beside other rows in training (does it normalise over "
            "the batch?), so that its trace would not be that of one state"
        )


def _tried(name: str, module: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Tensor:
    try:
        return module(*inputs)
    except Exception as error:
        shapes = ", ".join(str(tuple(v.shape)) for v in inputs)
        raise ValueError(f"external net `{name}` fails on inputs of the shapes {shapes}: {error}") from error
