"""Nets that contract: chains of layers held to their norms; their Jacobians are carried along, or multiplied with.

``g = W_n a(… a(W_0 x + s) …)``: each W, a matrix or a convolution, is at most L^(1/n) in norm, and each activation,
with what a context does to it, has slopes of at most 1. Values and points are flat outside, (batch, d); inside, those
of a chain of convolutions are images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.core.types import Shape
from dgmspec.modules.nets import weights as layers
from dgmspec.modules.nets.activations import ACTIVATIONS
from dgmspec.modules.nets.slopes import WITH_SLOPE
from dgmspec.modules.norms import convolution_bound, norm_bound
from dgmspec.modules.twin import Parameters, flat_rows
from dgmspec.ops.nets.convolutional import images_and_conditions
from dgmspec.ops.residual import Residual

__all__ = ["Contraction", "Point", "contraction", "symbol"]

STEEPEST: Final[Mapping[str, float]] = {"silu": 1.1, "gelu": 1.13}
"""Upper bounds of the slopes that exceed 1: silu's largest is 1.0998, gelu's 1.1290."""

Film = tuple[Tensor, Tensor]


def symbol(kernel: int) -> str:
    """The name of the table of the frequencies of kernels of this side."""
    return f"symbol/{kernel}"


@dataclass(frozen=True)
class Contraction:
    """g at fixed weights and contexts. `bias` of the first layer comes with what the context adds to it; `film` has a
    factor and a shift for each hidden layer where the context acts there; `norm` is the product of the layers'."""

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    film: Sequence[Film]
    activation: str
    shape: Shape
    norm: Tensor

    def value(self, x: Tensor) -> Tensor:
        """g(x), (batch, d)."""
        act, scale, z = ACTIVATIONS[self.activation], self._scale, self._first(x)
        for i, (weight, bias) in enumerate(self._others):
            z = _through(scale * act(layers.modulated(z, self._film(i))), weight, bias)
        return _flat(z)

    def with_jacobian(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """g(x) and ∂g/∂x, (batch, d) and (batch, d, d)."""
        z = self._first(x)
        # (batch, d, units), so that each layer is one product for all rows.
        turned = self._columns(x).expand(x.shape[0], *(-1,) * z.dim())
        for i, (weight, bias) in enumerate(self._others):
            a, slope = self._acted(i, z)
            turned = (slope.unsqueeze(1) * turned).flatten(0, 1)
            turned = _through(turned, weight)
            turned = turned.reshape(*x.shape, *turned.shape[1:])
            z = _through(a, weight, bias)
        return _flat(z), turned.flatten(2).mT

    def at(self, x: Tensor) -> Point:
        """g at x with the factors of its Jacobian."""
        z, slopes = self._first(x), []
        for i, (weight, bias) in enumerate(self._others):
            a, slope = self._acted(i, z)
            slopes.append(slope)
            z = _through(a, weight, bias)
        return Point(_flat(z), list(self.weights), slopes, self.shape)

    @property
    def _others(self) -> list[tuple[Tensor, Tensor]]:
        return list(zip(self.weights[1:], self.biases[1:], strict=True))

    @property
    def _scale(self) -> float:
        return 1 / STEEPEST.get(self.activation, 1.0)

    def _film(self, i: int) -> Film | None:
        return self.film[i] if self.film else None

    def _first(self, x: Tensor) -> Tensor:
        x, bias = _opened(x, self.shape), self.biases[0]
        return _through(x, self.weights[0], bias) if bias.dim() == 1 else _through(x, self.weights[0]) + bias

    def _columns(self, x: Tensor) -> Tensor:
        """The first layer's columns: what it makes of each coordinate, (d, units)."""
        first = self.weights[0]
        if first.dim() == 2:
            return first.mT.contiguous()
        return _through(_opened(torch.eye(x.shape[1], dtype=x.dtype, device=x.device), self.shape), first)

    def _acted(self, i: int, z: Tensor) -> tuple[Tensor, Tensor]:
        """A hidden layer's units behind the activation, and their slopes."""
        film = self._film(i)
        a, slope = WITH_SLOPE[self.activation](layers.modulated(z, film))
        slope = self._scale * slope
        return self._scale * a, slope if film is None else slope * film[0]


class Point(NamedTuple):
    """g at x, and the factors of its Jacobian: weights and, between them, slopes (batch, *units)."""

    moved: Tensor
    weights: list[Tensor]
    slopes: list[Tensor]
    shape: Shape

    def ordered(self, rows: Tensor) -> Callable[[Tensor], Tensor]:
        """w -> wᵀ J, both (n, d), at the first n of `rows`."""
        slopes = [slope.index_select(0, rows) for slope in self.slopes]

        def left(w: Tensor) -> Tensor:
            w = _opened(w, self.shape)
            for weight, slope in zip(self.weights[:0:-1], slopes[::-1], strict=True):
                w = _back(w, weight).mul_(slope[: len(w)])
            return _flat(_back(w, self.weights[0]))

        return left

    def right(self, v: Tensor) -> Tensor:
        """J v, (batch, d)."""
        v = _through(_opened(v, self.shape), self.weights[0])
        for weight, slope in zip(self.weights[1:], self.slopes, strict=True):
            v = _through(v * slope, weight)
        return _flat(v)

    def still(self) -> Point:
        """The same without gradients to the factors."""
        return self._replace(weights=[w.detach() for w in self.weights], slopes=[s.detach() for s in self.slopes])


def contraction(op: Residual, p: Parameters, shape: Shape, c: Tensor | None) -> Contraction:
    """The net of `op` on events of this shape under a context as nets read it, its weights held to the bound."""
    net, channels = op.chain(), shape[0]
    names = ("0", *(link.name for link in net.links()))
    bound = op.lipschitz ** (1 / len(names))
    own = {name[len("net/") :]: value for name, value in p.items() if name.startswith("net/")}
    found, norm = [], own["0/weight"].new_ones(())
    for i, name in enumerate(names):
        weight = own[f"{name}/weight"]
        moved = weight[:, :channels] if i == 0 else weight
        size = _norm(moved, p)
        found.append(moved * (bound / size.clamp(min=bound)))
        norm = norm * size.detach().clamp(max=bound)
    biases = [own[f"{name}/bias"] for name in names]
    film: list[Film] = []
    if c is not None:
        if _reads(c, shape):
            beside = flat_rows(c) if len(shape) == 1 else c
            biases[0] = _through(beside, own["0/weight"][:, channels:], biases[0])
        else:
            film = [(_bounded(factor), shift) for factor, shift in layers.film(own, c.flatten(1), net.widths(), 0, 2)]
    return Contraction(found, biases, film, net.activation, shape, norm)


def _reads(c: Tensor, shape: Shape) -> bool:
    """Whether the first layer reads the context beside the event: vectors, and images of the event's size."""
    return len(shape) == 1 or len(images_and_conditions((shape, tuple(c.shape[1:])))[0]) == 2


def _bounded(factor: Tensor) -> Tensor:
    """The factors of a layer's channels, scaled down to at most 1 together."""
    return factor / factor.abs().amax(1, keepdim=True).clamp(min=1)


def _norm(weight: Tensor, p: Parameters) -> Tensor:
    """A number no smaller than the norm of a layer."""
    if weight.dim() == 2 or weight.shape[-1] == 1:
        return norm_bound(weight.flatten(1))
    return convolution_bound(weight, p[symbol(weight.shape[-1])])


def _through(z: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``W z + b``; a convolution has zeros beyond the border."""
    if weight.dim() == 2:
        return F.linear(z, weight, bias)
    return F.conv2d(z, weight, bias, padding=weight.shape[-1] // 2)


def _back(w: Tensor, weight: Tensor) -> Tensor:
    """``Wᵀ w``."""
    return w @ weight if weight.dim() == 2 else F.conv_transpose2d(w, weight, padding=weight.shape[-1] // 2)


def _opened(x: Tensor, shape: Shape) -> Tensor:
    return x if len(shape) == 1 else x.reshape(x.shape[0], *shape)


def _flat(z: Tensor) -> Tensor:
    return z if z.dim() == 2 else z.flatten(1)
