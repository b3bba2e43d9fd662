"""What nets are made of, in torch: products with the parameters under one name, normalisations, FiLM, attention."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.modules.twin import Parameters


def linear(p: Parameters, name: str, h: Tensor) -> Tensor:
    """``W h + b`` on the last dimension."""
    return F.linear(h, p[f"{name}/weight"], p[f"{name}/bias"])


def convolved(p: Parameters, name: str, h: Tensor, stride: int = 1) -> Tensor:
    """``W * h + b`` with an odd kernel and zeros beyond the border."""
    weight = p[f"{name}/weight"]
    return F.conv2d(h, weight, p[f"{name}/bias"], stride=stride, padding=weight.shape[-1] // 2)


def group_norm(p: Parameters, name: str, h: Tensor, groups: int) -> Tensor:
    """Each group of channels less its mean, over its deviation, in each image by itself."""
    return F.group_norm(h, groups, p[f"{name}/scale"], p[f"{name}/shift"])


def layer_norm(p: Parameters, name: str, h: Tensor) -> Tensor:
    """The last dimension less its mean, over its deviation."""
    return F.layer_norm(h, h.shape[-1:], p[f"{name}/scale"], p[f"{name}/shift"])


def film(p: Parameters, c: Tensor, widths: Sequence[int], before: int, behind: int) -> list[tuple[Tensor, Tensor]]:
    """The factor 1 + γ and the shift β of each conditioned layer, both (batch, *1, channels, *1) with so many ones."""
    numbers = linear(p, "film", c)
    parts = iter(torch.split(numbers, [width for each in widths for width in (each, each)], 1))
    shape = [(c.shape[0], *(1,) * before, width, *(1,) * behind) for width in widths]
    return [(1 + gamma.reshape(s), beta.reshape(s)) for s, gamma, beta in zip(shape, parts, parts, strict=True)]


def modulated(h: Tensor, by: tuple[Tensor, Tensor] | None) -> Tensor:
    """h times a factor plus a shift, where something conditions it."""
    return h if by is None else torch.addcmul(by[1], h, by[0])


def attended(p: Parameters, name: str, h: Tensor, heads: int, causal: bool = False) -> Tensor:
    """Multi-head attention of rows (batch, n, width) among themselves, to the rows before and itself where `causal`.

    Written out, so that it can be differentiated twice and forward, which fused kernels cannot.
    """
    q, k, v = attention_parts(p, name, h, heads)
    rows = h.shape[1]
    later = torch.ones(rows, rows, dtype=torch.bool, device=h.device).triu(1) if causal else None
    return attention(p, name, q, k, v, later)


def attention_parts(p: Parameters, name: str, h: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of rows (batch, n, width), each (batch, heads, n, width / heads)."""
    batch, rows, width = h.shape
    q, k, v = linear(p, f"{name}/qkv", h).reshape(batch, rows, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    return q, k, v


def attention(p: Parameters, name: str, q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None = None) -> Tensor:
    """What rows with queries q take from rows with keys k and values v, but where it is `hidden`: (batch, n, width)."""
    batch, heads, rows, size = q.shape
    scores = q @ k.mT * math.sqrt(1 / size)
    if hidden is not None:
        scores = scores.masked_fill(hidden, -math.inf)
    mixed = torch.softmax(scores, -1).to(v.dtype) @ v
    return linear(p, f"{name}/out", mixed.transpose(1, 2).reshape(batch, rows, heads * size))
