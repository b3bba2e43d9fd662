"""One workload: every library built, checked against ours, and timed at what people do with a flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from bench.adapters import dgmspec as ours
from bench.adapters import installed
from bench.adapters.base import Flow
from bench.agreement import check
from bench.measure import Case, Ratio, Times, interleaved, paired
from bench.workloads import Workload

__all__ = ["COMPILED", "EAGER", "FROZEN", "FROZEN_COMPILED", "OPERATIONS", "PRODUCTS", "Row", "run"]

OPERATIONS = ("log_prob", "train", "sample")
EAGER, COMPILED, FROZEN, FROZEN_COMPILED = "dgmspec", "dgmspec compiled", "dgmspec frozen", "dgmspec frozen compiled"
PRODUCTS = "products"
"""The nets' matrix products alone, one after another: what no library can do without."""

MOST_UNROLLED = 64
"""Dependent steps of a sample beyond which compiling it is not tried."""


@dataclass(frozen=True)
class Row:
    """One operation of one workload; `missing` says by library why it has no time."""

    workload: Workload
    operation: str
    times: Mapping[str, Times]
    missing: Mapping[str, str]

    @property
    def best(self) -> str:
        """The fastest other library by its median."""
        peers = [name for name in self.times if name != PRODUCTS and not name.startswith(EAGER)]
        return min(peers, key=lambda name: self.times[name].median)

    def ratio(self, name: str) -> Ratio | None:
        """How many times faster than the best peer a form of ours is."""
        return paired(self.times[self.best], self.times[name]) if name in self.times else None


def run(
    workload: Workload, operations: tuple[str, ...], rounds: int, compiled: bool, say: Callable[[str], None]
) -> list[Row]:
    """The rows of a workload; libraries that lack a layer are left out, those that fail are named with their error."""
    flows, missing = _peers(workload, say)
    model = ours.build(workload)
    flows[EAGER] = ours.flow_of(model)
    if compiled:
        # For wide nets, where a call costs less than compiling for it, each program is one C++ function.
        flows[COMPILED] = ours.flow_of(model.compiled(ahead=workload.folds))
    return [_row(workload, operation, flows, missing, rounds, say) for operation in operations]


def _peers(workload: Workload, say: Callable[[str], None]) -> tuple[dict[str, Flow], dict[str, str]]:
    flows: dict[str, Flow] = {}
    missing: dict[str, str] = {}
    for library, build in installed().items():
        flow = build(workload)
        if flow is None:
            missing[library] = "has no such layer"
            continue
        found = check(workload, build)
        say(f"{workload.name}: {library} " + ("has its own form" if found is None else f"agrees to {found:.0e}"))
        flows[library] = flow
    return flows, missing


def _row(
    workload: Workload,
    operation: str,
    flows: Mapping[str, Flow],
    missing: Mapping[str, str],
    rounds: int,
    say: Callable[[str], None],
) -> Row:
    missing = dict(missing)
    x = torch.randn(workload.batch, workload.size, generator=torch.Generator().manual_seed(2))
    forms = dict(flows)
    unrolls = operation == "sample" and workload.unrolls > MOST_UNROLLED
    if workload.draws_terms and forms.pop(COMPILED, None) is not None:
        missing[COMPILED] = "the number of terms of its series is drawn, so no one graph holds it"
    if unrolls and forms.pop(COMPILED, None) is not None:
        cost = "all are taken, where eager stops" if workload.kind == "residual" else "minutes to compile"
        missing[COMPILED] = f"an inverse of {workload.unrolls} dependent steps unrolls: {cost}"
    if operation != "train" and workload.folds:
        frozen = flows[EAGER].module.freeze()
        forms[FROZEN] = ours.flow_of(frozen)
        if COMPILED in forms:
            forms[FROZEN_COMPILED] = ours.flow_of(frozen.compiled(ahead=True))
    cases: dict[str, Case] = {}
    for name, flow in forms.items():
        case = _case(operation, flow, x)
        try:
            case()
        except Exception as error:
            missing[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
        else:
            cases[name] = case
    if operation == "log_prob":
        cases[PRODUCTS] = _products(workload)
    row = Row(workload, operation, interleaved(cases, rounds), missing)
    faster = ", ".join(f"{name} {row.ratio(name)}" for name in row.times if name.startswith(EAGER))
    say(f"{workload.name} {operation}: best peer {row.best} {1e3 * row.times[row.best].median:.2f} ms; {faster}")
    return row


def _products(workload: Workload) -> Case:
    """The matrix products of the nets in one pass of the model."""
    count = workload.size // 2 if workload.kind in ("coupling", "glow") else workload.size
    outputs = count if workload.kind == "residual" else workload.raw * count
    widths = (count, workload.hidden, workload.hidden, outputs)
    pairs = [(torch.randn(workload.batch, n), torch.randn(m, n), torch.randn(m)) for n, m in pairwise(widths)]

    @torch.no_grad()
    def multiply() -> None:
        for _ in range(workload.layers):
            for x, weight, bias in pairs:
                torch.nn.functional.linear(x, weight, bias)

    return multiply


def _case(operation: str, flow: Flow, x: Tensor) -> Case:
    """The operation as a call; `train` moves the weights, by the same optimiser everywhere."""
    flow.module.train(operation == "train")
    if operation == "log_prob":
        return torch.no_grad()(lambda: flow.log_prob(x))
    if operation == "sample":
        return torch.no_grad()(lambda: flow.sample(len(x)))
    optimizer = torch.optim.Adam(flow.module.parameters(), lr=1e-5, fused=True)

    def train() -> object:
        optimizer.zero_grad(set_to_none=True)
        if flow.pull is not None:
            loss = flow.pull(x)
        else:
            loss = -flow.log_prob(x).mean()
            loss.backward()
        optimizer.step()
        return loss

    return train
