"""Where a run first met a number that is none: the steps since the last checkpoint done again, and looked at.

Nothing is kept for this while training goes well. A run is a function of its seed, so that the steps after a checkpoint
give the same numbers again (bit for bit on one CPU), and the batch that failed meets the weights that it met.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dgmspec.runtime.rundir import RunDirectory
from dgmspec.runtime.steps import Steps, Tensors

__all__ = ["explain"]

Place = tuple[int, str]
"""How far down the loss's list of terms and contributions, and what is there."""


def explain(steps: Steps, directory: RunDirectory, at: int, value: float) -> str:
    """The message of a run whose loss was `value` at step `at`: where it began, what is kept, what to try.

    `steps` stand where the last checkpoint does.
    """
    kept = [f"last.safetensors (step {steps.fit.step:,})"]
    if steps.fit.best_step:
        kept.append(f"best.safetensors (step {steps.fit.best_step:,})")
    parts = (
        _cause(steps, at, value),
        f"kept in {directory.path / 'checkpoints'}: {' and '.join(kept)}",
        _remedy(steps),
    )
    return "\n".join(parts)


def _remedy(steps: Steps) -> str:
    rate = f"a lower learning rate than {steps.plan.optimizer.lr:g}"
    clip = "`clip = 1.0`" if steps.plan.clip is None else f"a `clip` below {steps.plan.clip:g}"
    precise = ", or `precision = float32`" if steps.plan.precision in ("bf16", "fp16") else ""
    return f"train anew with {rate}, or {clip}{precise}; if that does not help, look for values far out in the data"


def _cause(steps: Steps, at: int, value: float) -> str:
    """The first step since the checkpoint that goes wrong, and what in it does."""
    steps.plain.train()
    for rows in steps.batches():
        step = steps.fit.step + 1
        loss = float(steps.processes.total(steps.gradients(rows)))
        if not torch.isfinite(torch.tensor(loss)):
            return f"the loss became {loss} at step {step:,}{_contribution(steps, rows)}"
        wrong = _gradient(steps)
        if wrong:
            return f"the loss of step {step:,} is {loss:.6g}, but its gradient is not finite, first at `{wrong}`"
        steps.update()
        if not steps.trained.finite():
            return f"the loss of step {step:,} is {loss:.6g}, but its update makes weights infinite"
        if step >= at:
            break
    return f"the loss became {value} at step {at:,}; done again, the steps up to it stayed finite, so chance has a part"


def _gradient(steps: Steps) -> str | None:
    """The first weight whose gradient is not finite; under loss scaling such a step is left out anyway."""
    if steps.trained.scaler:
        return None
    local = steps.processes.local
    gradients = [(name, local(w.grad)) for name, w in steps.trained.weights.items() if w.grad is not None]
    found = next((name for name, gradient in gradients if not bool(torch.isfinite(gradient).all())), None)
    return next((name for name in steps.processes.everyone(found) if name), None)


@torch.no_grad()
def _contribution(steps: Steps, rows: Tensors | None) -> str:
    """The term of the loss and the first contribution to it that is not finite, over all processes."""
    found: list[Place] = []
    steps.seed_step()
    with steps.processes.gathered(steps.plain), steps.arithmetic():
        for part in steps.parts:
            batch, options = steps.inputs(rows, part)
            value, ledger = steps.plain.loss_ledger(batch, **options)
            for place, entry in enumerate(ledger):
                if count := _wrong(entry.logdet):
                    kind = "log-determinant" if entry.kind == "log_det" else "log-density"
                    way = f", run {entry.direction}" if entry.direction else ""
                    what = f"first in the {kind} of `{entry.name}` ({entry.address}{way})"
                    error = steps.plain.lost(batch, **options)
                    after = f"; {error.what} at t = {error.t:.4g} in row {error.row}: {error.remedy}" if error else ""
                    found.append((place, f"{what}, in {count:,} of {len(entry.logdet):,} rows{after}"))
                    break
            terms = [name for name, term in value.terms.items() if _wrong(term)]
            found += [(-1, f"in the term `{name}`") for name in terms]
    places = sorted({place for each in steps.processes.everyone(found) for place in each})
    terms = [what for place, what in places if place < 0][:1]
    return "".join(f", {what}" for what in terms + [what for place, what in places if place >= 0][:1])


def _wrong(values: Tensor) -> int:
    """How many of them are no finite numbers."""
    return int((~torch.isfinite(values)).sum())
