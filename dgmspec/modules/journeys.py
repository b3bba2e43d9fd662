"""A model's noising arrow with its parameters, and samplers from its end to its start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal, TypeVar

import torch
from torch import Tensor

from dgmspec.core.address import seed_of
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.parameters import Draw
from dgmspec.core.types import Type
from dgmspec.graph.graph import Graph, StepNode
from dgmspec.modules.initial import constrain
from dgmspec.modules.paths.denoiser import AnyDenoiser, denoiser, plan_of
from dgmspec.modules.paths.descent import Journey, Known
from dgmspec.modules.paths.process import process_of
from dgmspec.modules.paths.samplers import TWINS
from dgmspec.modules.paths.unsolved import Reversed
from dgmspec.modules.prepared import ANCHOR
from dgmspec.modules.randomness import BLOCK, draw_rows
from dgmspec.modules.registry import step_twin
from dgmspec.modules.runner import UnavailableError
from dgmspec.ops.paths.learned import AbstractLearnedPath
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.ops.paths.numbers import AbstractNumbered
from dgmspec.ops.paths.samplers import AbstractPathSampler, Ancestral, AnnealedLangevin, PfOde, ReverseSde
from dgmspec.ops.paths.unsolved import Unsolved

__all__ = ["Noise", "denoiser_of", "journey", "noising_step", "reversed_of", "settled", "times_of"]

Numbered = TypeVar("Numbered", bound=AbstractNumbered)


def noising_step(graph: Graph) -> StepNode | None:
    """The model's noising arrow, where it has exactly one."""
    found = [step for step in graph.steps.values() if isinstance(step.op, AbstractLearnedPath)]
    return found[0] if len(found) == 1 else None


def denoiser_of(node: StepNode, graph: Graph, values: Mapping[str, Tensor], given: Tensor | None = None) -> AnyDenoiser:
    """The arrow with the model's parameters; a context is (batch, *event)."""
    op, event, c, p = _parts(node, graph, values)
    assert isinstance(op, AbstractNoising)
    if op.learned:
        op = _settled(op, event, p)
    device = values[ANCHOR].device
    p |= {name: table.to(device) for name, table in _tables(op, event).items()}
    return denoiser(op, p, event, plan_of(op, event), given, c)


def settled(op: Numbered, p: Mapping[str, Tensor]) -> Numbered:
    """A law with its learned numbers as they are now."""
    return op.settled_at(
        {name: constrain(support, p[name].detach().double()).tolist() for name, support in op.supports()}
    )


def _settled(op: AbstractNoising, event: Type, p: Mapping[str, Tensor]) -> AbstractNoising:
    """The arrow with its learned numbers as they are now; UnavailableError where they make no path."""
    found = settled(op, p)
    try:
        found.path(event.shape)
    except Refusal as refusal:
        raise UnavailableError(f"with its numbers as they are now, the law is none: {refusal.message}") from None
    return found


def reversed_of(node: StepNode, graph: Graph, values: Mapping[str, Tensor], given: Tensor | None = None) -> Reversed:
    """The same of an arrow whose law has no formula."""
    op, event, c, p = _parts(node, graph, values)
    assert isinstance(op, Unsolved)
    return Reversed(op, p, event, process_of(op, event, sloped=True), given, c)


def _parts(
    node: StepNode, graph: Graph, values: Mapping[str, Tensor]
) -> tuple[AbstractLearnedPath, Type, Type | None, dict[str, Tensor]]:
    """An arrow's operation, the types of its event and its context, its parameters."""
    op, event, c = node.op, graph.type_of(node.source), None if node.context is None else graph.type_of(node.context)
    assert isinstance(op, AbstractLearnedPath) and isinstance(event, Type) and (c is None or isinstance(c, Type))
    return op, event, c, {spec.name: values[spec.key(node.address)] for spec in op.parameters(event, c)}


@lru_cache(maxsize=64)
def _tables(op: AbstractNoising, event: Type) -> dict[str, Tensor]:
    return step_twin(op).tables(op, event, None)


class Noise:
    """Standard normal (or uniform) rows, drawn step after step: by (seed, address, block of 256 sample indices), so
    that a sample is the same in any batch. `start` is the first index, or all of them."""

    def __init__(
        self,
        seed: int,
        name: str,
        start: int | Tensor,
        count: int,
        like: Tensor,
        shape: tuple[int, ...],
        law: Literal["normal", "uniform"] = "normal",
    ) -> None:
        index = start.cpu() if isinstance(start, Tensor) else torch.arange(start, start + count)
        blocks, place = torch.unique(index // BLOCK, return_inverse=True)
        seeds = [seed_of(seed, name, block) for block in blocks.tolist() or [0]]
        self.generators = [torch.Generator().manual_seed(own) for own in seeds]
        self.rows = place * BLOCK + index % BLOCK
        self.draw, self.like = Draw("noise", shape, law), like

    def __call__(self) -> Tensor:
        """The next draw, (count, *event)."""
        dtype, wide = self.like.dtype, torch.float64
        blocks = [draw_rows(self.draw, BLOCK, generator, dtype, wide) for generator in self.generators]
        joined = blocks[0] if len(blocks) == 1 else torch.cat(blocks)
        return joined[self.rows].to(self.like.device)


def times_of(op: AbstractPathSampler, net: AnyDenoiser) -> tuple[float, ...]:
    """The falling times of a sampler's grid."""
    path, start = net.path, net.op.start(net.event.shape)
    match op:
        case ReverseSde():
            return path.grid(op.steps, op.spacing, start, path.latest(start))
        case Ancestral():
            return path.grid(op.steps or (len(path.levels) or 500), op.spacing, start)
        case AnnealedLangevin():
            return path.grid(len(path.levels) or op.levels, "log_snr", start, path.latest(start))
        case PfOde():
            # Heun's rule needs the slopes at the end of time, which a path without signal there may not have.
            end = path.latest(start) if op.solver == "euler" else None
            return path.grid(op.steps, op.spacing or "log_snr", start, end)
    return path.grid(getattr(op, "steps", 50), getattr(op, "spacing", "uniform"), start)


def journey(
    op: AbstractPathSampler,
    net: AnyDenoiser,
    noise: Noise,
    x: Tensor,
    known: Known | None = None,
    told: Callable[[int], None] = lambda done: None,
    guidance: float = 0.0,
) -> Tensor:
    """Clean data from the values `x` at the end of time.

    Where the grid begins before it, at a time that leaves next to nothing of the data, noise may be smaller there: x is
    taken to that time as the noise that it is.
    """
    times = times_of(op, net)
    if times[0] < net.path.high:
        ends = net.at(torch.tensor([net.path.high, times[0]], dtype=torch.float64, device=x.device), x.dtype)
        x = ends.row(0).at_noise(x, ends.row(1))
    road = Journey(net, times, noise, x, known, told, guidance)
    return TWINS[type(op)](op, road, road.settle(x, 0))
