"""How far the law at the end of a noising arrow is from the prior there, measured on rows of data.

`check` derives the figure for normal priors at the end of Gaussian paths and data of mean square 1. Of other arrows,
and of the data at hand, it is measured: x_T is drawn from some rows of data, and its density estimated by the mean of
the normal laws that other rows have there, given the data or, where no kernel has a formula, given the state a little
before the end of a simulation. KL(p_T ‖ prior) is the mean difference of the two log-densities.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from dgmspec.core.address import Address, seed_of
from dgmspec.core.types import Type
from dgmspec.graph.graph import Prior, StepNode
from dgmspec.graph.standardizing import data_end
from dgmspec.modules.calls import prepare
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.journeys import denoiser_of
from dgmspec.modules.paths.process import process_of
from dgmspec.modules.paths.unsolved import noised
from dgmspec.modules.prepared import Resources
from dgmspec.modules.standardizing import behind
from dgmspec.ops.paths.joint import JointSde
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.ops.paths.unsolved import Unsolved
from dgmspec.program.program import Program
from dgmspec.runtime.data import AbstractTable, by_weight
from dgmspec.runtime.feed import columns_of

__all__ = ["Mismatch", "ends_of", "mismatches"]

ROWS: Final = 2048
"""States at the end: half of them estimate the density at the other half. Simulated ones are twice as many."""
LAST: Final = 1 / 32
"""The share of the time that the last step of a simulation takes here at least, for its normal laws to overlap."""
COORDINATES: Final = 16
"""Of larger events the mean of so few normal laws says too little."""
NOTABLE: Final = 0.01
"""Nats per dimension from which on it is worth a warning, as in `check`."""

Normals = tuple[Tensor, Tensor]
"""Means (rows, d), and deviations that broadcast against them."""


@dataclass(frozen=True)
class Mismatch:
    """KL(p_T ‖ prior) of one arrow per dimension, in nats, with the standard error of its estimate."""

    address: Address
    label: str
    time: str
    nats: float
    error: float
    of: str
    """The data at the start, in words."""

    @property
    def notable(self) -> bool:
        """Whether samples, which start from the prior, start too far from where the arrow ends."""
        return self.nats - 2 * self.error > NOTABLE

    def __str__(self) -> str:
        after = ": let the arrow run longer, or give the prior the law there" if self.notable else ""
        return (
            f"{self.label}: x at {self.time} is {max(self.nats, 0.0):.2g} ± {self.error:.1g} nats per dimension away "
            f"from its prior, {self.of}{after}"
        )

    def data(self) -> dict[str, Any]:
        """The figure for JSON."""
        return {"address": self.address, "nats_per_dim": self.nats, "stderr": self.error, "of": self.of}


@torch.no_grad()
def mismatches(model: CompiledModel, rows: Mapping[str, Tensor] | None, seed: int) -> Iterator[Mismatch]:
    """One for each noising arrow to a prior of numbers, from the rows at its start, or from normal ones of mean square
    1 where there are none."""
    for node, event, prior in _ends(model):
        given = _rows(model, node, rows or {})
        if given is not None or not event.support.discrete:
            found = _measured(model, node, event, prior, given, seed)
            yield from () if found is None else (found,)


def ends_of(model: CompiledModel, table: AbstractTable | None, seed: int) -> tuple[Mismatch, ...]:
    """The figures of all noising arrows for some rows of a table, the first ones where it streams."""
    if table is None or not any(True for _ in _ends(model)):
        return ()
    rows = table.head(table.sizes[0]) if table.streams else table.sample(ROWS, seed)
    return tuple(mismatches(model, columns_of(model, by_weight(rows, seed)), seed))


def _ends(model: CompiledModel) -> Iterator[tuple[StepNode, Type, Prior]]:
    """The noising arrows of events that are not too large, with the laws at their ends."""
    for node in model.graph.steps.values():
        event, prior = model.graph.type_of(node.source), _prior(model, node)
        if isinstance(event, Type) and 0 < event.size <= COORDINATES and prior is not None:
            yield node, event, prior


def _rows(model: CompiledModel, node: StepNode, rows: Mapping[str, Tensor]) -> Tensor | None:
    """The rows of the variable at an arrow's start, as they enter it; None where they are not given."""
    starts = (v for v in model.graph.observed.values() if data_end(model.graph, v) == node.source)
    found = [behind(model.graph, v, model.values(), rows[v.name]) for v in starts if v.name in rows]
    return found[0] if found else None


def _measured(
    model: CompiledModel, node: StepNode, event: Type, prior: Prior, given: Tensor | None, seed: int
) -> Mismatch | None:
    """The figure of one arrow; None where its prior has parameters that are no numbers, or its law no density."""
    op: Any = node.op
    generator = torch.Generator().manual_seed(seed_of(seed, node.address, 7))
    x = _starts(given, event, 2 * ROWS if isinstance(op, Unsolved) else ROWS, generator)
    laws = _simulated(op, event, x, generator) if isinstance(op, Unsolved) else _kernel(model, node, x)
    ends = laws[0] + laws[1] * torch.randn(laws[0].shape, generator=generator, dtype=torch.float64)
    spread = bool(torch.isfinite(ends).all()) and bool((laws[1] > 0).all())
    there = _density(model, prior, ends, event) if spread else None
    if there is None or not bool(torch.isfinite(there).all()):
        return None
    nats, error = _divergence(laws, ends, there)
    said = "for the data" if given is not None else "for normal data of mean square 1"
    label, time = f"{node.address.rpartition('/')[0]} ({op.name})", f"{op.time} = {op.high:g}"
    return Mismatch(node.address, label, time, nats / event.size, error / event.size, said)


def _prior(model: CompiledModel, node: StepNode) -> Prior | None:
    """The law at the end of a noising arrow."""
    if isinstance(node.op, JointSde) or not isinstance(node.op, (AbstractNoising, Unsolved)):
        return None
    variable = model.graph.variables.get(model.graph.values[node.target].variable or "")
    return None if variable is None else variable.prior


def _starts(rows: Tensor | None, event: Type, count: int, generator: torch.Generator) -> Tensor:
    """So many events at the start, float64, some of them several times where there are fewer."""
    if rows is None:
        return torch.randn(count, *event.shape, generator=generator, dtype=torch.float64)
    order = torch.cat([torch.randperm(len(rows), generator=generator) for _ in range(-(-count // len(rows)))])
    return rows.detach().cpu()[order[:count]].double()


# ---- the law at the end ---------------------------------------------------------------------------------------------


def _kernel(model: CompiledModel, node: StepNode, x: Tensor) -> Normals:
    """Of a Gaussian path: α x_0 + m and σ."""
    net = denoiser_of(node, model.graph, {name: value.cpu() for name, value in model.values().items()})
    op: Any = net.op
    end = net.at(torch.full((1,), op.high, dtype=torch.float64), torch.float64)
    means = end.alpha * net.data(x) + end.mean
    return means.flatten(1) if means.dim() > 1 else means.unsqueeze(1), end.sigma.expand(means.shape).reshape(
        len(x), -1
    )


def _simulated(op: Unsolved, event: Type, x: Tensor, generator: torch.Generator) -> Normals:
    """Of a simulation: a last step by Euler's rule, from states a little before the end."""
    law, rows = process_of(op, event), len(x)
    h = (op.high - op.low) * max(LAST, 1 / (op.scheme(event.shape).steps + 1))
    draws = {
        draw.name: torch.randn(rows, *draw.shape, generator=generator, dtype=torch.float64)
        for draw in op.simulation_draws(event)
    }
    before = noised(op, law, x, torch.full((rows,), op.high - h, dtype=torch.float64), draws)
    means, deviations = before + h * law.drift(before, op.high - h), math.sqrt(h) * law.spread(before, op.high - h)
    return means.reshape(rows, -1), deviations.reshape(rows, -1).abs()


def _density(model: CompiledModel, prior: Prior, x: Tensor, event: Type) -> Tensor | None:
    """log p(x) of a prior whose parameters are numbers of its own, (batch,)."""
    for program in model.programs.values():
        for line in program.instructions if isinstance(program, Program) else ():
            if line.target == "log_prob" and line.address == prior.address and len(line.inputs) == 1:
                call, values = prepare(line, Resources()), model.values()
                own = {name: _wide(values[key]) for name, key in call.parameters}
                found: Tensor = call.run(False, own, x.reshape(len(x), *event.shape))
                return found
    return None


def _wide(value: Tensor) -> Tensor:
    return value.cpu().double() if value.is_floating_point() else value.cpu()


# ---- the divergence -------------------------------------------------------------------------------------------------


def _divergence(laws: Normals, x: Tensor, prior: Tensor) -> tuple[float, float]:
    """KL in nats from the prior's log-density at points x, and its standard error: of the first half of the points by
    the laws of the second, and the other way round. A mean of n normal laws errs by about c/n in the mean of its
    logarithm, which half of them tells."""
    half, gaps, shifts = len(x) // 2, [], []
    for here, there in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
        each = _logs(x[here], laws[0][there], laws[1][there])
        whole = torch.logsumexp(each, 1) - math.log(half)
        parts = [torch.logsumexp(part, 1) - math.log(half // 2) for part in each.chunk(2, 1)]
        shifts.append(float((whole - (parts[0] + parts[1]) / 2).mean()))
        gaps.append(whole - prior[here])
    gap, shift = torch.cat(gaps), sum(shifts) / 2
    return float(gap.mean()) + shift, math.hypot(float(gap.std()) / math.sqrt(len(x)), shift)


def _logs(x: Tensor, means: Tensor, deviations: Tensor) -> Tensor:
    """(points, laws): the log-density of each normal law at each point."""
    found = x.new_zeros(len(x), len(means))
    for i in range(x.shape[1]):
        z = (x[:, i : i + 1] - means[:, i]) / deviations[:, i]
        found -= z**2 / 2 + deviations[:, i].log()
    return found - x.shape[1] / 2 * math.log(2 * math.pi)
