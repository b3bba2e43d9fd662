"""The training loop: steps, and between them what is read, judged and saved; metrics stay on the device till then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import NoReturn

import torch
from torch import Tensor

from dgmspec.graph.plans import TrainPlan
from dgmspec.modules.compiled import CompiledModel
from dgmspec.ops.training import Holdout, Patience
from dgmspec.runtime.failure import explain
from dgmspec.runtime.feed import AbstractFeed
from dgmspec.runtime.generators import own_generator
from dgmspec.runtime.interrupts import Interrupted, Interrupts
from dgmspec.runtime.likelihood import Validation
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.progress import Reporter
from dgmspec.runtime.rundir import RunDirectory, RunError
from dgmspec.runtime.solving import DOUBLINGS, doubled_line, solver_line, strays
from dgmspec.runtime.steps import Fit, Steps

__all__ = ["Loop"]

READ_EVERY = 50
"""Steps between two readings of the device's metrics: each reading waits for the device."""

SAVE_SECONDS = 60.0
"""Longest time, roughly, that a machine which dies takes with it."""


class Loop:
    """The whole of a training.

    `feed` gives the batches of the training rows, and is None where the loss draws its own points;
    `validate` gives the validation loss in nats with the weights as they are. Selection: with validation the weights
    of its best reading (averaged ones under ``ema``) are kept, otherwise the last. A `warm` model is begun already.
    """

    def __init__(
        self,
        model: CompiledModel,
        feed: AbstractFeed | None,
        plan: TrainPlan,
        processes: Processes,
        directory: RunDirectory,
        validate: Validation | None,
        warm: bool = False,
    ) -> None:
        self.plan, self.directory, self.validate = plan, directory, validate
        self.processes, self.plain = processes, model
        self.steps, self.warm = Steps(model, feed, plan, processes), warm
        self.losses: list[Tensor] = []
        self.known = torch.empty(0, dtype=torch.float64)
        self.best_state: list[Tensor] | None = None
        self.saved, self.before = time.monotonic(), 0.0

    @property
    def fit(self) -> Fit:
        """What the run has reached."""
        return self.steps.fit

    def begin(self) -> None:
        """From the run's last checkpoint, or from the first step where none was taken."""
        resumed = self.processes.on_main(lambda: self.directory.trained)
        self.steps.begin(resumed or self.warm)
        self.trained = self.steps.trained
        if resumed:
            self.restore()
            self.before = self.fit.seconds
            self.processes.on_main(lambda: self.directory.cut_metrics(self.fit.step))
        else:
            self.save()

    # ---- the whole run ----------------------------------------------------------------------------------------------

    def run(self, reporter: Reporter) -> Fit:
        """Train to the last step or to early stopping; keep the best weights."""
        resume = f"go on with\n    dgmspec train --resume {self.directory.path}"
        attended = self.processes.attended(resume)
        with own_generator(self.plain.device), Interrupts(self.processes) as interrupts, attended:
            self.begin()
            try:
                self.walk(reporter, interrupts)
            except KeyboardInterrupt as stop:
                if interrupts.forced:
                    raise
                self.save()
                raise Interrupted(f"stopped at step {self.fit.step} of {self.steps.count}; {resume}") from stop
            self.finish()
            interrupts.check()
        return self.fit

    def walk(self, reporter: Reporter, interrupts: Interrupts) -> None:
        """All steps that remain, with their readings."""
        self.plain.train()
        before = time.monotonic() - self.fit.seconds
        reporter.advance(self.fit.step)
        for rows in self.steps.batches():
            if self.patience and self.fit.stale >= self.patience:
                break
            self.losses.append(self.steps.step(rows))
            at, last = self.fit.step, self.fit.step == self.steps.count
            judged = self.validate is not None and (last or at % self.every == 0)
            if judged or last or at % READ_EVERY == 0:
                self.fit.seconds = time.monotonic() - before
                self.read(reporter, judged)
            interrupts.check()
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

    def read(self, reporter: Reporter, judged: bool) -> None:
        """Record a reading: the mean loss since the one before, and the validation loss."""
        losses = self.settled()
        self.known = losses[:0]
        row = {"step": float(self.fit.step), "seconds": self.fit.seconds, "loss": float(losses.mean())}
        if judged:
            row["validation"] = self.judge(reporter)
        self.processes.on_main(lambda: self.directory.append_metrics(row))
        doubled = self.fit.doubled[-1:] == [self.fit.step]
        if doubled or self.processes.on_main(lambda: time.monotonic() - self.saved > SAVE_SECONDS):
            self.save()
        figures = {k: v for k, v in row.items() if k in ("loss", "validation")}
        reporter.advance(self.fit.step, **figures)

    def settled(self) -> Tensor:
        """The losses since the last reading, over all processes; one that is no number ends the run."""
        if self.losses:
            self.known = torch.cat([self.known, self.processes.total(torch.stack(self.losses))])
            self.losses.clear()
        wrong = (~torch.isfinite(self.known)).nonzero()
        if len(wrong):
            at = self.fit.step - len(self.known) + int(wrong[0]) + 1
            self.fail(at, float(self.known[wrong[0]]))
        return self.known

    def fail(self, at: int, value: float) -> NoReturn:
        """End the run, whose loss was `value` at step `at`, with what went wrong first since the last checkpoint."""
        self.restore()
        raise RunError(explain(self.steps, self.directory, at, value))

    def judge(self, reporter: Reporter) -> float:
        """The validation loss of the averaged weights (nats); they are kept if it is the best so far."""
        self.plain.eval()
        average = self.trained.average
        with average.swapped_in() if average else nullcontext():
            with self.processes.gathered(self.plain):
                value = self.validated(reporter)
            if value < self.fit.best or self.fit.step == self.fit.best_step:
                self.fit.best, self.fit.best_step, self.fit.stale = value, self.fit.step, 0
                self.best_state = self.trained.copies()
                tensors = self.trained.model_state()
                counters = {"step": self.fit.step, "validation": value}
                self.processes.on_main(lambda: self.directory.save_checkpoint("best", tensors, counters))
            else:
                self.fit.stale += 1
        self.plain.train()
        return value

    def validated(self, reporter: Reporter) -> float:
        """The validation loss. Where a finer solve moves the log-density too far, everything is solved by twice the
        steps from here on; where the loss is solved for, the best reading so far, which may owe its value to errors of
        the coarser solve, is forgotten."""
        assert self.validate is not None
        found, shift = self.validate(), self.validate.solver_shift()
        value, shift = self.processes.on_main(lambda: (found, shift))
        if shift is None or not strays(shift):
            return value
        room = len(self.fit.doubled) < DOUBLINGS and self.steps.double_steps(len(self.fit.doubled) + 1)
        reporter.say(f"step {self.fit.step:,}: {doubled_line(shift) if room else solver_line(shift)}")
        if not room:
            return value
        self.fit.doubled.append(self.fit.step)
        found = self.validate()
        again = self.processes.on_main(lambda: found)
        if again != value:
            self.fit.best, self.fit.best_step, self.fit.stale, self.best_state = math.inf, 0, 0, None
        return again

    @torch.no_grad()
    def finish(self) -> None:
        """Leave the model with the selected weights, in evaluation mode, and write the last checkpoint."""
        self.save()
        if self.best_state is not None:
            self.trained.put(self.best_state)
        elif self.trained.average:
            torch._foreach_copy_(self.trained.local, self.trained.average.values)
        self.plain.eval()

    def result(self, fresh: Callable[[], CompiledModel]) -> CompiledModel:
        """The model with the selected weights; a `fresh` one takes them where they are divided among processes."""
        if self.processes.sharding is None:
            return self.plain
        state = self.trained.model_state()
        model = fresh()
        for _ in self.fit.doubled:
            model.double_steps()
        model.load_state_dict(state)
        return model.eval()

    # ---- checkpoints ------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write ``last``: everything that changes, the unread losses and the counters; never over a good one with
        weights or losses that are no numbers."""
        losses = self.settled()
        if not self.trained.finite():
            self.fail(self.fit.step + 1, math.nan)
        self.saved = time.monotonic()
        tensors = {**self.trained.packed(), "losses": losses}
        counters = vars(self.fit) | {"best": None if math.isinf(self.fit.best) else self.fit.best}
        self.processes.on_main(lambda: self.directory.save_checkpoint("last", tensors, counters))

    def restore(self) -> None:
        """Go back to the run's last checkpoint: the next step is the one that would have followed.

        A best checkpoint that is later than it belongs to a reading which will come again.
        """
        tensors, counters = self.processes.on_main(lambda: self.directory.load_checkpoint("last"))
        self.trained.unpack(tensors, f"the checkpoint in {self.directory.path}")
        self.steps.fit = Fit(**counters | {"best": math.inf if counters["best"] is None else counters["best"]})
        self.steps.double_steps(len(self.fit.doubled))
        self.known = tensors["losses"]
        self.losses.clear()
        if self.processes.on_main(lambda: self.directory.has_checkpoint("best")):
            best, found = self.processes.on_main(lambda: self.directory.load_checkpoint("best"))
            if not self.fit.best_step and found["step"] < max(self.fit.doubled, default=0):
                return  # one that was forgotten
            self.best_state = self.trained.divided(best, f"best.safetensors in {self.directory.path}")
            self.fit.best, self.fit.best_step = found["validation"], found["step"]
