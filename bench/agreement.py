"""Whether two libraries compute the same density, before either is timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from bench.adapters import dgmspec as ours
from bench.adapters.base import Flow
from bench.workloads import Workload

__all__ = ["PARAMETERS", "check", "difference"]

TOLERANCE = 1e-9
"""Largest difference of log-densities in float64, relative to their size."""
PARAMETERS = 0.01
"""Largest relative difference of the numbers of parameters (LU maps have a shift in some libraries)."""


def check(workload: Workload, build: Callable[[Workload], Flow | None]) -> float | None:
    """The largest difference of log-densities under the same parameters in float64; None where the library has another
    parametrisation. A difference beyond rounding, or another number of parameters, is an error."""
    found = difference(workload, build)
    assert found is None or found < TOLERANCE, f"{workload.title}: log-densities differ by {found:.1e}"
    if not workload.comparable:
        return None
    theirs, mine = build(workload), ours.flow_of(ours.build(workload)).parameters()
    assert theirs is not None
    off = abs(theirs.parameters() - mine) / mine
    assert off < PARAMETERS, f"{workload.title}: {theirs.parameters()} parameters, and ours has {mine}"
    return found


def difference(workload: Workload, build: Callable[[Workload], Flow | None]) -> float | None:
    """The largest relative difference of log-densities with our parameters in both, float64."""
    with in_float64():
        flow = build(workload)
        if flow is None or flow.load is None:
            return None
        model = ours.build(workload.small(), torch.float64)
        ours.randomise(model, scale=0.5 / workload.hidden**0.5)
        if workload.kind == "residual":
            ours.shrink(model, 0.1)
        flow.load(ours.layers_of(model))
        flow.module.eval()
        x = torch.randn(64, workload.size, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            mine, theirs = model.log_prob(x), flow.log_prob(_relabelled(x, flow))
        return float(((mine - theirs).abs() / mine.abs().clamp_min(1)).max())


def _relabelled(x: Tensor, flow: Flow) -> Tensor:
    return x if flow.order is None else x[:, list(flow.order)]


@contextmanager
def in_float64() -> Iterator[None]:
    """Some libraries make their log-determinants in torch's default precision, whatever their input's."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
