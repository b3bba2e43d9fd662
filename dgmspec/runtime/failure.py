"""Where a run first met a number that is none: the steps since the last checkpoint done again, and looked at.

Nothing is kept for this while training goes well. A run is a function of its seed, so that the steps after a checkpoint
give the same numbers again (bit for bit on one CPU), and the batch that failed meets the weights that it met.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from dgmspec.modules.results import Ledger
from dgmspec.modules.solvers import SolverError
from dgmspec.runtime.rundir import RunDirectory
from dgmspec.runtime.steps import Steps, Tensors

__all__ = ["explain"]


class Place(NamedTuple):
    """How far down the loss's list of terms and contributions, what is there, and what to try where that is known."""

    rank: int
    what: str
    remedy: str = ""


def explain(steps: Steps, directory: RunDirectory, at: int, value: float) -> str:
    """The message of a run whose loss was `value` at step `at`: where it began, what is kept, what to try.

    `steps` stand where the last checkpoint does.
    """
    kept = [f"last.safetensors (step {steps.fit.step:,})"]
    if steps.fit.best_step:
        kept.append(f"best.safetensors (step {steps.fit.best_step:,})")
    cause, remedy = _cause(steps, at, value)
    where = f"kept in {directory.path / 'checkpoints'}: {' and '.join(kept)}"
    return "\n".join((cause, where, remedy or _remedy(steps)))


def _remedy(steps: Steps) -> str:
    rate = f"a lower learning rate than {steps.plan.optimizer.lr:g}"
    clip = "`clip = 1.0`" if steps.plan.clip is None else f"a `clip` below {steps.plan.clip:g}"
    precise = ", or `precision = float32`" if steps.plan.precision in ("bf16", "fp16") else ""
    return f"train anew with {rate}, or {clip}{precise}; if that does not help, look for values far out in the data"


def _cause(steps: Steps, at: int, value: float) -> tuple[str, str]:
    """The first step since the checkpoint that goes wrong and what in it does; what to try, where that is known."""
    steps.plain.train()
    for rows in steps.batches():
        step = steps.fit.step + 1
        loss = float(steps.processes.total(steps.gradients(rows)))
        if not torch.isfinite(torch.tensor(loss)):
            what, remedy = _contribution(steps, rows)
            return f"the loss became {loss} at step {step:,}{what}", remedy
        wrong = _gradient(steps)
        if wrong:
            return f"the loss of step {step:,} is {loss:.6g}, but its gradient is not finite, first at `{wrong}`", ""
        steps.update()
        if not steps.trained.finite():
            return f"the loss of step {step:,} is {loss:.6g}, but its update makes weights infinite", ""
        if step >= at:
            break
    again = "done again, the steps up to it stayed finite, so chance has a part"
    return f"the loss became {value} at step {at:,}; {again}", ""


def _gradient(steps: Steps) -> str | None:
    """The first weight whose gradient is not finite; under loss scaling such a step is left out anyway."""
    if steps.trained.scaler:
        return None
    local = steps.processes.local
    gradients = [(name, local(w.grad)) for name, w in steps.trained.weights.items() if w.grad is not None]
    found = next((name for name, gradient in gradients if not bool(torch.isfinite(gradient).all())), None)
    return next((name for name in steps.processes.everyone(found) if name), None)


@torch.no_grad()
def _contribution(steps: Steps, rows: Tensors | None) -> tuple[str, str]:
    """The term of the loss and the first of what it is made of that is not finite, over all processes; what to try."""
    found: list[Place] = []
    steps.seed_step()
    with steps.processes.gathered(steps.plain), steps.arithmetic():
        for part in steps.parts:
            batch, options = steps.inputs(rows, part)
            value, ledger = steps.plain.loss_ledger(batch, **options)
            wrong = [Place(-1, f"in the term `{name}`") for name, term in value.terms.items() if _wrong(term)]
            if wrong:
                found += [*wrong, *_first(ledger, steps.plain.lost(batch, **options))]
    places = sorted({place for each in steps.processes.everyone(found) for place in each})
    shown = [p for p in places if p.rank < 0][:1] + [p for p in places if p.rank >= 0][:1]
    return "".join(f", {place.what}" for place in shown), next((p.remedy for p in shown if p.remedy), "")


def _first(ledger: Ledger, error: SolverError | None) -> Iterator[Place]:
    """A process that left the numbers, of which no weight is guilty; or the first contribution that is not finite."""
    if error is not None and error.reason == "process":
        yield Place(
            0, f"first along `{error.where}`: {error.what} at t = {error.t:.4g} in row {error.row}", error.remedy
        )
        return
    for place, entry in enumerate(ledger):
        if count := _wrong(entry.logdet):
            kind = "log-determinant" if entry.kind == "log_det" else "log-density"
            way = f", run {entry.direction}" if entry.direction else ""
            after = "" if error is None else f"; {error.what} at t = {error.t:.4g} in row {error.row}: {error.remedy}"
            what = f"first in the {kind} of `{entry.name}` ({entry.address}{way})"
            yield Place(place, f"{what}, in {count:,} of {len(entry.logdet):,} rows{after}")
            return


def _wrong(values: Tensor) -> int:
    """How many of them are no finite numbers."""
    return int((~torch.isfinite(values)).sum())
