"""Samples inside the data's support: what a flow puts outside, the mass that its bound leaves out, is drawn again.

What comes back from beyond a part (see `graph.parts`) lies outside the support or is no number; both count as outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.runner import UnavailableError
from dgmspec.modules.twin import flat_rows

__all__ = ["ROUNDS", "OutsideError", "outside", "redrawn"]

ROUNDS: Final = 200
"""How often a sample is drawn before that is an error."""

HOPELESS: Final = 2_000
"""Draws of which none falls inside, after which it is one already: `ROUNDS` of them would not do."""

Samples = dict[str, Tensor]
Draw = Callable[[Tensor, int], Samples]
"""(which rows, the round) -> these rows drawn again."""


class OutsideError(UnavailableError):
    """So little of the model's mass lies inside the support of the data that samples cannot be drawn by trial."""


def redrawn(found: Samples, types: Mapping[str, Type], draw: Draw) -> Samples:
    """The samples `found`, (rows, *event) each, with those outside replaced."""
    rows = draws = len(next(iter(found.values())))
    for again in range(1, ROUNDS):
        left = outside(found, types).nonzero().squeeze(1)
        if not len(left):
            return found
        if len(left) == rows and draws >= HOPELESS:
            break
        fresh = draw(left, again)
        found = {name: value.index_copy(0, left, fresh[name]) for name, value in found.items()}
        draws += len(left)
    inside = rows - int(outside(found, types).sum())
    if inside == rows:
        return found
    raise OutsideError(
        f"of {draws:,} draws {inside:,} fell inside the support of the data, too few for {rows:,} samples: the density "
        "leaves out most of the model's mass; train it further, or leave less outside, by a smaller `alpha`"
    )


def outside(found: Samples, types: Mapping[str, Type]) -> Tensor:
    """Which rows have a coordinate outside its variable's support, (rows,)."""
    rows = [
        ~flat_rows((value >= types[name].support.low) & (value <= types[name].support.high)).all(1)
        for name, value in found.items()
    ]
    return torch.stack(rows).any(0)
