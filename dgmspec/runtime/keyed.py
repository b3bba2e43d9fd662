"""Random draws that depend on what they are for, and on nothing else."""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["keyed_generator"]


def keyed_generator(purpose: str, seed: int, counter: int) -> np.random.Generator:
    """The generator of one piece of work: equal for equal (purpose, seed, counter), independent otherwise.

    Philox is counter based: the key holds the seed and a checksum of the purpose, the counter (an epoch, a block of
    rows) stands in the highest word, so that no draw under one counter can run into those of the next.
    """
    key = np.array([seed % 2**64, zlib.crc32(purpose.encode())], dtype=np.uint64)
    place = np.array([0, 0, 0, counter], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=place))
