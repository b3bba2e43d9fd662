"""α, m, σ and λ of a Gaussian path at a tensor of times, in float64, cast to the model's precision at the very end.

The times are taken as they are, in float32 say, and widened; so a coefficient is right to its last digit for the time
that the model was given. Derived paths read their series from tables, written ones run their formulas, chains look up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.algebra.paths.scalar import Chain, Derived, Written
from dgmspec.modules.expressions import as_tensor, prepare
from dgmspec.modules.paths.learned import AbstractLearned, learned_curve
from dgmspec.modules.twin import EXACT
from dgmspec.ops.paths.numbers import Schedule

Run = Callable[[Tensor], Tensor]

__all__ = ["At", "Plan", "Rates", "Slopes", "at", "plan", "rates", "slopes", "tables"]


class At(NamedTuple):
    """A path at one time a row: every entry (batch, 1, …) or (batch, d), so that it broadcasts against events."""

    alpha: Tensor
    mean: Tensor
    sigma: Tensor
    log_snr: Tensor


class Rates(NamedTuple):
    """dx = (rate x + offset) dt + √spread dW at one time a row, shaped as in `At`."""

    rate: Tensor
    offset: Tensor
    spread: Tensor


class Slopes(NamedTuple):
    """α', m' and σ' at one time a row, shaped as in `At`."""

    alpha: Tensor
    mean: Tensor
    sigma: Tensor


def tables(path: GaussianPath) -> dict[str, Tensor]:
    """The tables of all curves that need some, float64."""
    found: dict[str, Tensor] = {}
    for i, curve in enumerate(path.curves):
        if isinstance(curve, Derived):
            table = curve.table
            found[_name(i, "edges")] = torch.tensor(table.edges, dtype=torch.float64)
            found[_name(i, "power")] = torch.tensor(table.power, dtype=torch.float64)
            for name, series in (("grown", table.log_alpha), ("mean", table.mean), ("added", table.log_variance)):
                found[_name(i, name)] = _padded(series)
        elif isinstance(curve, Chain):
            columns = torch.tensor([curve.logs, curve.means, curve.log_variances], dtype=torch.float64)
            found[_name(i, "chain")] = columns
    return found


def _name(index: int, part: str) -> str:
    return f"path/{index}/{part}{EXACT}"


def _padded(series: tuple[tuple[float, ...], ...]) -> Tensor:
    """Series of different lengths as one matrix."""
    width = max(map(len, series))
    return torch.tensor([[*row, *(0.0,) * (width - len(row))] for row in series], dtype=torch.float64)


@dataclass(frozen=True)
class Plan:
    """A path made ready for tensors: its formulas as functions, one set a curve."""

    path: GaussianPath
    event: int
    """The number of dimensions of an event."""
    written: tuple[tuple[Run, ...], ...]
    process: tuple[tuple[Run, ...], ...]
    slopes: tuple[tuple[Run, ...], ...]
    range: tuple[float, float]
    """λ at the earliest time in use and at the last."""
    learned: AbstractLearned | None = None
    """The curve of a law that reads what is learned, which is then worked out anew at each use."""


def plan(path: GaussianPath, event: int, start: float, schedule: Schedule | None = None) -> Plan:
    """The path's formulas prepared; `start` is the earliest time in use, `schedule` what the law learns."""
    name = path.times.name
    forms = [(c.scale, c.shift, c.noise) if isinstance(c, Written) else () for c in path.curves]
    return Plan(
        path,
        event,
        tuple(tuple(_function(f, name) for f in form) for form in forms),
        tuple(tuple(_function(f, name) for f in (q.rate, q.offset, q.spread)) for q in path.processes),
        tuple(tuple(_function(f, name) for f in q.slopes or ()) for q in path.processes),
        (path.log_snr(start), path.log_snr(path.high)),
        None if schedule is None else learned_curve(path, schedule),
    )


def at(here: Plan, p: Mapping[str, Tensor], t: Tensor, dtype: torch.dtype) -> At:
    """The path at times (batch,)."""
    wide = t.double()
    own = here.learned
    parts = [own.logs(p, wide)] if own else [_curve(here, i, p, wide) for i in range(len(here.path.curves))]
    logs, means, variances = (_shaped([part[k] for part in parts], here.event) for k in range(3))
    found = At(logs.exp(), means, (variances / 2).exp(), 2 * logs - variances)
    return At(*(value.to(dtype) for value in found))


def rates(here: Plan, t: Tensor, dtype: torch.dtype, p: Mapping[str, Tensor] = MappingProxyType({})) -> Rates:
    """The coefficients of the process at times (batch,)."""
    wide, own = t.double(), here.learned
    parts = [own.rates(p, wide)] if own else [[run(wide) for run in runs] for runs in here.process]
    return Rates(*(_shaped([part[k] for part in parts], here.event).to(dtype) for k in range(3)))


def slopes(
    here: Plan, found: At, t: Tensor, dtype: torch.dtype, p: Mapping[str, Tensor] = MappingProxyType({})
) -> Slopes:
    """How fast α, m and σ change at times (batch,), where they are `found`; derived ones by σ' = a σ + g² / (2 σ)."""
    if not here.slopes[0]:
        flow = rates(here, t, torch.float64, p)
        alpha, mean, sigma = (value.double() for value in found[:3])
        changes = (flow.rate * alpha, flow.rate * mean + flow.offset, flow.rate * sigma + flow.spread / (2 * sigma))
        return Slopes(*(value.to(dtype) for value in changes))
    wide, own = t.double(), here.learned
    parts = [own.slopes(p, wide)] if own else [[run(wide) for run in runs] for runs in here.slopes]
    return Slopes(*(_shaped([part[k] for part in parts], here.event).to(dtype) for k in range(3)))


def _shaped(columns: list[Tensor], event: int) -> Tensor:
    """One number a row against the whole event, or one for each coordinate of a vector."""
    if len(columns) > 1:
        return torch.stack(columns, 1)
    return columns[0].reshape(-1, *(1,) * event)


def _function(formula: AbstractExpr, name: str) -> Run:
    """A formula of the time as a function of times (batch,), always of that shape."""
    run = prepare(formula)

    def values(t: Tensor) -> Tensor:
        return as_tensor(run({name: t}, t), t).expand(t.shape)

    return values


# ---- one curve ------------------------------------------------------------------------------------------------------


def _curve(here: Plan, index: int, p: Mapping[str, Tensor], t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(log α, m, log σ²) of a curve."""
    curve = here.path.curves[index]
    if isinstance(curve, Derived):
        table = [p[_name(index, part)] for part in ("edges", "grown", "mean", "added")]
        return _derived(curve.init_noise, p[_name(index, "power")], table, t - curve.low)
    if isinstance(curve, Chain):
        columns = p[_name(index, "chain")]
        place = (t - curve.low).round().long().clamp(0, columns.shape[1] - 1)
        log_alpha, mean, log_variance = columns[:, place].unbind(0)
        return log_alpha, mean, log_variance
    scale, shift, noise = (run(t) for run in here.written[index])
    return scale.log(), shift, 2 * noise.log()


def _derived(init_noise: float, power: Tensor, table: list[Tensor], t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The series of the panel that t lies in; before the first panel, the power laws of `Moments`."""
    edges, *series = table
    first = edges[0]
    place = (torch.searchsorted(edges, t, right=True) - 1).clamp(0, len(edges) - 2)
    low, high = edges[place], edges[place + 1]
    angle = ((2 * t - low - high) / (high - low)).clamp(-1, 1).acos().unsqueeze(1)
    grown, mean, added = (_series(rows[place], angle) for rows in series)
    share = (t / first).clamp(max=1.0)
    added = added + power * share.log()
    if init_noise:
        added = torch.logaddexp(added, 2 * (grown * share + math.log(init_noise)))
    return grown * share, mean * share, added


def _series(rows: Tensor, angle: Tensor) -> Tensor:
    """Σ c_k cos(k θ) for each row."""
    orders = torch.arange(rows.shape[1], dtype=rows.dtype, device=rows.device)
    return (rows * torch.cos(angle * orders)).sum(1)
