"""What an adapter gives, and the numbers that are exchanged to see whether two libraries compute the same density."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from bench.workloads import Workload

__all__ = ["Flow", "Layer", "copy_net", "embed", "halves", "mlp", "rows"]


@dataclass(frozen=True)
class Layer:
    """The numbers of one layer, in our layout: net output k·n + i is parameter k of coordinate i.

    `net` holds (weight, bias) pairs. A ``glow`` layer has `rest` besides: ``log_scale``, ``shift``, ``lower``,
    ``upper``, ``log_diagonal`` and ``source`` (the permutation after the triangular factors).
    """

    net: tuple[tuple[Tensor, Tensor], ...]
    rest: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Flow:
    """A library's model: log-densities (batch,) of events (batch, size), and samples.

    `load` puts our numbers into it, or is None where the library's form of the map is another. `order` lists our
    coordinates in the order in which the library has them. `unused` counts zeros of triangular matrices that are stored
    as parameters. `pull` is the negative mean log-density with its gradients added to ``grad``, where the library has
    such a call.
    """

    module: nn.Module
    log_prob: Callable[[Tensor], Tensor]
    sample: Callable[[int], Tensor]
    load: Callable[[Sequence[Layer]], None] | None = None
    order: Sequence[int] | None = None
    unused: int = 0
    pull: Callable[[Tensor], Tensor] | None = None

    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.module.parameters() if p.requires_grad) - self.unused


def mlp(workload: Workload, inputs: int, outputs: int) -> nn.Sequential:
    """Two hidden layers of rectified units, as every library builds them."""
    widths = (inputs, workload.hidden, workload.hidden, outputs)
    layers = [part for before, after in pairwise(widths) for part in (nn.Linear(before, after), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def halves(size: int, first: int) -> list[int]:
    """Coordinates of parity `first`, then the others: alternating masks for a library that divides in the middle."""
    return [*range(first, size, 2), *range(1 - first, size, 2)]


def linears(net: nn.Module) -> list[Any]:
    """The linear layers of a net, in order."""
    return [m for m in net.modules() if isinstance(getattr(m, "weight", None), Tensor)]


def rows(raw: int, count: int, of: Sequence[int] | None = None, flipped: bool = False) -> list[int]:
    """Our output rows in the order of a library that gives all parameters of a coordinate together.

    Its parameter j is our parameter ``of[j]``; where `flipped`, its coordinates run backwards.
    """
    coordinates = range(count)[::-1] if flipped else range(count)
    return [k * count + i for i in coordinates for k in (of or range(raw))]


@torch.no_grad()
def copy_net(net: nn.Module, layer: Layer, order: Sequence[int]) -> None:
    """Our net's numbers with the last layer's rows in `order`."""
    found = linears(net)
    for linear, (weight, bias) in zip(found, layer.net, strict=True):
        last = linear is found[-1]
        linear.weight.copy_(weight[list(order)] if last else weight)
        linear.bias.copy_(bias[list(order)] if last else bias)


# ---- masked nets ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def embed(net: nn.Module, layer: Layer, order: Sequence[int], flipped: bool = False) -> None:
    """Our small masked net inside a library's wider one, whose masks differ but allow the same connections.

    A unit of ours takes a unit of the library that may read the same coordinates; the units left over feed nothing.
    `order` is that of the output rows; `flipped` says that the library's coordinates run backwards here.
    """
    found, hidden = linears(net), len(layer.net) - 1
    columns = list(range(layer.net[0][0].shape[1]))[:: -1 if flipped else 1]
    ours = [_reads([w for w, _ in layer.net[: i + 1]]) for i in range(hidden)]
    theirs = [_reads([m.mask for m in found[: i + 1]])[:, columns] for i in range(hidden)]
    for i, (linear, (weight, bias)) in enumerate(zip(found, layer.net, strict=True)):
        if i == hidden:
            places, weight, bias = list(range(len(weight))), weight[list(order)], bias[list(order)]
        else:
            places = _places(ours[i], theirs[i])
        wide, shifts = torch.zeros_like(linear.weight), torch.zeros_like(linear.bias)
        wide[torch.tensor(places)[:, None], torch.tensor(columns)] = weight
        shifts[places] = bias
        assert not wide[linear.mask == 0].any(), "the library's masks forbid a connection of ours"
        linear.weight.copy_(wide)
        linear.bias.copy_(shifts)
        columns = places


def _reads(weights: Sequence[Tensor]) -> Tensor:
    """Which inputs (columns) reach which units (rows) through layers whose connections are non-zero."""
    reach = (weights[0] != 0).double()
    for weight in weights[1:]:
        reach = (((weight != 0).double() @ reach) > 0).double()
    return reach > 0


def _places(ours: Tensor, theirs: Tensor) -> list[int]:
    """For each unit of ours a unit of theirs that reads the same inputs, each once."""
    free: dict[tuple[bool, ...], list[int]] = {}
    for index, row in enumerate(theirs.tolist()):
        free.setdefault(tuple(row), []).append(index)
    return [free[tuple(row)].pop() for row in ours.tolist()]
