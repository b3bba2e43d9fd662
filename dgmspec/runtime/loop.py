"""The training loop over an Accelerator: batches by index, metrics left on the device between two readings."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from dgmspec.core.address import seed_of
from dgmspec.graph.plans import TrainPlan
from dgmspec.modules.compiled import CompiledModel
from dgmspec.ops.training import Holdout, Patience
from dgmspec.runtime.feed import Feed
from dgmspec.runtime.generators import generator_states, own_generator, set_generators
from dgmspec.runtime.interrupts import Interrupts
from dgmspec.runtime.optim import Average, build_optimizer, rate_factor
from dgmspec.runtime.progress import Reporter
from dgmspec.runtime.rundir import RunDirectory, RunError

__all__ = ["Fit", "Interrupted", "Loop"]

READ_EVERY = 50
"""Steps between two readings of the device's metrics: each reading waits for the device."""

SAVE_SECONDS = 60.0
"""Longest time, roughly, that a machine which dies takes with it."""


class Interrupted(KeyboardInterrupt):
    """Training was stopped from outside, and its state is saved; the message says how to go on."""


@dataclass
class Fit:
    """What a loop has reached: counters that a checkpoint carries, and the best validation so far (nats)."""

    step: int = 0
    best: float = math.inf
    best_step: int = 0
    stale: int = 0
    seconds: float = 0.0


@dataclass
class _Pending:
    """Losses that were not read yet, on the device."""

    losses: list[Tensor] = field(default_factory=list)

    def read(self) -> Tensor:
        """All of them, in order, on the host."""
        return torch.stack(self.losses).cpu().double() if self.losses else torch.empty(0, dtype=torch.float64)


class Loop:
    """Everything that changes while a model is trained, and the step that changes it.

    `feed` gives the batches of the training rows, and is None where the loss draws its own points;
    `validate` gives the validation loss in nats with the weights as they are. Selection: with validation the weights
    of its best reading (averaged ones under ``ema``) are kept, otherwise the last.
    """

    def __init__(
        self,
        model: CompiledModel,
        feed: Feed | None,
        plan: TrainPlan,
        accelerator: Accelerator,
        directory: RunDirectory,
        validate: Callable[[], float] | None,
    ) -> None:
        self.plan, self.seed, self.feed, self.directory = plan, plan.seed, feed, directory
        self.validate, self.accelerator, self.plain = validate, accelerator, model
        self.steps = plan.steps or (plan.epochs or 1) * (feed.order.per_epoch if feed else 1)
        self.state = model.state_dict(keep_vars=True)
        self.weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.trained: list[Tensor] = list(self.weights.values())
        # The accelerator wraps the model for its processes. Its own optimiser and `backward` serve loss scaling alone,
        # and look for optional packages in the file system at every step, which costs as much as a small model.
        self.model, prepared = accelerator.prepare(model, build_optimizer(plan.optimizer, self.trained))
        self.optimizer: torch.optim.Optimizer = prepared.optimizer
        self.factor = rate_factor(plan.schedule, self.steps)
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.average = Average(self.trained, plan.ema) if plan.ema else None
        # A process takes its share of the global batch, and the draws that belong to it.
        self.share = max(1, (feed.order.size if feed else plan.batch) // accelerator.num_processes)
        self.offset = self.share * accelerator.process_index
        self.fit, self.pending = Fit(), _Pending()
        self.best_state: list[Tensor] | None = None
        self.saved = time.monotonic()

    # ---- one step ---------------------------------------------------------------------------------------------------

    def batches(self) -> Iterator[Mapping[str, Tensor] | None]:
        """The rows of every step that remains; None for each where the loss draws its own points."""
        if self.feed is None:
            return repeat(None, self.steps - self.fit.step)
        return self.feed.walk(self.fit.step, self.steps, self.offset, self.share)

    def options(self) -> dict[str, Any]:
        """What the loss needs besides the rows: its draws, and how many points where it has no rows."""
        keyed = {"seed": self.seed, "step": self.fit.step, "start": self.offset}
        return keyed if self.feed else {**keyed, "count": self.share}

    def step(self, inputs: Mapping[str, Tensor] | None) -> Tensor:
        """One update on a batch; returns the loss, still on the device."""
        factor = self.factor(self.fit.step)
        for group, rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor
        for weight in self.trained:
            weight.grad = None
        with self.arithmetic():
            loss: Tensor = self.model(inputs, **self.options())
        torch.autograd.backward(loss)
        if self.plan.clip:
            self.accelerator.clip_grad_norm_(self.trained, self.plan.clip)
        self.optimizer.step()
        if self.average:
            self.average.update()
        self.fit.step += 1
        return loss.detach()

    def arithmetic(self) -> AbstractContextManager[Any]:
        """bf16 under autocast where it is asked for; other precisions are those of the model."""
        if self.plan.precision != "bf16":
            return nullcontext()
        return torch.autocast(self.plain.device.type, dtype=torch.bfloat16)

    # ---- the whole run ----------------------------------------------------------------------------------------------

    def run(self, reporter: Reporter) -> Fit:
        """Train to the last step or to early stopping; keep the best weights."""
        with own_generator(self.plain.device), Interrupts() as interrupts:
            self.begin()
            try:
                self.walk(reporter, interrupts)
            except KeyboardInterrupt as stop:
                self.save()
                raise Interrupted(
                    f"stopped at step {self.fit.step} of {self.steps}; go on with\n"
                    f"    dgmspec train --resume {self.directory.path}"
                ) from stop
            self.finish()
        return self.fit

    def walk(self, reporter: Reporter, interrupts: Interrupts) -> None:
        """All steps that remain, with their readings."""
        self.plain.train()
        before = time.monotonic() - self.fit.seconds
        reporter.advance(self.fit.step)
        for inputs in self.batches():
            self.pending.losses.append(self.step(inputs))
            at, last = self.fit.step, self.fit.step == self.steps
            judged = self.validate is not None and (last or at % self.every == 0)
            if judged or last or at % READ_EVERY == 0:
                self.fit.seconds = time.monotonic() - before
                self.read(reporter, judged)
            interrupts.check()
            if self.patience and self.fit.stale >= self.patience:
                break
        self.fit.seconds = time.monotonic() - before

    @property
    def every(self) -> int:
        """Steps between validations."""
        found = self.plan.validate
        return found.every if isinstance(found, Holdout) else READ_EVERY

    @property
    def patience(self) -> int | None:
        """Readings without improvement that end the run."""
        return self.plan.stop.n if isinstance(self.plan.stop, Patience) else None

    def begin(self) -> None:
        """The draws of the loop; on a fresh run also the data-dependent start, from the first batch."""
        if self.fit.step:
            return
        torch.manual_seed(seed_of(self.seed, "dropout"))
        if self.feed:
            self.plain.initialise(next(self.feed.walk(0, 1)), seed=self.seed)
            if self.average:
                self.average = Average(self.trained, self.average.decay)

    def read(self, reporter: Reporter, judged: bool) -> None:
        """Record a reading; a loss that is no number stops the run and keeps the last good checkpoint."""
        losses = self.pending.read()
        wrong = (~torch.isfinite(losses)).nonzero()
        if len(wrong):
            step = self.fit.step - len(losses) + int(wrong[0]) + 1
            raise RunError(
                f"the loss became {float(losses[wrong[0]])} at step {step}; earlier checkpoints are kept in "
                f"{self.directory.path}; a lower learning rate, or `clip`, may help"
            )
        self.pending.losses.clear()
        row = {"step": float(self.fit.step), "seconds": self.fit.seconds, "loss": float(losses.mean())}
        if judged:
            row["validation"] = self.judge()
        if self.accelerator.is_main_process:
            self.directory.append_metrics(row)
        if time.monotonic() - self.saved > SAVE_SECONDS:
            self.save()
        reporter.advance(self.fit.step, **{k: v for k, v in row.items() if k in ("loss", "validation")})

    def judge(self) -> float:
        """The validation loss of the averaged weights (nats); they are kept if it is the best so far."""
        assert self.validate is not None
        self.plain.eval()
        with self.average.swapped_in() if self.average else nullcontext():
            value = self.validate()
            if value < self.fit.best:
                self.fit.best, self.fit.best_step, self.fit.stale = value, self.fit.step, 0
                self.best_state = [tensor.detach().clone() for tensor in self.state.values()]
                if self.accelerator.is_main_process:
                    counters = {"step": self.fit.step, "validation": value}
                    self.directory.save_checkpoint("best", self.state, counters)
            else:
                self.fit.stale += 1
        self.plain.train()
        return value

    @torch.no_grad()
    def finish(self) -> None:
        """Leave the model with the selected weights, in evaluation mode, and write the last checkpoint."""
        self.save()
        if self.best_state is not None:
            torch._foreach_copy_(list(self.state.values()), self.best_state)
        elif self.average:
            torch._foreach_copy_(self.trained, self.average.values)
        self.plain.eval()

    # ---- checkpoints ------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write ``last``: weights, averages, the optimiser's state, unread losses and the counters."""
        self.saved = time.monotonic()
        if not self.accelerator.is_main_process:
            return
        tensors: dict[str, Tensor] = {f"weights/{name}": tensor for name, tensor in self.state.items()}
        if self.average:
            pairs = zip(self.weights, self.average.values, strict=True)
            tensors |= {f"average/{name}": value for name, value in pairs}
        for name, weight in self.weights.items():
            kept = self.optimizer.state.get(weight, {}).items()
            tensors |= {f"optimizer/{key}/{name}": v for key, v in kept if isinstance(v, Tensor)}
        tensors |= {f"generator/{kind}": state for kind, state in generator_states(self.plain.device).items()}
        tensors["losses"] = self.pending.read()
        counters = vars(self.fit) | {"best": None if math.isinf(self.fit.best) else self.fit.best}
        counters["average_steps"] = self.average.steps if self.average else 0
        self.directory.save_checkpoint("last", tensors, counters)

    @torch.no_grad()
    def restore(self) -> None:
        """Go back to the run's last checkpoint: the next step is the one that would have followed."""
        tensors, counters = self.directory.load_checkpoint("last")
        self._copy(self.state, tensors, "weights")
        if self.average:
            self._copy(dict(zip(self.weights, self.average.values, strict=True)), tensors, "average")
            self.average.steps = int(counters.pop("average_steps"))
        for name, weight in self.weights.items():
            found = {k.split("/")[1]: v for k, v in tensors.items() if _is_state(k, name)}
            moved = {k: v if k == "step" and not weight.is_cuda else v.to(weight.device) for k, v in found.items()}
            if moved:
                self.optimizer.state[weight] = moved
        counters.pop("average_steps", None)
        self.fit = Fit(**counters | {"best": math.inf if counters["best"] is None else counters["best"]})
        self.pending.losses = list(tensors["losses"].to(self.plain.device, self.plain.dtype))
        if self.fit.best_step:
            best, _ = self.directory.load_checkpoint("best")
            self.best_state = [best[n].to(t.device, t.dtype) for n, t in self.state.items()]
        set_generators({k.removeprefix("generator/"): v for k, v in tensors.items() if k.startswith("generator/")})
        self.directory.cut_metrics(self.fit.step)

    def _copy(self, into: Mapping[str, Tensor], tensors: Mapping[str, Tensor], group: str) -> None:
        for name, tensor in into.items():
            found = tensors.get(f"{group}/{name}")
            if found is None or found.shape != tensor.shape:
                raise RunError(
                    f"the checkpoint in {self.directory.path} is of another model: it has no {name} of its size"
                )
            tensor.copy_(found)


def _is_state(key: str, name: str) -> bool:
    return key.startswith("optimizer/") and key.split("/", 2)[2] == name
