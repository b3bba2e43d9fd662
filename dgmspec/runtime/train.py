"""Training as one call: a spec in, a run folder with its model, figures and pictures out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dgmspec.compiler import compile, expect_spec
from dgmspec.core.op import AbstractOp
from dgmspec.core.render import as_data, render
from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.data import FromPython, Places, Simulated
from dgmspec.runtime.feed import feed_of
from dgmspec.runtime.gallery import draw_run
from dgmspec.runtime.interrupts import resumable
from dgmspec.runtime.likelihood import VALIDATION_ROWS, Validation
from dgmspec.runtime.loop import Loop
from dgmspec.runtime.mismatch import Mismatch, ends_of
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.progress import show_progress
from dgmspec.runtime.recording import record_rows
from dgmspec.runtime.report import BASELINE_ROWS, OK, simple_baselines, summary, test_figures, verdict
from dgmspec.runtime.rows import Parts, open_parts
from dgmspec.runtime.rundir import (
    BUNDLE,
    CONFIG,
    FORMAT_VERSION,
    RunDirectory,
    RunError,
    finite,
    fresh_directory,
    versions,
)
from dgmspec.runtime.solving import with_solvers
from dgmspec.runtime.standardizing import record_statistics
from dgmspec.runtime.task import Task, recorded_task, task_of
from dgmspec.runtime.warm import begin_with
from dgmspec.spec import Spec
from dgmspec.spec.model import Item, Train

__all__ = ["Run", "resume_run", "train"]


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, its model with the selected weights, and its report as in ``report.json``."""

    path: Path
    model: CompiledModel
    report: dict[str, Any]

    @property
    def failure(self) -> str | None:
        """Why the figures cannot be right, or None."""
        found = str(self.report["verdict"])
        return None if found == OK else found

    def __repr__(self) -> str:
        return f"run in {self.path}\n{self.summary()}"

    def summary(self) -> str:
        """The report as a person reads it: figures, baselines, pictures, time."""
        written = [
            self.path / name
            for name in ("samples.png", "reconstructions.png", "codes.png", "density.png", "loss.png", "report.json")
        ]
        return summary(self.report, [str(path) for path in written if path.exists()])


def train(
    spec: Spec,
    *,
    model: str | None = None,
    data: FromPython | None = None,
    out: str | Path | None = None,
    params: Mapping[str, Any] | None = None,
    nets: Mapping[str, nn.Module] | None = None,
    seed: int | None = None,
    folder: str | Path | None = None,
    paths: Mapping[str, str | Path] | None = None,
    visible: bool = False,
    init: str | Path | None = None,
    name: str | None = None,
) -> Run:
    """Train a model of a spec as its train block says and leave a run folder; see the folder's ``report.json``.

    `data` stands in place of the block's own: it maps variables (and the block's `weights`) to arrays, or is a callable
    ``simulate(n, generator)`` that gives n rows as such a dict, drawn by the torch.Generator, one call a step (or an
    iterator over such dicts), whose rows are new at each step. `out` is the folder: without it a new one below ``runs``
    of that `name` (the model's). `params` and `seed` override those of the spec; `nets` supplies external networks.
    Paths of data files start from `folder` (the current one by default); `paths` gives, by the name of a data source,
    another place for its file. `visible` draws progress. `init` is the folder of a run, or of a saved model, whose
    weights this training begins with instead of random ones. A mistake in the spec raises `SpecError`, one in the data
    `DataError`; what else stops a run (a path, a loss that is no number) raises `RunError`.
    """
    expect_spec("train", spec)
    spec = spec.with_params(**params) if params else spec
    given = {source: Path(path) for source, path in (paths or {}).items()}
    places, first = Places(None if folder is None else Path(folder), given), None if init is None else Path(init)
    task = replace(task_of(spec, model, seed, data, nets, places), init=first)
    processes = Processes()
    named = name or task.plan.model.lower()
    path = Path(out) if out is not None else processes.on_main(lambda: fresh_directory(Path("runs"), named))
    if processes.on_main(lambda: RunDirectory(path).begun):
        raise RunError(f"{path} holds a run already; choose another folder, or go on with it by --resume {path}")
    return _run(task, RunDirectory(path), processes, visible)


def resume_run(
    path: str | Path,
    *,
    data: FromPython | None = None,
    nets: Mapping[str, nn.Module] | None = None,
    paths: Mapping[str, str | Path] | None = None,
    visible: bool = False,
) -> Run:
    """Go on with a stopped run from its last checkpoint, or from its start where it has none yet; `data` and `nets` as
    they were given when it began.

    `paths` says by the name of a data source where its file lies now, if it has moved.
    """
    directory = RunDirectory(Path(path))
    task = recorded_task(directory, data, nets, paths)
    return _run(task, directory, Processes(), visible)


# ---- the run --------------------------------------------------------------------------------------------------------


def _run(task: Task, directory: RunDirectory, processes: Processes, visible: bool) -> Run:
    """Everything from data to report."""
    began = time.monotonic()
    model = _compiled(task, processes.device)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise RunError(f"there is nothing to train: {task.plan.model} learns no parameter")
    parts = open_parts(model, task.plan, task.data, task.places)
    visible = visible and processes.main
    if not processes.on_main(lambda: directory.trained):
        _begin(model, task, parts)
    loop = _loop(model, task, parts, processes, directory)
    processes.on_main(directory.create)
    if not processes.on_main(lambda: directory.begun):
        processes.on_main(lambda: _write_beginning(task, directory))
    with resumable(f"go on with\n    dgmspec train --resume {directory.path}"):
        ends = ends_of(model, parts.train, task.plan.seed)
        with show_progress("train", loop.steps.count, visible) as reporter:
            for said in (*(render([found], {}) for found in parts.remarks), *(str(end) for end in ends if end.notable)):
                reporter.say(said.rstrip())
            loop.run(reporter)
        model = loop.result(lambda: _compiled(task, processes.device))
        report = _reported(model, loop, task, parts, ends, visible) | {
            "seconds": loop.before + time.monotonic() - began
        }
        processes.on_main(lambda: directory.write_json("report.json", finite(report)))
    return Run(directory.path, model, processes.on_main(lambda: report))


def _reported(
    model: CompiledModel, loop: Loop, task: Task, parts: Parts, ends: tuple[Mismatch, ...], visible: bool
) -> dict[str, Any]:
    """What the run reached, complete on the first process alone, which leaves pictures and the model as well."""
    fit, processes, directory = loop.fit, loop.processes, loop.directory
    readings = directory.metrics()
    if fit.doubled and model.bundle:
        model.bundle = replace(model.bundle, text=with_solvers(model.bundle.text, model))
    report: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "model": task.plan.model,
        "density": model.density,
        "steps": fit.step,
        "best_step": fit.best_step or None,
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "loss": readings[-1]["loss"] if readings else None,
        "loss_unit": model.loss_unit,
        "validation": fit.best if fit.best_step else None,
        "test": test_figures(model, parts.test, parts.toy, task.plan.seed, processes=processes, visible=visible),
        **({"steps_doubled_at": fit.doubled} if fit.doubled else {}),
        **({"warnings": as_data(parts.remarks, {})} if parts.remarks else {}),
        **({"prior_mismatch": [end.data() for end in ends]} if ends else {}),
        **_sampled(parts, fit.step),
    }
    if processes.main:
        report |= _ending(model, task, parts, directory, report["test"]) | {"versions": versions()}
    return report


def _begin(model: CompiledModel, task: Task, parts: Parts) -> None:
    """The state before the first step: that of another run, or statistics of the training rows; the rows of laws."""
    record_rows(model, task.plan.seed, task.places, task.arrays)
    if task.init is not None:
        begin_with(model, task.init, task.nets)
    elif model.copies:
        raise RunError(
            f"the loss of {model.name} learns from a model that was trained before, and this one is not: give that run "
            "by --init RUN (for `reflow`, one of the same arrow trained by `loss = flow_matching`)"
        )
    elif parts.train:
        record_statistics(model, parts.train)


def _ending(
    model: CompiledModel, task: Task, parts: Parts, directory: RunDirectory, test: dict[str, Any]
) -> dict[str, Any]:
    """What simple densities reach on the test rows, whether the figures can be right; pictures and the model."""
    others: dict[str, float] = {}
    if test and parts.train and parts.validation and parts.test:
        others = simple_baselines(model, parts.train, parts.validation, parts.test, task.plan.seed)
    with directory.saying(directory.path):
        unsampled = draw_run(model, parts, directory, task.plan.seed)
        model.save(directory.path / "model")
    return {"baselines": others, "verdict": verdict(test), **({"unsampled": unsampled} if unsampled else {})}


def _compiled(task: Task, device: torch.device) -> CompiledModel:
    """The model at its starting weights, in the precision of the plan."""
    dtype = torch.float64 if task.plan.precision == "float64" else torch.float32
    items = task.spec.items if task.data is None else [_without_data(item) for item in task.spec.items]
    spec = Spec(*items, edition=task.spec.edition, sources=task.spec.sources)
    return compile(
        spec, model=task.plan.model, nets=dict(task.nets or {}), seed=task.plan.seed, dtype=dtype, device=device
    )


def _without_data(item: Item) -> Item:
    """A train block without its data: others stand in their place, so that what is wrong with them is no mistake."""
    if not isinstance(item, Train):
        return item
    return Train(model=item.model, settings=tuple(s for s in item.settings if s.name != "data"))


def _loop(model: CompiledModel, task: Task, parts: Parts, processes: Processes, directory: RunDirectory) -> Loop:
    plan = task.plan
    feed = feed_of(model, parts.train, plan.batch, plan.seed) if parts.train else None
    validate = Validation(model, parts.validation, plan.seed, processes) if plan.validate is not None else None
    return Loop(model, feed, plan, processes, directory, validate, warm=task.init is not None)


def _sampled(parts: Parts, step: int) -> dict[str, Any]:
    """Of data that stream, how many rows each figure read that did not read all of its part; of rows that a callable
    draws, how many there were."""
    if isinstance(parts.train, Simulated):
        found = {"training_rows": step * parts.train.simulator.size}
        return {"simulated": found | ({} if parts.validation is None else {"validation_rows": parts.validation.rows})}
    if parts.train is None or parts.validation is None or not parts.train.streams:
        return {}
    held_out = parts.validation.rows
    read = {"validation_rows": min(VALIDATION_ROWS, held_out), "baseline_rows": min(BASELINE_ROWS, held_out)}
    return {"streamed": {"training_rows": parts.train.rows, **read}}


def _write_beginning(task: Task, directory: RunDirectory) -> None:
    """What the run starts from."""
    directory.write_text(BUNDLE, task.spec.text())
    settings = {name: _plain(value) for name, value in vars(task.plan).items() if name not in ("address", "written")}
    config = {
        "format_version": FORMAT_VERSION,
        "model": task.plan.model,
        "data": task.source,
        "train": settings,
        "sources": task.spec.sources,
        "versions": versions(),
        **task.recorded_places(),
        **({} if task.init is None else {"init": str(task.init.resolve())}),
    }
    directory.write_json(CONFIG, config)


def _plain(value: Any) -> Any:
    """A setting as JSON: an operation by its name and fields."""
    if isinstance(value, AbstractOp):
        return {"name": value.name} | {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    return list(value) if isinstance(value, tuple) else value
