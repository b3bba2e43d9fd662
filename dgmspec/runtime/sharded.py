"""A model divided among processes by torch's FSDP2, and its tensors: the part that is here, and the whole.

Imported where a run asks for it alone: torch's distributed tensors take 0.8 s to import.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

__all__ = ["assign", "gathered", "local", "unsynchronised", "whole", "wrap"]


def wrap(model: nn.Module, device: torch.device, count: int) -> nn.Module:
    """The model itself, each of its weights divided along its first dimension among `count` processes."""
    return cast(nn.Module, fully_shard(model, mesh=init_device_mesh(device.type, (count,))))


@contextmanager
def gathered(model: Any) -> Iterator[None]:
    """Inside the block every process has all of the weights."""
    model.unshard()
    try:
        yield
    finally:
        model.reshard()


@contextmanager
def unsynchronised(model: Any) -> Iterator[None]:
    """Inside the block backward passes add to the gradients without exchanging them."""
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)


def local(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor; changes to it are changes of the tensor."""
    return tensor._local_tensor if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor, like: Tensor) -> Tensor:
    """All of a tensor; one that is only this process's part of it is divided as `like` is."""
    if isinstance(like, DTensor) and not isinstance(tensor, DTensor) and tensor.dim():
        tensor = DTensor.from_local(tensor, like.device_mesh, like.placements, shape=like.shape, stride=like.stride())
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def assign(into: Tensor, value: Tensor, like: Tensor) -> None:
    """Copy a whole tensor into this process's part of it, which is divided as `like` is."""
    if isinstance(like, DTensor) and value.dim():
        moved = value.to(like.device, like.dtype)
        value = local(distribute_tensor(moved, like.device_mesh, like.placements))
    local(into).copy_(value)
