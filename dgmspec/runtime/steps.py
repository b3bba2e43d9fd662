"""One step of training: this process's rows of the batch, the gradients of their loss, the update of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Final

import torch
from torch import Tensor, nn

from dgmspec.core.address import seed_of
from dgmspec.graph.plans import TrainPlan
from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.compiling import compiled_step, told
from dgmspec.runtime.feed import AbstractFeed, Feed
from dgmspec.runtime.generators import seed_generators
from dgmspec.runtime.optim import rate_factor
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.shares import Part, parts_of
from dgmspec.runtime.trained import Trained

__all__ = ["Fit", "Steps", "Tensors"]

Tensors = Mapping[str, Tensor]

HALF: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Fit:
    """What a loop has reached: counters that a checkpoint carries, and the best validation so far (nats)."""

    step: int = 0
    best: float = math.inf
    best_step: int = 0
    stale: int = 0
    seconds: float = 0.0
    doubled: list[int] = field(default_factory=list)
    """The steps after which solvers took twice as many steps as before (`Loop.judge`)."""


class Steps:
    """What a step needs and what it changes; step number s is a function of the run's seed, s, and the state before.

    `model` is the wrapped form of `plain` that processes share; `fit` counts the steps that were taken.
    """

    def __init__(self, model: CompiledModel, feed: AbstractFeed | None, plan: TrainPlan, processes: Processes) -> None:
        self.plain, self.feed, self.plan, self.processes = model, feed, plan, processes
        self.count = plan.steps or (plan.epochs or 1) * (feed.per_epoch if isinstance(feed, Feed) else 1)
        self.parts = parts_of(feed.size if feed else plan.batch, plan.accumulate, processes)
        self.factor = rate_factor(plan.schedule, self.count)
        self.fit, self.doublings = Fit(), 0

    def begin(self, begun: bool) -> None:
        """Make ready for the first step: of a model that is not begun the start that depends on data is taken from the
        first batch, the whole of it in every process, so that all start from the same numbers."""
        if self.feed and not begun:
            self.plain.initialise(next(self.feed.walk(0, 1)), seed=self.plan.seed)
        self.whole = compiled_step(self.plain, self.processes) if self.plan.compile else self.plain
        # What exchanges gradients or scales them is told of them by autograd, which one graph for both leaves out.
        self.alone = self.plan.compile and self.processes.count == 1 and self.plan.precision not in HALF
        self.model: nn.Module = self.processes.wrap(self.whole, fp16=self.plan.precision == "fp16")
        self.trained = Trained(self.plain, self.plan, self.processes)

    def double_steps(self, times: int) -> bool:
        """Solve with 2^times the steps that the spec says; False where the model has no `ode` of so many."""
        while self.doublings < times:
            if not self.plain.double_steps():
                return False
            if self.whole is not self.plain:
                self.whole.double_steps()
            self.doublings += 1
        return True

    def batches(self) -> Iterator[Tensors | None]:
        """This process's rows of every step that remains; None for each where the loss draws its own points."""
        if self.feed is None:
            return repeat(None, self.count - self.fit.step)
        start, stop = self.parts[0].start, self.parts[-1].stop
        return self.feed.walk(self.fit.step, self.count, start, stop - start)

    def inputs(self, rows: Tensors | None, part: Part) -> tuple[Tensors | None, dict[str, Any]]:
        """What the loss needs for a part of the batch: its rows, with their weights if they have any, its draws, or how
        many points it draws itself."""
        keyed: dict[str, Any] = {"seed": self.plan.seed, "step": self.fit.step, "start": part.start}
        if rows is None:
            return None, {**keyed, "count": part.stop - part.start}
        start = part.start - self.parts[0].start
        count = part.stop - part.start
        taken = {name: column[start : start + count] for name, column in rows.items()}
        if self.plan.weights is not None:
            keyed["weights"] = taken.pop(self.plan.weights)
        return taken, keyed

    def step(self, rows: Tensors | None) -> Tensor:
        """One update; returns this process's part of the loss, still on the device."""
        loss = self.gradients(rows)
        self.update()
        return loss

    def gradients(self, rows: Tensors | None) -> Tensor:
        """The gradients of the loss on a batch, and this process's part of the loss."""
        self.seed_step()
        self.trained.clear()
        found: Tensor | None = None
        for part in self.parts:
            with told() if self.plan.compile else nullcontext():
                loss = self.pulled(rows, part)
            found = loss if found is None else found + loss
        assert found is not None
        return found

    def pulled(self, rows: Tensors | None, part: Part) -> Tensor:
        """A part's share of the loss, its gradients added to those of the step."""
        batch, options = self.inputs(rows, part)
        if self.alone:
            return self.whole.pull(batch, part.weight, **options)
        with self.together(part):
            with self.arithmetic():
                loss: Tensor = self.model(batch, **options)
            if part.weight != 1.0:
                loss = loss * part.weight
            # Processes exchange the mean of their gradients, and the batch's is the sum of the parts'.
            pulled = loss * self.processes.count if self.processes.count > 1 else loss
            torch.autograd.backward(self.trained.scaler.scale(pulled) if self.trained.scaler else pulled)
        return loss.detach()

    def seed_step(self) -> None:
        """What dropout draws in a step is a function of the run's seed, the step and the process."""
        seed_generators(seed_of(self.plan.seed, "dropout", self.fit.step, self.processes.index), self.plain.device)

    def update(self) -> None:
        """Move the weights along their gradients."""
        if self.plan.clip:
            if self.trained.scaler:
                self.trained.scaler.unscale_(self.trained.optimizer)
            torch.nn.utils.clip_grad_norm_(self.trained.weights.values(), self.plan.clip)
        self.trained.update(self.factor(self.fit.step))
        self.fit.step += 1

    def together(self, part: Part) -> AbstractContextManager[Any]:
        """Processes exchange their gradients once a step, with the last part."""
        return nullcontext() if part is self.parts[-1] else self.processes.apart(self.model)

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Half precision for nets under autocast where it is asked for; other precisions are those of the model."""
        half = HALF.get(self.plan.precision)
        return nullcontext() if half is None else torch.autocast(self.plain.device.type, dtype=half)
