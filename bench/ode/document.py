"""The part of docs/benchmarks.md about continuous flows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.document import line, machine
from bench.ode.run import COMPILED, DEFAULT, HUTCHINSON, LIBRARIES, OURS, Row

__all__ = ["TITLE", "section"]

TITLE = "## Continuous flows"
_ABOUT = """{title}

`velocity(y, t) = mlp(h, h, activation = tanh)` over t in 0..1, in torchdiffeq, torchdyn, zuko and here, all with the
same numbers, after 300 steps of training; {rounds} rounds, batches of 512, the clock as above. Ours takes 8 steps of
rk4 with the exact trace in closed form; *compiled* is `model.compiled()`, *hutchinson* ours with one probe instead of
the trace. *rk4* of the others takes as many steps, *dopri5* is theirs at a tolerance of 1e-5, differentiated through;
*torchdiffeq adjoint* is that with the adjoint, FFJORD's default, and zuko has an adjoint always. The others run as
their documentation runs them, without torch.compile, and estimate the trace by one probe, as their examples do, except
zuko at D = 2, whose trace is exact. Before timing, log-densities are compared in float64, solved to 1e-10 with exact
traces (relative difference below 1e-6). *refined* is what 16 steps for 8 change in our mean log-density, in nats.
torchdyn brings Lightning and twenty more packages, so it is not among the extras: `pip install torchdyn`; where torch
is a build for the processor alone, `pip uninstall torchvision` besides, which does not load beside it.

{machine}
"""
_TITLES = {"train": "Training step", "log_prob": "Log-density"}


def section(rows: Sequence[Row], rounds: int) -> str:
    """The section for rows as they were measured."""
    parts = [_ABOUT.format(title=TITLE, machine=machine(LIBRARIES), rounds=rounds)]
    for operation in dict.fromkeys(row.operation for row in rows):
        chosen = [row for row in rows if row.operation == operation]
        parts += [f"### {_TITLES[operation]}", "", *_table(chosen), ""]
    missing = {library: why for row in rows for library, why in row.missing.items()}
    return "\n".join([*parts, *(f"- {library} {why}" for library, why in missing.items()), *([""] if missing else [])])


def _table(rows: Sequence[Row]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row.times if not name.startswith(OURS)))
    forms = list(dict.fromkeys(name for row in rows for name in row.times if name.startswith(OURS)))
    shown = [*names, OURS, *(form.removeprefix(f"{OURS} ") for form in forms if form != OURS)]
    ratios: dict[str, Callable[[Row], str]] = {
        "best peer / dgmspec": lambda row: _ratio(row, row.best, OURS),
        "best peer / compiled": lambda row: _ratio(row, row.best, COMPILED),
        "FFJORD's default / dgmspec": lambda row: _ratio(row, DEFAULT, OURS),
        "hutchinson / exact": lambda row: _ratio(row, HUTCHINSON, OURS),
    }
    head = ["model", *shown, *ratios, "refined"]
    lines = [line(head), line(["---"] + ["---:"] * (len(head) - 1))]
    for row in rows:
        times = [f"{1e3 * row.times[n].median:.1f}" if n in row.times else "–" for n in (*names, *forms)]
        lines.append(line([row.workload.title, *times, *(of(row) for of in ratios.values()), f"{row.refined:.0e}"]))
    return lines


def _ratio(row: Row, name: str, of: str) -> str:
    """How many times faster `of` is than another case, where both were timed."""
    return str(row.ratio(name, of)) if {name, of} <= row.times.keys() else "–"
