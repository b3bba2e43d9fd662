"""What a person sees while work goes on: loss, validation, rate and the time that remains."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

__all__ = ["Reporter", "rate", "show_progress"]

LINE_SECONDS = 10.0
"""Time between two lines where standard error is a file."""


class Reporter(Protocol):
    """Where long work says how far it is."""

    def advance(self, done: int, **figures: float) -> None:
        """`done` units are finished in all; figures such as ``loss`` replace the earlier ones of their name."""

    def say(self, text: str) -> None:
        """A line about something that happened on the way."""


class _Silent:
    def advance(self, done: int, **figures: float) -> None:
        return

    def say(self, text: str) -> None:
        return


class _Bar:
    """A bar on a terminal."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress = progress
        self.task = task
        self.figures: dict[str, float] = {}

    def advance(self, done: int, **figures: float) -> None:
        self.figures.update(figures)
        text = "  ".join(f"{name} {value:.4f}" for name, value in self.figures.items())
        speed = self.progress.tasks[self.task].speed
        said = f"{rate(speed)}/s" if speed else ""
        self.progress.update(self.task, completed=done, figures=text, rate=said)

    def say(self, text: str) -> None:
        self.progress.console.print(text, markup=False, highlight=False)


class _Lines:
    """A line now and then, and one for every validation: what a log file is read for."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total = label, total
        self.first: int | None = None
        self.began = self.written = time.monotonic()
        self.figures: dict[str, float] = {}

    def advance(self, done: int, **figures: float) -> None:
        self.first = done if self.first is None else self.first
        self.figures.update(figures)
        now = time.monotonic()
        if now - self.written < LINE_SECONDS and "validation" not in figures:
            return
        self.written = now
        speed = (done - self.first) / max(now - self.began, 1e-9)
        parts = [f"{self.label} {done:,}/{self.total:,}", *(f"{k} {v:.4f}" for k, v in self.figures.items())]
        if speed > 0:
            parts += [f"{rate(speed)}/s", f"{_time((self.total - done) / speed)} left"]
        self.say("  ".join(parts))

    def say(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


@contextmanager
def show_progress(label: str, total: int, visible: bool = True) -> Iterator[Reporter]:
    """Progress on standard error: a bar on a terminal, lines elsewhere and on one that cannot go back over what it
    shows, nothing where `visible` is false."""
    if not visible:
        yield _Silent()
        return
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield _Lines(label, total)
        return
    console = Console(stderr=True)
    with Progress(*_columns(console.width), console=console, transient=False) as progress:
        yield _Bar(progress, progress.add_task(label, total=total, figures="", rate=""))


def _columns(width: int) -> list[ProgressColumn]:
    """What a line of so many columns has room for: count and figures, then rate and remaining time, then a bar."""
    timed = [TextColumn("{task.fields[rate]}"), TimeRemainingColumn()] if width >= 72 else []
    bar = [BarColumn(bar_width=24 if width >= 100 else 8)] if width >= 80 else []
    return [
        TextColumn("{task.description}"),
        *bar,
        MofNCompleteColumn(),
        *timed,
        TextColumn("{task.fields[figures]}"),
    ]


def rate(value: float) -> str:
    """A number a second, never one that is rounded to nothing: ``1,200``, ``2.5``, ``0.013``."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _time(seconds: float) -> str:
    """``0:42``, ``3:07``, ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
