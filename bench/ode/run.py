"""One continuous workload: every library built with the same numbers, compared with ours, and timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from bench.agreement import in_float64
from bench.measure import Ratio, Times, interleaved, paired
from bench.ode.base import Case
from bench.ode.workloads import Numbers, Workload, ours

__all__ = ["COMPILED", "DEFAULT", "HUTCHINSON", "LIBRARIES", "OURS", "Row", "difference", "peers", "run"]

LIBRARIES = ("torchdiffeq", "torchdyn", "zuko")
DEFAULT = "torchdiffeq adjoint"
"""What FFJORD's code does unless told otherwise."""
OURS = "dgmspec"
COMPILED, HUTCHINSON = f"{OURS} compiled", f"{OURS} hutchinson"
OPERATIONS = ("train", "log_prob")
TOLERANCE = 1e-6
"""Largest difference of log-densities between solvers at 1e-10, in float64, relative to their size."""

Build = Callable[[Workload, Numbers], Case]


@dataclass(frozen=True)
class Row:
    """One operation of one workload; `missing` says by library why it has no time, `refined` how much twice the steps
    change our mean log-density."""

    workload: Workload
    operation: str
    times: Mapping[str, Times]
    missing: Mapping[str, str]
    refined: float

    @property
    def best(self) -> str:
        """The fastest case of the others by its median."""
        return min((n for n in self.times if not n.startswith(OURS)), key=lambda name: self.times[name].median)

    def ratio(self, name: str, of: str = OURS) -> Ratio:
        """How many times faster a form of ours is than a case."""
        return paired(self.times[name], self.times[of])


def peers() -> dict[str, Build]:
    """What builds each case of the libraries that are here."""
    found: dict[str, Build] = {}
    for library in LIBRARIES:
        if find_spec(library) is not None:
            found |= import_module(f"bench.ode.{library}").CASES
    return found


def difference(workload: Workload, numbers: Numbers, build: Build) -> float | None:
    """The largest relative difference of log-densities with the same numbers, solved to 1e-10 with exact traces."""
    with in_float64():
        case = build(workload, numbers)
        if case.exact is None:
            return None
        model = ours(workload, numbers, torch.float64, solver="dopri8(rtol = 1e-10, atol = 1e-10)")
        x = torch.randn(16, workload.size, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            mine, theirs = model.log_prob(x), case.exact(x)
        return float(((mine - theirs).abs() / mine.abs().clamp_min(1)).max())


def run(workload: Workload, rounds: int, say: Callable[[str], None]) -> list[Row]:
    """The rows of a workload."""
    numbers = workload.numbers
    cases: dict[str, tuple[nn.Module, Callable[[Tensor], Tensor]]] = {}
    exact, estimated = ours(workload, numbers), ours(workload, numbers, trace="hutchinson")
    for form, model in ((OURS, exact), (COMPILED, exact.compiled()), (HUTCHINSON, estimated)):
        cases[form] = (model, model.log_prob)
    refined = _refined(workload, numbers)
    say(f"{workload.name}: twice the steps of rk4 change the mean log-density by {refined:.1e}")
    missing = {library: "is not installed" for library in LIBRARIES if find_spec(library) is None}
    for name, build in peers().items():
        found = difference(workload, numbers, build)
        assert found is None or found < TOLERANCE, f"{name}: log-densities differ by {found:.1e}"
        say(f"{workload.name}: {name} " + ("has its own form" if found is None else f"agrees to {found:.0e}"))
        case = build(workload, numbers)
        try:
            case.log_prob(workload.rows(0)).mean().backward()
        except Exception as error:
            missing[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
        else:
            cases[name] = (case.module, case.log_prob)
    return [_row(workload, operation, cases, (missing, refined), rounds, say) for operation in OPERATIONS]


def _refined(workload: Workload, numbers: Numbers) -> float:
    """How much the fixed steps matter."""
    x = workload.rows(0)
    with torch.no_grad():
        coarse, fine = (
            ours(workload, numbers, solver=f"rk4(steps = {n})").log_prob(x).mean()
            for n in (workload.steps, 2 * workload.steps)
        )
    return float((coarse - fine).abs())


def _row(
    workload: Workload,
    operation: str,
    cases: Mapping[str, tuple[nn.Module, Callable[[Tensor], Tensor]]],
    notes: tuple[Mapping[str, str], float],
    rounds: int,
    say: Callable[[str], None],
) -> Row:
    x = workload.rows(0)
    calls = {name: _call(operation, module, log_prob, x) for name, (module, log_prob) in cases.items()}
    row = Row(workload, operation, interleaved(calls, rounds), *notes)
    times = ", ".join(f"{name} {1e3 * found.median:.1f}" for name, found in row.times.items())
    ratios = f"{row.ratio(row.best)}, compiled {row.ratio(row.best, COMPILED)}"
    say(f"{workload.name} {operation}, ms: {times}; best peer {row.best} / ours {ratios}")
    return row


def _call(operation: str, module: nn.Module, log_prob: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], object]:
    """The operation as a call; the steps of `train` are too small to change what adaptive solvers meet."""
    if operation == "log_prob":
        return partial(torch.no_grad()(log_prob), x)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-6, fused=True)

    def train() -> object:
        module.train()
        optimizer.zero_grad(set_to_none=True)
        loss = -log_prob(x).mean()
        loss.backward()
        optimizer.step()
        return loss

    return train
