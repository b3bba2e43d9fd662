"""Torch's global generators, which dropout draws from: kept apart from the caller's, and seeded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["own_generator", "seed_generators"]


@contextmanager
def own_generator(device: torch.device) -> Iterator[None]:
    """Whatever is drawn inside the block, the global generators are left as they were found."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the generators that a step on `device` may use; a hundredth of the cost of torch.manual_seed."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
