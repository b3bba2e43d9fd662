"""The processes of a run: one, or those that `accelerate launch` or torchrun started; what they share and settle.

Each process takes a run of consecutive rows of every global batch, so that row i draws the same numbers however many
processes there are. What decides how a run goes on (stopping, saving, the best validation) is settled by the first
process, or by all at the same step. Under ``accelerate launch --use_fsdp`` the weights, their gradients and the
optimiser's state are divided among the processes.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from importlib import import_module
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from dgmspec.core.losses import AbstractScoreLoss
from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.rundir import RunError, ToldError

__all__ = ["Processes"]

T = TypeVar("T")
Array = NDArray[np.float64]


@cache
def _control_group() -> Any:
    """The group in which processes talk on the host; at exit all groups are closed."""
    atexit.register(dist.destroy_process_group)
    return dist.new_group(backend="gloo")


class Processes:
    """This process among those of the run; a run of one needs no communication and pays for none."""

    def __init__(self) -> None:
        # Under torchrun, Accelerate makes a group of processes on CPUs only where it is told to.
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        self.accelerator = Accelerator(mixed_precision="no", cpu=several and not torch.accelerator.is_available())
        self.device: torch.device = self.accelerator.device
        self.count: int = self.accelerator.num_processes
        self.index: int = self.accelerator.process_index
        divided = self.count > 1 and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
        self.sharding: Any = import_module("dgmspec.runtime.sharded") if divided else None
        # What processes tell each other between steps goes past the device, which need not wait for it.
        self.control = _control_group() if self.count > 1 else None

    @property
    def main(self) -> bool:
        """Whether this process writes the folder and speaks to the user."""
        return self.index == 0

    def share(self, rows: int) -> tuple[int, int]:
        """This process's part of `rows` rows in their order: from the first number up to the second."""
        return rows * self.index // self.count, rows * (self.index + 1) // self.count

    # ---- telling each other -----------------------------------------------------------------------------------------

    def total(self, values: Tensor) -> Tensor:
        """The sum of each process's `values`, in float64 on the host."""
        values = values.detach().cpu().double()
        if self.count > 1:
            dist.all_reduce(values, group=self.control)
        return values

    def everyone(self, value: T) -> list[T]:
        """Each process's `value`, in the order of the processes."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value, group=self.control)
        return found

    def joined(self, part: Array) -> Array:
        """The shares of an array one after another."""
        return np.concatenate(self.everyone(part))

    def on_main(self, make: Callable[[], T]) -> T:
        """What `make` gives on the first process; where it raises a `RunError`, every process does."""
        if self.count == 1:
            return make()
        told: list[Any] = [None, None]
        if self.main:
            try:
                told[0] = make()
            except RunError as error:
                told[1] = str(error)
        dist.broadcast_object_list(told, src=0, group=self.control)
        if told[1] is not None:
            raise RunError(told[1]) if self.main else ToldError(told[1])
        return cast(T, told[0])

    @contextmanager
    def attended(self, remedy: str) -> Iterator[None]:
        """Inside the block, the end of another process is a `RunError` that says so, with the `remedy`."""
        try:
            yield
        except RuntimeError as error:
            broken = isinstance(error, dist.DistError) or "gloo" in str(error).lower()
            if self.count == 1 or not broken:
                raise
            raise RunError(f"another process of this run has ended; {remedy}") from error

    # ---- the model over the processes -------------------------------------------------------------------------------

    def wrap(self, model: CompiledModel, fp16: bool = False) -> nn.Module:
        """The module whose gradients are means over processes; `fp16` says that its loss is scaled.

        Each process holds all weights (DDP), unless they are divided (FSDP2); `model` itself is changed then.
        """
        if self.count == 1:
            return model
        terms = model.graph.loss.terms.values() if model.graph.loss else ()
        for op in (term.op for term in terms):
            if isinstance(op, AbstractScoreLoss) and op.most_rows() is not None:
                raise RunError(f"the chains that `{op.name}` keeps are those of one process: launch one")
        if self.sharding:
            if fp16:
                raise RunError("fp16 under FSDP is not supported: write `precision = bf16`")
            scalars = [name for name, weight in model.named_parameters() if not weight.dim()]
            if scalars:
                what = f"`{scalars[0]}` is a single number, which FSDP cannot divide among processes"
                raise RunError(f"{what}: launch without --use_fsdp")
            return cast(nn.Module, self.sharding.wrap(model, self.device, self.count))
        return nn.parallel.DistributedDataParallel(
            model,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            gradient_as_bucket_view=True,
            find_unused_parameters=not model.trains_all,
        )

    def apart(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Inside the block, backward passes of a wrapped model add to its gradients without exchanging them."""
        if self.sharding:
            return cast(AbstractContextManager[Any], self.sharding.unsynchronised(model))
        return model.no_sync() if isinstance(model, nn.parallel.DistributedDataParallel) else nullcontext()

    def gathered(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Inside the block this process has all weights of a model, also where they are divided among processes."""
        return self.sharding.gathered(model) if self.sharding else nullcontext()

    def local(self, tensor: Tensor) -> Tensor:
        """What this process holds of a tensor; changes to it are changes of the tensor."""
        return cast(Tensor, self.sharding.local(tensor)) if self.sharding else tensor

    def whole(self, tensor: Tensor, like: Tensor) -> Tensor:
        """All of a tensor, for every process, which may have a part of it, divided as `like` is."""
        return cast(Tensor, self.sharding.whole(tensor, like)) if self.sharding else tensor

    def assign(self, into: Tensor, value: Tensor, like: Tensor) -> None:
        """Copy a whole tensor into one that may be divided, as `like` is."""
        if self.sharding:
            self.sharding.assign(into, value, like)
        else:
            into.copy_(value)
