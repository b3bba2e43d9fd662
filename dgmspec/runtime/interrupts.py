"""A stop from outside, taken between two steps, so that what is saved is never half of an update."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

import torch
import torch.distributed as dist

from dgmspec.runtime.processes import Processes

__all__ = ["Interrupted", "Interrupts", "resumable"]

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What asks for a stop: ctrl-C, a system that shuts down or schedules, a terminal that is closed."""

ONE_REQUEST = 1.0
"""Seconds in which several signals are one request: a launcher passes on what its processes got from the terminal."""


class Interrupted(KeyboardInterrupt):
    """A run was stopped from outside; the message says where it stands and how to go on."""


@contextmanager
def resumable(resume: str) -> Iterator[None]:
    """Inside the block, a stop that nobody saved for goes on from the last checkpoint, as `resume` says."""
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt as stop:
        raise Interrupted(f"stopped; the last checkpoint is kept: {resume}") from stop


class Interrupts:
    """Inside the block, ctrl-C, SIGTERM and SIGHUP are kept until `check` raises `KeyboardInterrupt`.

    One that comes while another is kept does not wait: it raises at once, in the midst of a step, and `forced` says
    that what is in memory may be half of an update. Outside the main thread, where Python delivers no signals, the
    block changes nothing. Processes stop after the same step: each says at every step whether it was asked to, and
    hears one step later, without waiting, whether any was.
    """

    def __init__(self, processes: Processes | None = None) -> None:
        self.control = processes.control if processes else None
        self.asked = 0.0
        self.forced = False
        self._before: dict[int, Any] = {}
        self._told: tuple[torch.Tensor, Any] | None = None

    @property
    def pending(self) -> bool:
        """Whether this process was asked to stop."""
        return self.asked > 0

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS if not _spared(number)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.pending and now - self.asked > ONE_REQUEST:
            self.forced = True
            raise KeyboardInterrupt
        self.asked = self.asked or now

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if a stop was asked for."""
        if self.pending if self.control is None else self._anyone():
            raise KeyboardInterrupt

    def _anyone(self) -> bool:
        """Whether any process had been asked to stop one step ago."""
        stop = False
        if self._told is not None:
            flag, work = self._told
            work.wait()
            stop = bool(flag)
        if not stop:
            flag = torch.tensor(int(self.pending))
            self._told = flag, dist.all_reduce(flag, dist.ReduceOp.MAX, group=self.control, async_op=True)
        return stop


def _spared(number: int) -> bool:
    """Whether the caller asked to be spared a signal, as ``nohup`` does. Shells do so with ctrl-C for what runs in the
    background, which ``kill -INT`` shall still stop."""
    return number != signal.SIGINT and signal.getsignal(number) is signal.SIG_IGN
