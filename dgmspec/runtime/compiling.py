"""The train step through torch.compile: the loss and its gradients as one graph, traced at the first step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.rundir import RunError

__all__ = ["OPTIONS", "compiled_step", "told"]

OPTIONS: dict[str, Any] = {}
"""What torch.compile is called with besides ``fullgraph``."""


def compiled_step(model: CompiledModel, processes: Processes) -> CompiledModel:
    """The model, its weights shared, whose loss and gradients run compiled."""
    if processes.sharding:
        raise RunError(
            "`compile = true` reads whole weights, which FSDP divides: launch without --use_fsdp, or drop it"
        )
    return model.compiled(**OPTIONS).train()


@contextmanager
def told() -> Iterator[None]:
    """Inside the block, what torch cannot compile ends the run with its reason: never is a step run uncompiled
    instead."""
    failures = import_module("torch._dynamo.exc")  # half a second, for runs that compile alone
    try:
        yield
    except failures.TorchDynamoException as error:
        inner = getattr(error, "inner_exception", error)
        reason = next((line.strip() for line in str(inner).splitlines() if line.strip()), type(inner).__name__)
        raise RunError(f"the train step cannot be compiled: {reason}; leave `compile = true` out") from error
