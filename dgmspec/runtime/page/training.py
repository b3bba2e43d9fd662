"""How a run went: its losses as curves, its settings as they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dgmspec.core.markup import Html, join, tag
from dgmspec.runtime.canvas import spread
from dgmspec.runtime.page.charts import Line, curves
from dgmspec.runtime.page.material import Material
from dgmspec.runtime.page.views import key
from dgmspec.runtime.report import loss_unit

__all__ = ["training_section"]


def training_section(material: Material) -> Html:
    """The losses as curves, and the settings of the run."""
    chart = _curves(material.metrics, loss_unit(material.report))
    plan = material.config.get("train", {})
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", tag("code", _said(value))))
        for name, value in plan.items()
        if value is not None and name not in ("model", "data_name")
    ]
    settings = tag("table", tag("tbody", *rows), class_="dgm-table")
    return join([chart, tag("h3", "Settings"), settings])


def _curves(metrics: list[dict[str, float]], unit: str) -> Html:
    """Training loss, faint, its running mean, and the validation loss."""
    step, loss = _series(metrics, "loss")
    held_step, held = _series(metrics, "validation")
    if not len(loss) and not len(held):
        return Html("")
    lines: list[Line] = []
    if len(loss):
        window = max(1, len(loss) // 50)
        middle, smooth = (np.convolve(line, np.full(window, 1 / window), "valid") for line in (step, loss))
        lines += [Line("training", "faint", step, loss), Line("its running mean", "training", middle, smooth)]
    if len(held):
        lines.append(Line("validation", "validation", held_step, held, dots=True))
    best = ""
    if len(held):
        at = int(np.argmin(held))
        best = f"best validation {held[at]:.4f}{f' {unit}' if unit else ''} at step {held_step[at]:,.0f}"
    names = [("training", "training"), *([("validation", "validation")] if len(held) else [])]
    title = f"loss against step; {best or 'no validation'}"
    return tag("figure", key(names, best), curves(lines, title, "step", unit or "loss", _frame(loss, held)))


def _series(metrics: list[dict[str, float]], name: str) -> tuple[Any, Any]:
    table = np.array([(row["step"], row[name]) for row in metrics if name in row], dtype=np.float64).reshape(-1, 2)
    table = table[np.isfinite(table[:, 1])]
    return table[:, 0], table[:, 1]


def _frame(loss: Any, held: Any) -> tuple[float, float]:
    """Heights that show where the run settles, not how high it began."""
    settled = np.concatenate([loss[len(loss) // 10 :], held[len(held) // 10 :]])
    low, high = (float(q) for q in np.quantile(settled, (0.002, 0.98)))
    low = min(low, float(held.min())) if len(held) else low
    span = spread(low, high) or 1.0
    return low - 0.08 * span, high + 0.15 * span


def _said(value: Any) -> str:
    """A setting of ``config.json`` as the language writes it."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{k} = {_said(v)}" for k, v in value.items() if k != "name" and v is not None)
        return f"{value['name']}({inner})" if inner else str(value["name"])
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_said, value))}]"
    return f"{value:,}".replace(",", "_") if isinstance(value, int) else str(value)
