"""Randomness as an input: the draws a program asks for, made outside of it.

Two keyings, both on CPU generators:

- `noise_for` keys each *sample*: by (seed, address, block of 256 sample indices). Row i of a draw is the same whatever
  the batch split, the process, the device or the precision; any set of rows costs whole blocks.
- `step_noise` keys each *batch*: one generator per (seed, address, step). Training reads rows in random order, where
  whole blocks per row would cost 256 times the work; its draws belong to positions in the global batch, and a process
  takes its own rows of them.

Uniform draws lie in the open interval (0, 1), in the precision asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from dgmspec.core.address import seed_of
from dgmspec.core.parameters import Draw
from dgmspec.program.program import Program, ProgramInput

__all__ = ["BLOCK", "draw_rows", "fresh_seed", "noise_for", "step_noise"]

BLOCK = 256

Device = torch.device | str


def fresh_seed() -> int:
    """A seed from torch's global generator, for calls that name none."""
    return int(torch.randint(2**62, (), dtype=torch.int64))


def noise_for(
    program: Program,
    rows: tuple[int, int] | Tensor,
    seed: int,
    dtype: torch.dtype | None = None,
    device: Device = "cpu",
    again: int = 0,
) -> dict[str, Tensor]:
    """Per-sample draws by the name of the program's input: `rows` is (start, count) or a vector of sample indices.

    `again` = 1, 2, … gives further draws of the same samples, independent of the first.
    """
    dtype = dtype or torch.get_default_dtype()
    if again:
        seed = seed_of(seed, "again", again)
    return {i.name: _rows(i, rows, seed, dtype).to(device) for i in program.draws}


def step_noise(
    program: Program,
    count: int,
    seed: int,
    step: int,
    dtype: torch.dtype | None = None,
    device: Device = "cpu",
    start: int = 0,
) -> dict[str, Tensor]:
    """Draws for rows start..start+count-1 of the global batch of training step `step`."""
    dtype = dtype or torch.get_default_dtype()
    found = {}
    # Torch draws normals in runs of 16, so a row is the same however many follow only if whole runs are drawn.
    rows = -(-(start + count) // 16) * 16
    for entry, draw in _draws(program.draws):
        generator = torch.Generator().manual_seed(seed_of(seed, entry.name, -1, step))
        if draw.shared:
            found[entry.name] = draw_rows(draw, 1, generator, dtype)[0].to(device)
        else:
            found[entry.name] = draw_rows(draw, rows, generator, dtype)[start : start + count].to(device)
    return found


def _rows(entry: ProgramInput, rows: tuple[int, int] | Tensor, seed: int, dtype: torch.dtype) -> Tensor:
    """The rows of one draw, whole blocks made and cut."""
    assert entry.draw is not None
    if entry.draw.shared:
        return _block(entry, 0, seed, dtype, 1)[0]
    if isinstance(rows, Tensor):
        return _scattered(entry, rows.cpu(), seed, dtype)
    start, count = rows
    first, last = start // BLOCK, (start + max(count, 1) - 1) // BLOCK
    blocks = [_block(entry, index, seed, dtype) for index in range(first, last + 1)]
    joined = blocks[0] if len(blocks) == 1 else torch.cat(blocks)
    return joined[start - first * BLOCK :][:count]


def _scattered(entry: ProgramInput, rows: Tensor, seed: int, dtype: torch.dtype) -> Tensor:
    numbers, place = torch.unique(rows // BLOCK, return_inverse=True)
    if not len(numbers):
        return _block(entry, 0, seed, dtype)[:0]
    blocks = torch.stack([_block(entry, int(index), seed, dtype) for index in numbers])
    return blocks[place, rows % BLOCK]


def _block(entry: ProgramInput, index: int, seed: int, dtype: torch.dtype, rows: int = BLOCK) -> Tensor:
    """One block of rows, drawn in float64 whatever the precision asked for."""
    assert entry.draw is not None
    generator = torch.Generator().manual_seed(seed_of(seed, entry.name, index))
    return draw_rows(entry.draw, rows, generator, dtype, torch.float64)


def _draws(inputs: Iterable[ProgramInput]) -> list[tuple[ProgramInput, Draw]]:
    return [(i, i.draw) for i in inputs if i.draw is not None]


def draw_rows(
    draw: Draw, count: int, generator: torch.Generator, dtype: torch.dtype, drawn: torch.dtype | None = None
) -> Tensor:
    """`count` rows of a law: (count, *shape)."""
    shape = (count, *draw.shape)
    wide = drawn or (dtype if dtype in (torch.float32, torch.float64) else torch.float32)
    match draw.law:
        case "uniform":
            info = torch.finfo(dtype)
            u = torch.rand(shape, generator=generator, dtype=wide).to(dtype)
            return u.clamp_(info.tiny, 1 - info.eps / 2)
        case "normal":
            return torch.randn(shape, generator=generator, dtype=wide).to(dtype)
        case "rademacher":
            signs = torch.randint(0, 2, shape, generator=generator, dtype=torch.int8)
            return (2 * signs - 1).to(dtype)
        case "exponential":
            return torch.empty(shape, dtype=wide).exponential_(generator=generator).to(dtype)
        case "gamma":
            concentration = torch.full(shape, draw.parameter, dtype=wide)
            return torch._standard_gamma(concentration, generator=generator).to(dtype)
        case "von_mises":
            key = int(torch.randint(2**62, (), generator=generator))
            angles = np.random.Generator(np.random.Philox(key)).vonmises(0.0, draw.parameter, shape)
            return torch.from_numpy(angles).to(dtype)
