"""`verify` of every `sde` and continuous `perturb`: the derived law in the Kolmogorov-Fokker-Planck equation, and the
author's equation simulated, its histograms beside the derived law, or beside a solution of that equation on a grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.address import seed_of
from dgmspec.core.types import Shape, Type
from dgmspec.graph.graph import StepNode
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.expressions import as_tensor, prepare
from dgmspec.modules.journeys import denoiser_of
from dgmspec.modules.paths import coefficients
from dgmspec.modules.paths.simulation import STEPS, Process, process_of
from dgmspec.modules.paths.unsolved import noised
from dgmspec.ops.paths.arrows import Sde
from dgmspec.ops.paths.joint import JointSde
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.ops.paths.process import AbstractProcess
from dgmspec.ops.paths.schemes import Srk
from dgmspec.ops.paths.simulation import Simulation
from dgmspec.ops.paths.unsolved import Unsolved
from dgmspec.runtime.findings import Finding
from dgmspec.runtime.kolmogorov.histograms import Histogram, coarser
from dgmspec.runtime.kolmogorov.residual import Law, Sources, residual
from dgmspec.runtime.kolmogorov.volumes import Box, binned, solve

__all__ = ["check_processes"]

Array = NDArray[np.float64]

RESIDUAL: Final = 1e-6
"""What a derived law may leave over, relative to the terms that cancel."""
DEVIATIONS: Final = 5.0
"""Standard errors that a histogram may be from the law."""

PATHS: Final = 12_288
CHUNK: Final = 4096
"""Paths of a simulation, and how many are run at once."""
STEPS_A_PATH: Final = 256
CELLS: Final = {1: (240,), 2: (128, 128)}
SOLVED: Final = 200
"""Cells of the grid along each axis, and steps of its solution."""
MOMENTS: Final = (0.25, 1.0)
"""Shares of the time at which histograms are taken."""


def check_processes(
    model: CompiledModel, seed: int, rows: Mapping[str, Tensor] | None
) -> tuple[list[Finding], list[Histogram]]:
    """The findings about all processes of a model, and what was counted on the way."""
    findings: list[Finding] = []
    seen: list[Histogram] = []
    for node in model.graph.steps.values():
        event = model.graph.type_of(node.source)
        if not isinstance(event, Type) or not isinstance(node.op, (AbstractNoising, AbstractProcess)):
            continue
        if isinstance(node.op, AbstractNoising) and node.op.discrete:
            continue  # a chain has steps, and no equation
        label = f"{node.address.rpartition('/')[0]} ({node.op.name})"
        if event.size > 2 or isinstance(node.op, JointSde):
            many = event.size > 2
            reason = f"{event} has more than two coordinates" if many else "its equation mixes coordinates"
            findings.append(Finding(node.address, label, "Fokker-Planck", None, reason=reason))
            continue
        generator = torch.Generator().manual_seed(seed_of(seed, node.address, 5))
        tried = _Tried(model, node, event, label, generator, rows)
        findings += tried.findings(seen, seed)
    return findings, seen


@dataclass(frozen=True)
class _Tried:
    """One process."""

    model: CompiledModel
    node: StepNode
    event: Type
    label: str
    generator: torch.Generator
    rows: Mapping[str, Tensor] | None

    @cached_property
    def op(self) -> Any:
        """The step, with its learned numbers as they are now."""
        if isinstance(self.node.op, AbstractNoising):
            return denoiser_of(self.node, self.model.graph, self.model.values()).op
        return self.node.op

    def findings(self, seen: list[Histogram], seed: int) -> Iterator[Finding]:
        """The residual where a law is derived, then histograms of a simulation."""
        path = self._path()
        sources = None if path is None else self._sources(path)
        if sources is not None:
            yield self._residual(sources)
        if isinstance(self.op, Simulation):
            found = list(self._simulated(sources, seed))
        elif isinstance(self.op, Unsolved):
            found = list(self._unsolved())
        elif isinstance(self.op, Sde) and sources is not None:
            found = list(self._noised(sources))
        else:
            return
        seen += found
        worst = max(histogram.deviation() for histogram in found)
        error = worst if math.isfinite(worst) else math.inf
        yield Finding(self.node.address, self.label, "simulation", error, DEVIATIONS)

    def _path(self) -> GaussianPath | None:
        if isinstance(self.op, Unsolved):
            return None
        if isinstance(self.op, Simulation):
            return self.op.gaussian(self.event.shape) if self.op.start is not None else None
        found: GaussianPath = self.op.path(self.event.shape)
        return found

    def _sources(self, path: GaussianPath) -> Sources:
        """Where the law starts: a simulation's normal start, rows of the data where there are some, or points."""
        size = max(self.event.size, 1)
        start = self.op.low if isinstance(self.op, Simulation) else self.op.start(self.event.shape)
        plan = coefficients.plan(path, len(self.event.shape), start)
        tables = coefficients.tables(path)

        def at(t: Tensor) -> coefficients.At:
            return coefficients.at(plan, tables, t, torch.float64)

        if isinstance(self.op, Simulation):
            means, widths = (torch.tensor(items, dtype=torch.float64).expand(size) for items in self.op.start or ())
            return Sources(means.unsqueeze(0), widths, at)
        variable = self.model.graph.values[self.node.source].variable
        if self.rows is not None and variable in self.rows:
            points = self.rows[variable or ""].double().reshape(-1, size)
        else:
            points = 1.5 * torch.randn(4, size, generator=self.generator, dtype=torch.float64)
        return Sources(points, torch.zeros(size, dtype=torch.float64), at)

    def _residual(self, sources: Sources) -> Finding:
        """At times from a thousandth of the span on, as many early as late ones."""
        span, count = self.op.high - self.op.low, 256
        shares = 1e-3 ** torch.rand(count, generator=self.generator, dtype=torch.float64)
        t = self.op.low + span * shares
        x = sources.draw(t, self.generator)
        error = float(residual(self._law(), sources, x, t).max())
        error = error if math.isfinite(error) else math.inf
        return Finding(self.node.address, self.label, "Fokker-Planck", error, RESIDUAL)

    def _law(self) -> Law:
        """The author's drift and diffusion; of a written kernel the process that it belongs to."""
        op, shape = self.op, self.event.shape
        if isinstance(op, (Sde, AbstractProcess)):
            drift, spread = (_function(f, op.state, op.time, shape) for f in (op.drift, op.diffusion))
            return Law(drift, spread)
        plan = coefficients.plan(op.path(shape), len(shape), op.start(shape))

        def rates(x: Tensor, t: Tensor) -> list[Tensor]:
            found = coefficients.rates(plan, t, torch.float64)
            return [value.reshape(len(t), -1).expand_as(x) for value in found]

        return Law(lambda x, t: (found := rates(x, t))[0] * x + found[1], lambda x, t: rates(x, t)[2].sqrt())

    # ---- simulation beside the derived law --------------------------------------------------------------------------

    def _noised(self, sources: Sources) -> Iterator[Histogram]:
        """The author's equation from the sources on, by small steps that know nothing of the kernel."""
        law, size = self._law(), sources.points.shape[1]
        chosen = torch.arange(PATHS) % len(sources.points)
        x = sources.points[chosen] + self.op.settings.init_noise * self._noise(size)
        grid = np.linspace(self.op.low, self.op.high, STEPS_A_PATH + 1)
        process = Process(_at_once(law.drift), _at_once(law.spread))
        wanted = [round(share * STEPS_A_PATH) for share in MOMENTS]
        for i in range(STEPS_A_PATH):
            t, h = float(grid[i]), float(grid[i + 1] - grid[i])
            dw, other = h**0.5 * self._noise(size), self._noise(size)
            x = STEPS[Srk](process, x, t, h, dw, dw / 2 + (h / 12) ** 0.5 * other)
            if i + 1 in wanted:
                yield self._beside(sources, x, float(grid[i + 1]))

    def _noise(self, size: int) -> Tensor:
        return torch.randn(PATHS, size, generator=self.generator, dtype=torch.float64)

    def _beside(self, sources: Sources, x: Tensor, t: float) -> Histogram:
        """Points beside the mass of a mixture of normal laws in each cell."""
        means, deviations = (m[0].numpy() for m in sources.moments(torch.tensor([t], dtype=torch.float64)))
        low, high = (means - 2.5 * deviations).min(0), (means + 2.5 * deviations).max(0)
        cells = 16 if len(low) == 1 else 8
        inner = [np.linspace(a, b, cells + 1) for a, b in zip(low, high, strict=True)]
        parts = []
        for i, edges in enumerate(inner):
            # Beyond the outermost edges lies the rest.
            z = (np.concatenate(([-np.inf], edges[1:-1], [np.inf])) - means[:, i : i + 1]) / deviations[:, i : i + 1]
            parts.append(np.diff(torch.special.ndtr(torch.from_numpy(z)).numpy(), axis=1))
        mass = np.mean([reduce(np.multiply.outer, each) for each in zip(*parts, strict=True)], 0)
        counts = binned(x.numpy(), inner)
        return Histogram(self.label, t, tuple(inner), counts, mass, "derived law")

    # ---- simulation beside the equation on a grid -------------------------------------------------------------------

    def _simulated(self, sources: Sources | None, seed: int) -> Iterator[Histogram]:
        """Samples of the model at two times, beside the derived law or the solution of the equation."""
        op, size = self.op, max(self.event.size, 1)
        shares = MOMENTS if sources is not None else (0.0, *MOMENTS)
        times = [op.low + share * (op.high - op.low) for share in shares]
        parts = [self.model.states_at(times, CHUNK, seed, start) for start in range(0, PATHS, CHUNK)]
        points = torch.cat(parts, 1).double().reshape(len(times), PATHS, size)
        if sources is not None:
            for t, x in zip(times, points, strict=True):
                yield self._beside(sources, x, t)
            return
        yield from self._gridded(times, points)

    def _unsolved(self) -> Iterator[Histogram]:
        """A noising process as losses simulate it, from a normal start over the place of the data."""
        op, event, size = self.op, self.event, max(self.event.size, 1)
        rows = (self.rows or {}).get(self.model.graph.values[self.node.source].variable or "")
        spread = 1.5 * self._noise(size) if rows is None else _like(rows.double().reshape(-1, size), self._noise(size))
        start, law = spread.reshape(PATHS, *event.shape), process_of(op, event, sloped=True)
        times = [op.low + share * (op.high - op.low) for share in (0.0, *MOMENTS)]
        points = [start + op.settings.init_noise * self._noise(size).reshape(start.shape)]
        for t in times[1:]:
            draws = {
                draw.name: torch.randn(PATHS, *draw.shape, generator=self.generator, dtype=torch.float64)
                for draw in op.simulation_draws(event)
            }
            points.append(noised(op, law, start, torch.full((PATHS,), t, dtype=torch.float64), draws))
        yield from self._gridded(times, torch.stack(points).reshape(len(times), PATHS, size))

    def _gridded(self, times: Sequence[float], points: Tensor) -> Iterator[Histogram]:
        """Points at the start and later ones, (times, paths, d), beside the equation solved from the first on."""
        op, size = self.op, points.shape[2]
        box = _box(points.flatten(0, 1))
        edges = [box.edges(axis) for axis in range(size)]
        drift, spread = self._ito(), _on_arrays(_at_once(self._law().spread))
        grid = np.linspace(op.low, op.high, SOLVED + 1)
        steady = op.time not in (*free_names(op.drift), *free_names(op.diffusion))
        solved = solve(_on_arrays(drift), spread, box, binned(points[0].numpy(), edges) / PATHS, grid, steady)
        for t, x, share in zip(times[1:], points[1:], MOMENTS, strict=True):
            mass = solved[round(share * SOLVED)]
            fine = Histogram(self.label, t, tuple(edges), binned(x.numpy(), edges), mass, "Fokker-Planck equation")
            # The solution begins at the histogram of the very same starts.
            yield coarser(fine)

    def _ito(self) -> Callable[[Tensor, float], Tensor]:
        """Itô's drift: Stratonovich's with g_i ∂g_i/∂x_i / 2 added."""
        op, law = self.op, self._law()
        drift, spread = _at_once(law.drift), _at_once(law.spread)
        if not op.reads_state or op.settings.calculus == "ito":
            return drift
        slope = _at_once(_function(op.slope(self.event.shape).formula, op.state, op.time, self.event.shape))
        return lambda x, t: drift(x, t) + 0.5 * spread(x, t) * slope(x, t)


def _function(formula: AbstractExpr, state: str, time: str, shape: Shape) -> Callable[[Tensor, Tensor], Tensor]:
    """A formula as a function of x (n, d) and t (n,)."""
    run = prepare(formula)

    def values(x: Tensor, t: Tensor) -> Tensor:
        event = x.reshape(len(x), *shape)
        found = as_tensor(run({state: event, time: t}, event), event)
        each = found if found.dim() == event.dim() else found.reshape(-1, *(1,) * (event.dim() - 1))
        return each.expand_as(event).reshape(x.shape)

    return values


def _at_once(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, float], Tensor]:
    """All points at one time."""
    return lambda x, t: function(x, torch.full((len(x),), t, dtype=torch.float64))


def _on_arrays(function: Callable[[Tensor, float], Tensor]) -> Callable[[Array, float], Array]:
    """The same on arrays."""
    return lambda x, t: function(torch.from_numpy(x), t).numpy()


def _like(rows: Tensor, noise: Tensor) -> Tensor:
    """Normal points with the mean of some rows and their deviation, which is 1 of a single one."""
    return rows.mean(0) + (rows.std(0) if len(rows) > 1 else 1.0) * noise


def _box(joined: Tensor) -> Box:
    """The grid around all points, with a margin."""
    low, high = joined.min(0).values, joined.max(0).values
    margin = 0.1 * (high - low)
    return Box(tuple((low - margin).tolist()), tuple((high + margin).tolist()), CELLS[joined.shape[1]])
