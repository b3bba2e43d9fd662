"""What is to be trained: a spec with everything resolved, one train block of it, and what was given from Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from torch import nn

from dgmspec.algebra.nodes import expr
from dgmspec.core.diagnostics import SpecError, did_you_mean, has_errors
from dgmspec.core.disk import reason
from dgmspec.graph.lower import lower
from dgmspec.graph.plans import TrainPlan, lower_train
from dgmspec.ops.data import AbstractFile
from dgmspec.runtime.data import DataError, FromPython, Places
from dgmspec.runtime.rundir import BUNDLE, RunDirectory, RunError
from dgmspec.spec import Spec, parse
from dgmspec.spec.defaults import with_defaults
from dgmspec.spec.model import Model, Sample, Setting, Train

__all__ = ["FROM_PYTHON", "Task", "recorded_task", "task_of"]

FROM_PYTHON: Final = {"arrays": "arrays", "callable": "a callable"}
"""What a run's folder calls data that were given from Python, and what they are."""


@dataclass(frozen=True)
class Task:
    """What is to be trained: the spec with every default written out, one model of it, and how; `init` is the folder
    whose weights it begins with, if not random ones."""

    spec: Spec
    plan: TrainPlan
    data: FromPython | None = None
    nets: Mapping[str, nn.Module] | None = None
    places: Places = field(default_factory=Places)
    files: frozenset[str | None] = frozenset()
    """The names of the data sources that are files, None for one without; of those whose rows laws draw too."""
    init: Path | None = None

    @property
    def arrays(self) -> Mapping[str, Any] | None:
        """The data where they are arrays."""
        return None if callable(self.data) else self.data

    @property
    def source(self) -> str | None:
        """What a run's folder calls the data: the name of a source, or one of `FROM_PYTHON`."""
        return self.plan.data_name if self.data is None else "callable" if callable(self.data) else "arrays"

    def recorded_places(self) -> dict[str, Any]:
        """Where the data's files lie, as a run's folder keeps it for `recorded_task`; nothing for other data."""
        if not self.files:
            return {}
        paths = {name: str(path.resolve()) for name, path in self.places.paths.items()}
        return {"data_folder": str((self.places.folder or Path()).resolve()), "data_paths": paths}


def task_of(
    spec: Spec,
    model: str | None,
    seed: int | None,
    data: FromPython | None,
    nets: Mapping[str, nn.Module] | None,
    places: Places | None = None,
) -> Task:
    """The train block of one model, its settings evaluated; `SpecError` with what is wrong with it."""
    if not (data is None or callable(data) or isinstance(data, Mapping)):
        what = f"`data` is a dict of arrays by variable, or a callable that draws them, not {type(data).__name__}"
        raise DataError("DGM853", what, "write data={'x': array}; the path of a file is given by paths={'d': path}")
    places = places or Places()
    block = _block(spec, model)
    if seed is not None:
        spec, block = _with_seed(spec, block, seed)
    spec = with_defaults(spec)
    block = _block(spec, block.model)
    plan, found = lower_train(spec, block)
    if plan is None or has_errors(found):
        raise SpecError(found)
    files = frozenset(_files(spec, plan, data))
    _check_paths(places, plan, files)
    return Task(spec, plan, data, nets, places, files)


def _files(spec: Spec, plan: TrainPlan, given: FromPython | None) -> Iterator[str | None]:
    """The names of the sources that are files: of the block's data, and of the rows that laws of the model draw."""
    if isinstance(plan.data, AbstractFile) and given is None:
        yield plan.data_name
    arrays = {} if given is None or callable(given) else given
    for law in lower(spec, plan.model)[0].laws:
        data = law.op.data()
        if data is not None and isinstance(data[0], AbstractFile) and law.variable not in arrays:
            yield data[1]


def _check_paths(places: Places, plan: TrainPlan, files: frozenset[str | None]) -> None:
    """Each path given by name is for a file source that the training reads under that name."""
    known = sorted(name for name in files if name is not None)
    for name in places.paths:
        if name in known:
            continue
        near = did_you_mean(name, known)
        listed = ", ".join(f"`{name}`" for name in known)
        reads = f"it reads {listed}" if known else "it reads no named file: write `data d = csv(…)`, `data = d`"
        raise RunError(
            f"the training of {plan.model} reads no file `{name}`; " + (f"did you mean `{near}`?" if near else reads)
        )


def _block(spec: Spec, model: str | None) -> Train:
    """The train block of `model`, or the only one."""
    blocks = {item.model: item for item in spec.items if isinstance(item, Train)}
    if model is None and len(blocks) == 1:
        return next(iter(blocks.values()))
    if model is not None and model in blocks:
        return blocks[model]
    known = ", ".join(f"`{name}`" for name in blocks)
    if not blocks:
        name = model or next((item.name for item in spec.items if isinstance(item, Model)), "M")
        drawn = any(isinstance(item, Sample) for item in spec.items)
        raise RunError(
            f"the spec has no train block; add one, such as `train {name} {{ data = two_moons; steps = 1_000 }}`"
            + (", or draw from it as its sample block says: `dgmspec sample`" if drawn else "")
        )
    if model is None:
        raise RunError(f"the spec trains several models, {known}: choose one with --model NAME (or model=)")
    near = did_you_mean(model, blocks)
    raise RunError(
        f"the spec trains no model `{model}`" + (f"; did you mean `{near}`?" if near else f": it has {known}")
    )


def _with_seed(spec: Spec, block: Train, seed: int) -> tuple[Spec, Train]:
    """The spec whose train block says `seed`, so that the run's folder tells it too."""
    if seed < 0:
        raise RunError(f"a seed is a whole number from 0 up, not {seed}")
    kept = tuple(s for s in block.settings if s.name != "seed")
    seeded = Train(model=block.model, settings=(*kept, Setting(name="seed", value=expr(seed))))
    items = tuple(seeded if item is block else item for item in spec.items)
    return Spec(*items, edition=spec.edition, sources=spec.sources), seeded


def recorded_task(
    directory: RunDirectory,
    data: FromPython | None,
    nets: Mapping[str, nn.Module] | None,
    paths: Mapping[str, str | Path] | None = None,
) -> Task:
    """The task that a run folder records; `paths` are for files that have moved since."""
    config = directory.config()
    kind = FROM_PYTHON.get(str(config.get("data")))
    if kind is not None and data is None:
        raise RunError(f"{directory.path} was trained on {kind} given from Python; give the same again as `data`")
    try:
        text = (directory.path / BUNDLE).read_text(encoding="utf-8")
        spec = parse(text, config["sources"])
        folder = Path(config["data_folder"]) if "data_folder" in config else None
        given = {**config.get("data_paths", {}), **(paths or {})}
        places = Places(folder, {name: Path(path) for name, path in given.items()})
        first = Path(config["init"]) if "init" in config else None
        return replace(task_of(spec, config["model"], None, data, nets, places), init=first)
    except (OSError, UnicodeDecodeError, KeyError, SpecError) as error:
        raise RunError(f"{directory.path} is no folder of a dgmspec run: {BUNDLE}: {reason(error)}") from error
