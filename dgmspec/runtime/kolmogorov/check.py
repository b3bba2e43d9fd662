"""`verify` of every `sde` and continuous `perturb`: the derived law in the Kolmogorov-Fokker-Planck equation, and the
author's equation simulated, its histograms beside the derived law, or beside a solution of that equation on a grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.algebra.paths.joint import JointPath
from dgmspec.core.address import seed_of
from dgmspec.core.types import Type
from dgmspec.graph.graph import StepNode
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.journeys import denoiser_of, settled
from dgmspec.modules.lost import gone
from dgmspec.modules.paths import coefficients
from dgmspec.modules.paths.joint_coefficients import joint_at, joint_plan, joint_tables
from dgmspec.modules.paths.process import STEPS, Process, process_of
from dgmspec.modules.paths.unsolved import noised
from dgmspec.modules.solvers import SolverError
from dgmspec.ops.paths.arrows import Sde
from dgmspec.ops.paths.joint import JointSde, Started
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.ops.paths.process import AbstractProcess
from dgmspec.ops.paths.schemes import Srk
from dgmspec.ops.paths.simulation import Simulation
from dgmspec.ops.paths.unsolved import Unsolved
from dgmspec.runtime.findings import Finding
from dgmspec.runtime.kolmogorov.gridded import gridded
from dgmspec.runtime.kolmogorov.histograms import Histogram
from dgmspec.runtime.kolmogorov.laws import at_once, law_of, law_under, untried
from dgmspec.runtime.kolmogorov.residual import AbstractSources, JointSources, Law, Sources, residual, standard
from dgmspec.runtime.kolmogorov.volumes import binned

__all__ = ["check_processes"]

RESIDUAL: Final = 1e-6
"""What a derived law may leave over, relative to the terms that cancel."""
DEVIATIONS: Final = 5.0
"""Standard errors that a histogram may be from the law."""

PATHS: Final = 12_288
CHUNK: Final = 4096
"""Paths of a simulation, and how many are run at once."""
STEPS_A_PATH: Final = 256
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
        generator = torch.Generator().manual_seed(seed_of(seed, node.address, 5))
        tried = _Tried(model, node, event, label, generator, rows)
        if reason := tried.untried():
            findings.append(Finding(node.address, label, "Fokker-Planck", None, reason=reason))
            continue
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
        if isinstance(self.node.op, Simulation) and self.node.op.learned:
            return settled(self.node.op, self._parameters()).settled(self.event)
        return self.node.op

    def untried(self) -> str:
        """Why nothing is tried; empty where it is."""
        context = self.node.context is not None
        reason = untried(self.node.op, self.event, context)  # type: ignore[arg-type]  # one of these two
        learned = isinstance(self.node.op, Simulation) and bool(self.node.op.learned)
        return untried(self.op, self.event, context) if learned and not reason else reason

    def _parameters(self) -> dict[str, Tensor]:
        """What the law of a simulation learns, as it is now."""
        values, at = self.model.values(), self.node.address
        return {spec.name: values[spec.key(at)] for spec in self.node.op.parameters(self.event, None)}

    def findings(self, seen: list[Histogram], seed: int) -> Iterator[Finding]:
        """The residual where a law is derived, then histograms of a simulation."""
        path = self._path()
        sources = None if path is None else self._sources(path)
        if sources is not None:
            yield self._residual(sources)
        histograms = self._histograms(sources, seed)
        if histograms is None:
            return
        try:
            found = list(histograms)
        except SolverError as error:
            yield Finding(self.node.address, f"{self.label}, {error}", "simulation", math.inf, DEVIATIONS)
            return
        if not found:
            reason = "its noise is too small beside its drift for the cells of a grid, and no law is derived"
            yield Finding(self.node.address, self.label, "simulation", None, reason=reason)
            return
        seen += found
        worst = max(histogram.deviation() for histogram in found)
        worst = worst if math.isfinite(worst) else math.inf
        yield Finding(self.node.address, self.label, "simulation", worst, DEVIATIONS)

    def _histograms(self, sources: Sources | JointSources | None, seed: int) -> Iterator[Histogram] | None:
        """Those of a simulation, of laws that are simulated; `SolverError` where one leaves the numbers."""
        if isinstance(self.op, Simulation):
            return self._simulated(sources, seed)
        if isinstance(self.op, Unsolved):
            return self._unsolved()
        return self._noised(sources) if isinstance(self.op, (Sde, JointSde)) and sources is not None else None

    def _path(self) -> GaussianPath | JointPath | None:
        if isinstance(self.op, Unsolved):
            return None
        if isinstance(self.op, Simulation):
            return self.op.gaussian(self.event.shape) if self.op.start is not None else None
        found: GaussianPath | JointPath = self.op.path(self.event.shape)
        return found

    def _sources(self, path: GaussianPath | JointPath) -> Sources | JointSources:
        """Where the law starts: a simulation's normal start, rows of the data where there are some, or points."""
        size = max(self.event.size, 1)
        points, widths = self._starts(size)
        start = self.op.low if isinstance(self.op, Simulation) else self.op.start(self.event.shape)
        if isinstance(path, JointPath):
            mixed, joint = joint_plan(path, start), joint_tables(path)
            return JointSources(points, widths, lambda t: joint_at(mixed, joint, t, torch.float64))
        plan, tables = coefficients.plan(path, len(self.event.shape), start), coefficients.tables(path)
        return Sources(points, widths, lambda t: coefficients.at(plan, tables, t, torch.float64))

    def _starts(self, size: int) -> tuple[Tensor, Tensor]:
        """Means (k, d) and deviations (d,) at the start."""
        if isinstance(self.op, Simulation):
            means, widths = (torch.tensor(items, dtype=torch.float64).expand(size) for items in self.op.start or ())
            return means.unsqueeze(0), widths
        variable, none = self.model.graph.values[self.node.source].variable, torch.zeros(size, dtype=torch.float64)
        if self.rows is not None and variable in self.rows:
            return self.rows[variable or ""].double().reshape(-1, size), none
        return 1.5 * torch.randn(4, size, generator=self.generator, dtype=torch.float64), none

    def _residual(self, sources: AbstractSources) -> Finding:
        """At times from a thousandth of the span on, as many early as late ones."""
        span, count = self.op.high - self.op.low, 256
        shares = 1e-3 ** torch.rand(count, generator=self.generator, dtype=torch.float64)
        t = self.op.low + span * shares
        x = sources.draw(t, self.generator)
        error = float(residual(self._law(), sources, x, t).max())
        error = error if math.isfinite(error) else math.inf
        return Finding(self.node.address, self.label, "Fokker-Planck", error, RESIDUAL)

    def _law(self) -> Law:
        if isinstance(self.op, Simulation) and self.op.applied:
            return law_under(self.op, self.event, self._parameters())
        return law_of(self.op, self.event.shape)

    # ---- simulation beside the derived law --------------------------------------------------------------------------

    def _noised(self, sources: Sources | JointSources) -> Iterator[Histogram]:
        """The author's equation from the sources on, or from one of them where coordinates mix, by small steps that
        know nothing of the kernel."""
        law, size = self._law(), sources.points.shape[1]
        if isinstance(sources, JointSources):
            sources = replace(sources, points=sources.points[:1])
        x = sources.points[torch.arange(PATHS) % len(sources.points)] + self.op.settings.init_noise * self._noise(size)
        if isinstance(self.op, JointSde):
            for place, loc, scale in Started(parts=self.op.parts, starts=self.op.starts).drawn:
                x[:, place] = loc + scale * self._noise(1)[:, 0]
        grid = np.linspace(self.op.low, self.op.high, STEPS_A_PATH + 1)
        process = Process(at_once(law.drift), at_once(law.spread), mixed=law.mixed)
        wanted = [round(share * STEPS_A_PATH) for share in MOMENTS]
        for i in range(STEPS_A_PATH):
            t, h = float(grid[i]), float(grid[i + 1] - grid[i])
            dw, other = h**0.5 * self._noise(size), self._noise(size)
            x = STEPS[Srk](process, x, t, h, dw, dw / 2 + (h / 12) ** 0.5 * other)
            if i + 1 in wanted:
                yield self._beside(sources, x, float(grid[i + 1]))

    def _noise(self, size: int) -> Tensor:
        return torch.randn(PATHS, size, generator=self.generator, dtype=torch.float64)

    def _beside(self, sources: Sources | JointSources, x: Tensor, t: float, law: str = "derived law") -> Histogram:
        """Points beside the mass of a mixture of normal laws in each cell; where coordinates mix, what they are of one
        such law once they are standardised."""
        if isinstance(sources, JointSources):
            z = sources.standardised(x, torch.tensor([t], dtype=torch.float64))[0][:, 0]
            return self._beside(standard(x.shape[1]), z, t, "derived law, standardised")
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
        return Histogram(self.label, t, tuple(inner), counts, mass, law)

    # ---- simulation beside the equation on a grid -------------------------------------------------------------------

    def _simulated(self, sources: Sources | JointSources | None, seed: int) -> Iterator[Histogram]:
        """Samples of the model at two times, beside the derived law or the solution of the equation."""
        op, size = self.op, max(self.event.size, 1)
        shares = MOMENTS if sources is not None else (0.0, *MOMENTS)
        times = [op.low + share * (op.high - op.low) for share in shares]
        parts = [self.model.states_at(times, CHUNK, seed, start) for start in range(0, PATHS, CHUNK)]
        points = torch.cat(parts, 1).double().reshape(len(times), PATHS, size)
        self._require_numbers(times, points)
        if sources is not None:
            for t, x in zip(times, points, strict=True):
                yield self._beside(sources, x, t)
            return
        yield from gridded(op, self.event, self._law(), self.label, times, points)

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
        states = torch.stack(points).reshape(len(times), PATHS, size)
        self._require_numbers(times, states)
        yield from gridded(op, event, self._law(), self.label, times, states)

    def _require_numbers(self, times: Sequence[float], points: Tensor) -> None:
        """`SolverError` where a path leaves the numbers."""
        walk = ((torch.full((PATHS,), t, dtype=torch.float64), x) for t, x in zip(times, points, strict=True))
        error = gone(self.op, self.node.address, self.event, torch.zeros_like(points[0]), walk)
        if error is not None:
            raise error


def _like(rows: Tensor, noise: Tensor) -> Tensor:
    """Normal points with the mean of some rows and their deviation, which is 1 of a single one."""
    return rows.mean(0) + (rows.std(0) if len(rows) > 1 else 1.0) * noise
