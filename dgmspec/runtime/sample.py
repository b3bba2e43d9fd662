"""Samples of a trained model: how many, from which seed, given what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dgmspec.compiler import parse
from dgmspec.core.diagnostics import did_you_mean
from dgmspec.core.types import Type
from dgmspec.graph.plans import lower_sample
from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.data import DataError, check_column
from dgmspec.runtime.drawn import Drawn, writer_of
from dgmspec.runtime.evaluate import model_of
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.rundir import RunError
from dgmspec.spec.model import Sample

__all__ = ["draw_samples_of", "sample"]

COUNT: Final = 100
"""Samples where neither the call nor the spec says how many."""

Array = NDArray[Any]


def sample(
    run: str | Path,
    count: int | None = None,
    *,
    given: Mapping[str, Any] | None = None,
    seed: int | None = None,
    nets: Mapping[str, nn.Module] | None = None,
    method: Any = None,
) -> Any:
    """`count` samples of a finished run (or of a saved model), a tensor (count, *event), or a dict by name where there
    are several observed variables. `given` holds one value for each conditioning variable. Without a count, a seed or a
    `method` (a sampler, such as ``lang.ddim(steps = 50)``) those of the spec's sample block hold, else 100 samples,
    seed 0 and the model's own direction."""
    processes = Processes()
    model = model_of(Path(run), nets, processes.device)
    count, seed, written = _settled(model, count, seed)
    values = {name: np.asarray(value) for name, value in (given or {}).items()}
    whole = Drawn(model, count, seed, values, processes, method=method or written).whole()
    drawn = {name: torch.from_numpy(rows) for name, rows in whole.items()}
    return next(iter(drawn.values())) if len(drawn) == 1 else drawn


def draw_samples_of(
    run: Path, count: int | None, seed: int | None, given: Sequence[str], out: Path | None = None, visible: bool = False
) -> Drawn:
    """Samples of a run that are to be written to `out`, whose ending is looked at first.

    `given` are values as written on a command line: ``label=3``, ``c=0.5,-1``. Count and seed default as in `sample`.
    """
    if out is not None:
        writer_of(out)
    processes = Processes()
    model = model_of(run, None, processes.device)
    count, seed, method = _settled(model, count, seed)
    return Drawn(model, count, seed, _values(model, given), processes, visible and processes.main, method)


def _settled(model: CompiledModel, count: int | None, seed: int | None) -> tuple[int, int, Any]:
    """Count and seed: as asked for, else as the spec's sample block says; and the block's method."""
    block_count, block_seed, method = COUNT, 0, None
    if model.bundle is not None:
        spec = parse(model.bundle.text, model.bundle.sources)
        for item in spec.items:
            if isinstance(item, Sample) and item.model == model.graph.name:
                plan, _ = lower_sample(spec, item)
                block_count, block_seed, method = (plan.count, plan.seed, plan.method) if plan else (COUNT, 0, None)
    return (block_count if count is None else count), (block_seed if seed is None else seed), method


# ---- values of given variables --------------------------------------------------------------------------------------


def _values(model: CompiledModel, written: Sequence[str]) -> dict[str, Array]:
    """Each conditioning variable's value: right name, right count, inside its support; all of them given."""
    found: dict[str, Array] = {}
    for pair in written:
        name, equals, text = pair.partition("=")
        name = name.strip()
        if not equals:
            raise RunError(f"`--given {pair}` says no value: write NAME=VALUE, such as --given label=3")
        if name not in model.givens:
            near = did_you_mean(name, model.givens)
            known = ", ".join(f"`{n}`" for n in model.givens) or "none"
            hint = f"did you mean `{near}`?" if near else f"its given variables are: {known}"
            raise RunError(f"{model.graph.name} has no given variable `{name}`; {hint}")
        found[name] = _value(name, text, model.type_of(name))
    for name in model.givens:
        if name not in found:
            raise RunError(
                f"{model.graph.name} is sampled given `{name}` ({model.type_of(name)}): add --given {name}=VALUE"
            )
    return found


def _value(name: str, text: str, type_: Type) -> Array:
    """One value as numbers with commas between, brackets around them as one likes."""
    try:
        numbers = [float(part) for part in text.strip().strip("[]").split(",")]
    except ValueError:
        raise RunError(f"`{name}` is {type_}: `{text}` is no number, nor numbers with commas between") from None
    if len(numbers) != type_.size:
        what = "one number" if type_.size == 1 else f"{type_.size} numbers with commas between"
        raise RunError(f"`{name}` is {type_}: expected {what}, got {len(numbers)}")
    value = np.array(numbers).reshape(type_.shape)
    try:
        check_column(name, value[None], type_)
    except DataError as error:
        raise RunError(f"`--given {name}={text}`: {error.message}") from error
    return value
