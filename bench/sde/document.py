"""The part of docs/benchmarks.md about sampling along an sde."""

from __future__ import annotations

from collections.abc import Sequence

from bench.document import line, machine
from bench.sde.run import LIBRARIES, LOOP, NETWORK, OTHER, OURS, Row

__all__ = ["TITLE", "section"]

TITLE = "## Sampling along an sde"
_ABOUT = """{title}

`reverse_sde(steps = 500)`, Euler-Maruyama, of a variance-preserving `sde` whose noise an `mlp(h, h)` predicts, {batch}
samples, in milliseconds, on the clock above, {rounds} rounds. *net alone* is 500 passes of the bare network,
*plain loop* the process written by hand in torch, *torchsde* the same functions in `sdeint(method = "euler")`. Before
timing, our derived reverse drift is compared with the written one in float64 (relative difference below 1e-9). Ours
alone draws its noise by the sample, so that a seed gives the same samples in any batch.

{machine}
"""


def section(rows: Sequence[Row], rounds: int) -> str:
    """The section for rows as they were measured."""
    head = ["model", NETWORK, LOOP, OTHER, OURS, f"{OURS} / {NETWORK}", f"{LOOP} / {OURS}", f"{OTHER} / {OURS}"]
    batch = f"{rows[0].workload.batch:,}"
    lines = [_ABOUT.format(title=TITLE, machine=machine(LIBRARIES), rounds=rounds, batch=batch)]
    lines += [line(head), line(["---"] + ["---:"] * (len(head) - 1))]
    for row in rows:
        times = [f"{1e3 * row.times[n].median:.0f}" if n in row.times else "–" for n in (NETWORK, LOOP, OTHER, OURS)]
        pairs = ((OURS, NETWORK), (LOOP, OURS), (OTHER, OURS))
        ratios = [str(row.ratio(a, b)) if a in row.times and b in row.times else "–" for a, b in pairs]
        lines.append(line([row.workload.title, *times, *ratios]))
    missing = {library: why for row in rows for library, why in row.missing.items()}
    return "\n".join([*lines, *(f"- {library} {why}" for library, why in missing.items())])
