"""α, m, σ and λ of a Gaussian path at a tensor of times, in float64, cast to the model's precision at the very end.

The times are taken as they are, in float32 say, and widened; so a coefficient is right to its last digit for the time
that the model was given. Derived paths read their series from tables, written ones run their formulas, chains look up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol, Self

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

__all__ = [
    "AnyAt",
    "AnyRates",
    "At",
    "Plan",
    "Rates",
    "Slopes",
    "at",
    "of_time",
    "panels",
    "plan",
    "rates",
    "series",
    "slopes",
    "tables",
]


class AnyAt(Protocol):
    """The law of x_t given x_0 at one time a row, whether its coefficients are numbers or matrices."""

    def row(self, i: int) -> Self:
        """The law at one of the times, for all rows."""

    def noised(self, x: Tensor, noise: Tensor) -> Tensor:
        """x_t from clean values and standard normal noise (batch, *event)."""

    def told(self, noise: Tensor) -> Tensor:
        """What of the noise a net predicts."""

    def score(self, noise: Tensor) -> Tensor:
        """∇ log p(x_t) (batch, *event) from the noise that is predicted."""

    def at_noise(self, x: Tensor, there: Self) -> Tensor:
        """x, which is noise alone here, as the same noise at another time."""


class AnyRates(Protocol):
    """dx = f(x) dt + G dW at one time a row."""

    def row(self, i: int) -> Self:
        """The process at one of the times, for all rows."""

    def drift(self, x: Tensor) -> Tensor:
        """f(x)."""

    def pull(self, score: Tensor) -> Tensor:
        """G Gᵀ s."""

    def kick(self, noise: Tensor, span: float) -> Tensor:
        """What normal noise adds over a short time."""

    def halfway(self, other: Self) -> Self:
        """The mean of two times' diffusions, with this one's drift."""


class At(NamedTuple):
    """A path at one time a row: every entry (batch, 1, …) or (batch, d), so that it broadcasts against events."""

    alpha: Tensor
    mean: Tensor
    sigma: Tensor
    log_snr: Tensor

    def row(self, i: int) -> At:
        """Every entry with a batch of 1."""
        return At(*(value[i : i + 1] for value in self))

    def noised(self, x: Tensor, noise: Tensor) -> Tensor:
        """x_t = α x_0 + m + σ ε."""
        return self.alpha * x + self.mean + self.sigma * noise

    def told(self, noise: Tensor) -> Tensor:
        """All of it."""
        return noise

    def score(self, noise: Tensor) -> Tensor:
        """-ε / σ."""
        return -noise / self.sigma

    def at_noise(self, x: Tensor, there: At) -> Tensor:
        """m_s + (σ_s / σ_t) (x - m_t)."""
        return there.mean + there.sigma / self.sigma * (x - self.mean)


class Rates(NamedTuple):
    """dx = (rate x + offset) dt + √spread dW at one time a row, shaped as in `At`."""

    rate: Tensor
    offset: Tensor
    spread: Tensor

    def row(self, i: int) -> Rates:
        """Every entry with a batch of 1."""
        return Rates(*(value[i : i + 1] for value in self))

    def drift(self, x: Tensor) -> Tensor:
        """a x + b."""
        return self.rate * x + self.offset

    def pull(self, score: Tensor) -> Tensor:
        """g² s."""
        return self.spread * score

    def kick(self, noise: Tensor, span: float) -> Tensor:
        """g √h z."""
        return (span * self.spread).sqrt() * noise

    def halfway(self, other: Rates) -> Rates:
        """The mean of both g²."""
        return self._replace(spread=(self.spread + other.spread) / 2)


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
    learned: tuple[AbstractLearned, ...] = ()
    """The curves of a law that reads what is learned, which are then worked out anew at each use."""


def plan(path: GaussianPath, event: int, start: float, schedules: tuple[Schedule, ...] = ()) -> Plan:
    """The path's formulas prepared; `start` is the earliest time in use, `schedules` are what the law learns."""
    name = path.times.name
    forms = [(c.scale, c.shift, c.noise) if isinstance(c, Written) else () for c in path.curves]
    return Plan(
        path,
        event,
        tuple(tuple(of_time(f, name) for f in form) for form in forms),
        tuple(tuple(of_time(f, name) for f in (q.rate, q.offset, q.spread)) for q in path.processes),
        tuple(tuple(of_time(f, name) for f in q.slopes or ()) for q in path.processes),
        (path.log_snr(start), path.log_snr(path.high)),
        tuple(learned_curve(path, i, schedule) for i, schedule in enumerate(schedules)),
    )


def at(here: Plan, p: Mapping[str, Tensor], t: Tensor, dtype: torch.dtype) -> At:
    """The path at times (batch,)."""
    wide = t.double()
    parts = [own.logs(p, wide) for own in here.learned]
    parts = parts or [_curve(here, i, p, wide) for i in range(len(here.path.curves))]
    logs, means, variances = (_shaped([part[k] for part in parts], here.event) for k in range(3))
    found = At(logs.exp(), means, (variances / 2).exp(), 2 * logs - variances)
    return At(*(value.to(dtype) for value in found))


def rates(here: Plan, t: Tensor, dtype: torch.dtype, p: Mapping[str, Tensor] = MappingProxyType({})) -> Rates:
    """The coefficients of the process at times (batch,)."""
    wide = t.double()
    parts = [own.rates(p, wide) for own in here.learned] or [[run(wide) for run in runs] for runs in here.process]
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
    wide = t.double()
    parts = [own.slopes(p, wide) for own in here.learned] or [[run(wide) for run in runs] for runs in here.slopes]
    return Slopes(*(_shaped([part[k] for part in parts], here.event).to(dtype) for k in range(3)))


def _shaped(columns: list[Tensor], event: int) -> Tensor:
    """One number a row against the whole event, or one for each coordinate of a vector."""
    if len(columns) > 1:
        return torch.stack(columns, 1)
    return columns[0].reshape(-1, *(1,) * event)


def of_time(formula: AbstractExpr, name: str) -> Run:
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
    edges, *tables = table
    first = edges[0]
    place, angle = panels(edges, t)
    grown, mean, added = (series(rows[place], angle) for rows in tables)
    share = (t / first).clamp(max=1.0)
    added = added + power * share.log()
    if init_noise:
        added = torch.logaddexp(added, 2 * (grown * share + math.log(init_noise)))
    return grown * share, mean * share, added


def panels(edges: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The panel that each time lies in, and (batch, 1) the angle whose cosine is its place there."""
    place = (torch.searchsorted(edges, t, right=True) - 1).clamp(0, len(edges) - 2)
    low, high = edges[place], edges[place + 1]
    return place, ((2 * t - low - high) / (high - low)).clamp(-1, 1).acos().unsqueeze(1)


def series(rows: Tensor, angle: Tensor) -> Tensor:
    """Σ c_k cos(k θ) over the last dimension."""
    orders = torch.arange(rows.shape[-1], dtype=rows.dtype, device=rows.device)
    return (rows * torch.cos(angle * orders)).sum(-1)
