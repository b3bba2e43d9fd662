"""The learning curve of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dgmspec.runtime.canvas import DATA, FAINT, MODEL, Array, FilePath, lone_axes, save, spread

__all__ = ["draw_loss"]


def draw_loss(rows: Sequence[Mapping[str, Any]], path: FilePath, unit: str = "nats") -> None:
    """The learning curve: `rows` hold `step`, `loss` and, at some steps, `validation`; a PNG at `path`.

    The training loss is drawn as it is, faintly, under its running mean; the best validation is marked.
    """
    figure, axes = lone_axes(7.0, 4.2)
    step, loss = _series(rows, "loss")
    held_step, held = _series(rows, "validation")
    if len(loss):
        axes.plot(step, loss, color=FAINT, linewidth=0.8)
        window = max(1, len(loss) // 50)
        centre, smooth = (np.convolve(line, np.full(window, 1 / window), "valid") for line in (step, loss))
        alone = "o" if len(centre) == 1 else None  # a line through one point is nothing
        axes.plot(centre, smooth, color=DATA, linewidth=1.8, marker=alone, label="training")
    if len(held):
        best = int(np.argmin(held))
        axes.plot(held_step, held, color=MODEL, linewidth=1.8, marker="o", markersize=3, label="validation")
        label = f"best validation {held[best]:.4g} at step {int(held_step[best]):,}"
        axes.plot(held_step[best], held[best], "o", color=MODEL, markersize=8, fillstyle="none", label=label)
    _frame_losses(axes, loss, held)
    axes.set(xlabel="step", ylabel=f"loss ({unit})" if unit else "loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="#e6e6e6", linewidth=0.8)
    if len(loss) or len(held):
        axes.legend(frameon=False)
    save(figure, path)


def _series(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[Array, Array]:
    """Steps and values of the rows in which `key` holds a finite number."""
    pairs = [(row["step"], row[key]) for row in rows if row.get(key) not in (None, "")]
    table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    table = table[np.isfinite(table[:, 1])]
    return table[:, 0], table[:, 1]


def _frame_losses(axes: Axes, loss: Array, held: Array) -> None:
    """Limits that show where the run settles, not the height of its first steps."""
    settled = loss[len(loss) // 10 :] if len(loss) else held
    if not len(settled):
        return
    low, high = (float(q) for q in np.quantile(settled, (0.001, 0.995)))
    span = high - low or 1.0
    # Validation may rise far above training; it is followed for twice the training's own span.
    late = held[len(held) // 10 :] if len(held) else settled
    low, high = min(low, float(late.min())), max(high, min(float(late.max()), high + 2 * span))
    span = spread(low, high) or 1.0
    axes.set_ylim(low - 0.06 * span, high + 0.2 * span)
