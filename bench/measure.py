"""Times that stand comparison: every case in turn in one process, round after round, so that whatever else the machine
does falls on all of them alike; and ratios with a bound that assumes nothing about how times are distributed."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

__all__ = ["Ratio", "Times", "hold_memory", "interleaved", "paired"]

Case = Callable[[], object]
LARGEST_HELD = 31 << 20
"""Bytes of a block just below the size from which glibc never keeps one (mallopt(3), M_MMAP_THRESHOLD)."""
LONG_ENOUGH = 0.02
"""Seconds that one reading takes at least: shorter cases are repeated within a reading."""


@dataclass(frozen=True)
class Times:
    """Seconds a call, one reading a round."""

    readings: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.readings)


@dataclass(frozen=True)
class Ratio:
    """The median of paired ratios, and the interval that contains it with at least 95 %."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def hold_memory() -> None:
    """Free one large block that nobody touched: glibc from then on keeps what is freed, for every library alike.

    Otherwise it depends on all that ran before in the process whether a step's memory is given back to the system and
    faulted in again at the next step, which costs up to a tenth of a step.
    """
    torch.empty(LARGEST_HELD, dtype=torch.uint8)


def interleaved(cases: Mapping[str, Case], rounds: int) -> dict[str, Times]:
    """The CPU time of each case; one warm-up call each, then `rounds` rounds over all cases."""
    counts = {name: _count(case) for name, case in cases.items()}
    readings: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            start = _now()
            for _ in range(counts[name]):
                case()
            readings[name].append((_now() - start) / counts[name])
    return {name: Times(tuple(found)) for name, found in readings.items()}


def paired(others: Times, ours: Times) -> Ratio:
    """How many times faster ours is, round by round.

    The interval is that of the sign test: the order statistics between which the median lies with at least 95 %.
    """
    ratios = sorted(other / mine for other, mine in zip(others.readings, ours.readings, strict=True))
    n, below, tail = len(ratios), 0, 0.5 ** len(ratios)
    while tail + math.comb(n, below + 1) * 0.5**n <= 0.025:
        below += 1
        tail += math.comb(n, below) * 0.5**n
    return Ratio(statistics.median(ratios), ratios[below], ratios[n - 1 - below])


def _count(case: Case) -> int:
    """Repetitions in a reading, from the second call on: the first may compile or fill caches."""
    case()
    start = _now()
    case()
    return max(1, math.ceil(LONG_ENOUGH / max(_now() - start, 1e-6)))


def _now() -> float:
    """CPU time of this process where torch has one thread, which other processes do not disturb; else wall time."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()
