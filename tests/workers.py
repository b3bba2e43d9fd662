"""Command lines in processes of their own that need not import torch again: forked from a server that has.

A worker is a real process: it can be killed, and several can train together.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
LATE = ("dgmspec.runtime.gallery", "matplotlib.backends.backend_agg", "torch._dynamo")
"""What every training imports on its way."""
SERVER.set_forkserver_preload(
    ["dgmspec.cli", "dgmspec.console", "dgmspec.runtime.train", "dgmspec.runtime.sample", *LATE]
)


def start(
    log: Path, *arguments: str | Path, often: bool = False, environment: Mapping[str, str] | None = None
) -> BaseProcess:
    """Run ``dgmspec ARGUMENTS`` in a worker whose output goes to `log`; `often` has it save at every reading."""
    process = SERVER.Process(target=_work, args=(log, tuple(map(str, arguments)), often, dict(environment or {})))
    process.start()
    return process


def finish(process: BaseProcess, log: Path, code: int = 0, seconds: float = 300) -> str:
    """Wait for a worker, which must end with `code`; returns what it printed."""
    process.join(seconds)
    text = log.read_text() if log.exists() else ""
    assert process.exitcode == code, f"{process.exitcode}\n{text}"
    return text


def until(process: BaseProcess, done: Callable[[], bool]) -> None:
    """Wait for something, or for the end of the process."""
    while process.is_alive() and not done():
        time.sleep(0.0005)


def together(count: int) -> list[dict[str, str]]:
    """What a launcher tells `count` processes of one group on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return [
        {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        for rank in range(count)
    ]


def _work(log: Path, arguments: tuple[str, ...], often: bool, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    import torch

    from dgmspec.cli import run
    from dgmspec.runtime import loop

    torch.set_num_threads(1)
    if often:
        loop.SAVE_SECONDS = 0.0
    with log.open("w", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        code = run(list(arguments))
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
