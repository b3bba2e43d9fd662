"""Verification: every static claim of a model tried numerically, beside what is proved and what is assumed.

A spec is tried on random points with random parameters; a trained model with its own weights, on held-out data as well.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from dgmspec.checks.analysis import Analysis, ChainFacts, StepFacts
from dgmspec.checks.explain_table import ExplainTable, explain_table
from dgmspec.core.address import Address, seed_of
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.parts import packed
from dgmspec.modules.randomness import noise_for
from dgmspec.program.build import Unavailable
from dgmspec.program.program import Phase
from dgmspec.runtime.data import by_weight
from dgmspec.runtime.feed import columns_of
from dgmspec.runtime.findings import Finding, outcomes
from dgmspec.runtime.kernels import check_kernels
from dgmspec.runtime.kolmogorov.check import check_processes
from dgmspec.runtime.kolmogorov.histograms import Histogram
from dgmspec.runtime.kolmogorov.picture import draw_histograms
from dgmspec.runtime.mismatch import Mismatch, mismatches
from dgmspec.runtime.progress import show_progress
from dgmspec.runtime.rows import open_parts
from dgmspec.runtime.rundir import RunDirectory, RunError, finite
from dgmspec.runtime.selfcheck import POINTS, check_balances, draw_event, moved, own_parameters, part_of, step_trial
from dgmspec.runtime.stored import load_model
from dgmspec.runtime.task import FROM_PYTHON, recorded_task
from dgmspec.runtime.trials import Trial, thorough
from dgmspec.runtime.wholes import check_whole

__all__ = ["Verification", "verify", "verify_run"]

ROWS: Final = 8
"""Held-out rows at which the steps of a trained model are tried."""

Points = Mapping[Address, tuple[Tensor, Tensor, Tensor | None]]
"""By step: the values before and behind it along its arrow, and its context."""


@dataclass(frozen=True)
class Verification:
    """What is proved, what was checked (each with its error) and what is assumed of a model; `points` says on what."""

    table: ExplainTable
    findings: tuple[Finding, ...]
    points: str
    histograms: tuple[Histogram, ...] = ()
    ends: tuple[Mismatch, ...] = ()
    """How far noising arrows end from their priors, which is a figure and no claim."""

    @property
    def holds(self) -> bool:
        """Whether no claim was refuted."""
        return all(finding.holds for finding in self.findings)

    def data(self) -> dict[str, Any]:
        """The verification for JSON."""
        flows = [{"flow": f"{f.source} -> {f.target}", "proved": f.proved, "assumed": f.assumed} for f in self.flows]
        checked = [finding.data() for finding in self.findings]
        head = {"format_version": 1, "model": self.table.model, "points": self.points, "holds": self.holds}
        found: dict[str, Any] = finite(
            {**head, "flows": flows, "checked": checked, "measured": [end.data() for end in self.ends]}
        )
        return found

    @property
    def flows(self) -> tuple[Any, ...]:
        """The flows of the table."""
        return self.table.flows

    @property
    def assumed(self) -> list[str]:
        """What the flows assume, each once; ``nothing`` where they assume nothing."""
        return list(dict.fromkeys(reason for f in self.flows for reason in f.assumed)) or ["nothing"]

    def draw(self, path: Path) -> None:
        """The simulated processes beside their laws, as a PNG."""
        if not self.histograms:
            raise RunError(f"{self.table.model} has no `sde` of one or two coordinates whose simulation can be drawn")
        if path.suffix != ".png":
            raise RunError(f"{path.name}: the picture is written as .png")
        draw_histograms(self.histograms, path)

    def json(self) -> str:
        """`data` as text."""
        return json.dumps(self.data(), indent=2, ensure_ascii=False, allow_nan=False)

    def text(self) -> str:
        """The table as a person reads it: one line a claim with its worst error, then every violation."""
        lines = [f"model {self.table.model}   {self.points}"]
        lines += [f" proved     {f.source} -> {f.target}: {'; '.join(f.proved)}" for f in self.flows]
        lines += _claims(self.findings)
        lines += [f" measured   {end}" for end in self.ends]
        return "\n".join([*lines, *(f" assumed    {reason}" for reason in self.assumed)])


def verify(model: CompiledModel, seed: int = 0, visible: bool = False) -> Verification:
    """Every claim of a model, on a copy in float64 with random parameters, at random points. `visible` draws
    progress."""
    other = copy.deepcopy(model).double()
    generator = torch.Generator().manual_seed(seed_of(seed, model.name, 3))
    with torch.no_grad():
        for step in _steps(Analysis(other.graph)):
            at = step.node.address
            own = moved(step.parameters, own_parameters(other, at, step.parameters), generator)
            for spec in step.parameters:
                other.get_parameter(spec.key(at)).copy_(own[spec.name])
    return _verified(other, {}, None, seed, "random parameters, random points", visible)


def verify_run(
    path: Path,
    seed: int = 0,
    paths: Mapping[str, str | Path] | None = None,
    held_out: bool = True,
    visible: bool = False,
) -> Verification:
    """Every claim of a trained model with its weights, at random points and at held-out data, where the run read any
    and they are wanted; `paths` says where their files lie now. `visible` draws progress."""
    model = load_model(path).double()
    rows = _held_out(model, path, paths) if held_out else None
    if rows is None:
        return _verified(model, {}, None, seed, "weights as they are, random points", visible)
    said = f"trained weights, {len(next(iter(rows.values())))} held-out rows and random points"
    return _verified(model, _arrivals(model, rows, seed), rows, seed, said, visible)


def _verified(
    model: CompiledModel, points: Points, rows: Mapping[str, Tensor] | None, seed: int, said: str, visible: bool
) -> Verification:
    findings: list[Finding] = []
    tried: list[Callable[[], Iterable[Finding]]] = [
        *(partial(thorough, trial) for trial in _trials(model, points, seed)),
        lambda: check_balances(model, seed),
        lambda: check_kernels(model),
        lambda: check_whole(model, seed, rows),
    ]
    with show_progress(f"verify {model.name}", len(tried) + 2, visible) as reporter:
        for done, claims in enumerate(tried, 1):
            findings += claims()
            reporter.advance(done)
        processes, seen = check_processes(model, seed, rows)
        reporter.advance(len(tried) + 1)
        ends = tuple(mismatches(model, rows, seed))
        reporter.advance(len(tried) + 2)
    return Verification(explain_table(model.graph), (*findings, *processes), said, tuple(seen), ends)


# ---- trials ---------------------------------------------------------------------------------------------------------


def _trials(model: CompiledModel, points: Points, seed: int) -> Iterator[Trial]:
    """Every step as it is written, then every arrow as a whole."""
    analysis = Analysis(model.graph)
    for step in _steps(analysis):
        if not step.node.op.undone:
            continue  # contracts data as far as its noise says: no random net is undone to rounding
        node, event = step.node, step.after if step.node.inverse else step.before
        generator = torch.Generator().manual_seed(seed_of(seed, node.address, 1))
        at = points.get(node.address)
        before = None if at is None else (at[1] if node.inverse else at[0], at[2])
        own, label = own_parameters(model, node.address, step.parameters), f"{node.address} ({node.op.name})"
        op, modules = node.op.tightened(), model.externals
        yield step_trial(op, own, event, step.context, node.address, label, generator, before, modules)
    for chain in analysis.chains.values():
        plain = not any(_stochastic(step) or not step.node.op.undone for step in chain.steps)
        if len(chain.steps) > 1 and plain:
            yield _whole(model, chain, points, seed)


def _steps(analysis: Analysis) -> Iterator[StepFacts]:
    for chain in analysis.chains.values():
        yield from chain.steps


def _stochastic(step: StepFacts) -> bool:
    return step.node.op.stochastic(step.after if step.node.inverse else step.before)


def _whole(model: CompiledModel, chain: ChainFacts, points: Points, seed: int) -> Trial:
    """An arrow as one map, its facts those that its steps' compose to."""
    first, last = chain.steps[0], chain.steps[-1]
    generator = torch.Generator().manual_seed(seed_of(seed, chain.arrow.address, 1))
    x = draw_event(first.before, POINTS, generator)
    reader = next((step for step in chain.steps if step.context is not None), first)
    c = None if reader.context is None else draw_event(reader.context, POINTS, generator)
    if (at := points.get(first.node.address)) is not None:
        seen = points[reader.node.address][2]
        x, c = torch.cat([at[0], x]), None if c is None or seen is None else torch.cat([seen, c])
    parts = tuple(
        part_of(
            step.node.op.tightened(),
            own_parameters(model, step.node.address, step.parameters),
            step.node.inverse,
            step.after if step.node.inverse else step.before,
            step.context,
            len(x),
            generator,
            model.externals,
        )
        for step in chain.steps
    )
    label = f"{chain.arrow.source} -> {chain.arrow.target}, all steps"
    far = draw_event(last.after, len(x), generator)
    trial = Trial(chain.arrow.address, label, parts, first.before, last.after, chain.whole, x, c, far)
    if not chain.widenings:
        return trial
    # Beyond a part nothing corresponds, so the side of the whole is tried at points that come from the other side.
    if chain.widenings[0].step.inverse:
        return replace(trial, x=torch.cat([x[:-POINTS], trial.inverse(far, c)[0][-POINTS:]]))
    return replace(trial, far=trial.forward(draw_event(first.before, len(x), generator), c)[0])


# ---- held-out data --------------------------------------------------------------------------------------------------


def _held_out(model: CompiledModel, path: Path, paths: Mapping[str, str | Path] | None) -> dict[str, Tensor] | None:
    """The first rows that the run did not train on; None for a saved model, or a run on data given from Python."""
    directory = RunDirectory(path)
    if not directory.begun or directory.config().get("data") in FROM_PYTHON:
        return None
    task = recorded_task(directory, None, None, paths)
    parts = open_parts(model, task.plan, task.data, task.places)
    rows = parts.test or parts.validation
    return None if rows is None else columns_of(model, by_weight(rows.head(ROWS), task.plan.seed))


def _arrivals(model: CompiledModel, rows: Mapping[str, Tensor], seed: int) -> Points:
    """The values that data take before and behind every step on the way to the prior."""
    phase: Phase = "encode" if isinstance(model.programs["log_prob"], Unavailable) else "log_prob"
    if isinstance(model.programs[phase], Unavailable):
        return {}
    program, count = model.program(phase), len(next(iter(rows.values())))
    inputs = {i.name: rows[i.name] for i in program.inputs if i.kind != "noise"}
    with torch.no_grad():
        slots = model.keep(phase, inputs | noise_for(program, (0, count), seed, model.dtype))
    found: dict[Address, tuple[Tensor, Tensor, Tensor | None]] = {}
    for line in program.instructions:
        if (
            line.target in ("forward", "inverse") and line.address in model.graph.steps
        ):  # not where variables are joined
            ends = _packed(slots, line.inputs[: line.parts]), _packed(slots, line.outputs[:-1])
            written = ends if line.target == "forward" else ends[::-1]
            along = written[::-1] if model.graph.steps[line.address].inverse else written
            found[line.address] = (*along, slots[line.inputs[line.parts]] if line.context else None)
    return found


def _packed(slots: list[Any], parts: tuple[int, ...]) -> Tensor:
    """An event with the parts beside it that a step takes or gives."""
    return packed(tuple(slots[i] for i in parts)) if len(parts) > 1 else slots[parts[0]]


# ---- as text --------------------------------------------------------------------------------------------------------


def _claims(findings: tuple[Finding, ...]) -> Iterator[str]:
    """One line a claim: what came of it, how often it was tried, its worst error; below it every violation."""
    found = outcomes(findings)
    width = max((len(outcome.claim) for outcome in found), default=0)
    for outcome in found:
        head = f" {outcome.status:9}  {outcome.claim:{width}}"
        if not outcome.tried:
            yield f"{head}  {outcome.findings[0].reason}"
            continue
        worst = outcome.worst
        where = f"  at {worst.step}" if worst.error and len(outcome.findings) > 1 else ""
        yield f"{head}  {outcome.times} tried, worst error {worst.error:.1e}{outcome.unit}{where}"
        for f in outcome.broken:
            yield f"            {f.step}: {f.claim}, error {f.error:.1e}, allowed {f.tolerance:.1e}"
