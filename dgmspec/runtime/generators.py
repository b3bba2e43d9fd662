"""Torch's global generators, which dropout draws from: kept apart from the caller's, saved and put back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["generator_states", "own_generator", "set_generators"]


@contextmanager
def own_generator(device: torch.device) -> Iterator[None]:
    """Whatever is drawn inside the block, the global generators are left as they were found."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """The states of the generators that a step on `device` may use."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_generators(states: Mapping[str, Tensor]) -> None:
    """Put saved states back; a state of a device that is not here is left out."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
