"""Samples of a trained model: how many, from which seed, given what."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dgmspec.compiler import parse
from dgmspec.core.diagnostics import Diagnostic, did_you_mean
from dgmspec.core.samplers import AbstractSampler
from dgmspec.graph.arguments import Caller
from dgmspec.graph.findings import Findings, Reported
from dgmspec.graph.plans import FREE, SamplePlan, lower_sample
from dgmspec.modules.compiled import CompiledModel
from dgmspec.ops.paths.samplers import AbstractPathSampler
from dgmspec.runtime.data import DataError, check_column, precision
from dgmspec.runtime.drawn import Drawn, writer_of
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.rundir import RunError
from dgmspec.runtime.stored import load_model
from dgmspec.spec.model import Sample
from dgmspec.spec.override import read_value

__all__ = ["draw_samples_of", "sample", "sample_block"]

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
    guidance: float | None = None,
) -> Any:
    """`count` samples of a finished run (or of a saved model), a tensor (count, *event), or a dict by name where there
    are several observed variables. `given` holds one value for each conditioning variable. What is not said here (the
    count, the seed, values, a `method` such as ``lang.ddim(steps = 50)``, its `guidance`) is as the spec's sample block
    says, else 100 samples, seed 0 and the model's own direction."""
    processes = Processes()
    model = load_model(run, nets, processes.device)
    values = {name: np.asarray(value) for name, value in (given or {}).items()}
    drawn = _drawn(model, _Asked(count, seed, method, guidance), values, processes)
    columns = {name: torch.from_numpy(rows) for name, rows in drawn.whole().items()}
    return next(iter(columns.values())) if len(columns) == 1 else columns


def draw_samples_of(
    source: Path | CompiledModel,
    count: int | None,
    seed: int | None,
    given: Sequence[str],
    out: Path | None = None,
    visible: bool = False,
    sampler: str | None = None,
    guidance: float | None = None,
    t: float | None = None,
) -> Drawn:
    """Samples that are to be written to `out`, whose ending is looked at first: of a run's folder, or of a model.

    `given` are values as written on a command line, ``label=3``, ``c=0.5,-1``, or a table with one row of them;
    `sampler` is a sampler as a spec writes it; `t` stops an `sde` that starts at its prior. What is not said is as in
    `sample`.
    """
    if out is not None:
        writer_of(out)
    processes = Processes()
    model = source if isinstance(source, CompiledModel) else load_model(source, None, processes.device)
    untrained = sum(p.numel() for p in model.parameters() if p.requires_grad) if model is source else 0
    if untrained:
        raise RunError(
            f"{model.name} has {untrained:,} parameters to be trained: `dgmspec train` it, and sample the run's folder"
        )
    if t is not None:
        try:
            model = model.until(t)
        except ValueError as error:
            raise RunError(str(error)) from error
    asked = _Asked(count, seed, None if sampler is None else _sampler(sampler), guidance)
    drawn = _drawn(model, asked, {}, processes, visible and processes.main)
    follows = isinstance(drawn.method, AbstractSampler) and drawn.method.by_density
    along = drawn.method if drawn.method is not None else model.default_method()
    keeps = model.observed if isinstance(along, AbstractPathSampler) else ()
    told = _values(model, given, follows, keeps)
    known = {**drawn.known, **{name: value for name, value in told.items() if name in keeps}}
    values = {**drawn.given, **{name: value for name, value in told.items() if name not in keeps}}
    for name in model.givens:
        if name not in values:
            raise RunError(
                f"{model.graph.name} is sampled given `{name}` ({model.type_of(name)}): add --given {name}=VALUE"
            )
    return replace(drawn, given=values, known=known)


def _sampler(text: str) -> AbstractSampler:
    """The sampler that a text such as ``hmc(100, 0.1)`` names."""
    found: list[Diagnostic] = []
    value = read_value("--sampler", text, found)
    findings = Findings()
    if value is not None:
        with suppress(Reported):
            op = Caller(findings).operation("sampler", value, "sampler")
            assert isinstance(op, AbstractSampler)
            return op
    wrong = (*found, *findings.found)[0]
    raise RunError(f"`--sampler {text}`: {wrong.message}" + "".join(f"; {help_}" for help_ in wrong.help[:1]))


@dataclass(frozen=True)
class _Asked:
    """What a call says of its samples, None where it leaves it to the sample block."""

    count: int | None
    seed: int | None
    method: Any
    guidance: float | None


def _drawn(
    model: CompiledModel, asked: _Asked, given: Mapping[str, Array], processes: Processes, visible: bool = False
) -> Drawn:
    """Samples as asked for, else as the spec's sample block says."""
    block = sample_block(model)
    count, seed = (COUNT, 0) if block is None else (block.count, block.seed)
    written, known = ({}, {}) if block is None else (_shaped(model, block.given), _shaped(model, block.known))
    method = asked.method or (None if block is None else block.method)
    guidance = block.guidance if block is not None and asked.guidance is None else asked.guidance
    return Drawn(
        model,
        count if asked.count is None else asked.count,
        seed if asked.seed is None else asked.seed,
        {**written, **given},
        processes,
        visible,
        method,
        guidance,
        known,
    )


def _shaped(model: CompiledModel, values: Mapping[str, Any]) -> dict[str, Array]:
    """Values of a block as arrays of their variables' shapes."""
    return {name: np.array(value).reshape(model.type_of(name).shape) for name, value in values.items()}


def sample_block(model: CompiledModel) -> SamplePlan | None:
    """The sample block of a model's spec."""
    if model.bundle is None:
        return None
    spec = parse(model.bundle.text, model.bundle.sources)
    blocks = [item for item in spec.items if isinstance(item, Sample) and item.model == model.graph.name]
    return lower_sample(spec, blocks[-1])[0] if blocks else None


# ---- values of given variables --------------------------------------------------------------------------------------


def _values(
    model: CompiledModel, written: Sequence[str], follows: bool = False, keeps: Collection[str] = ()
) -> dict[str, Array]:
    """Values of conditioning variables: right name, right count, inside its support.

    Observed variables may be known too: the others are drawn given these, by the sampler where it `follows` a density,
    else by the model itself, where it has such a law. Of variables that a sampler `keeps` some coordinates may be free,
    NaN.
    """
    found: dict[str, Array] = {}
    several = len(model.observed) > 1
    allowed = list(dict.fromkeys([*model.givens, *(model.observed if follows or several else ()), *keeps]))
    for pair in written:
        for name, text in _pairs(pair):
            if name not in allowed:
                near = did_you_mean(name, allowed)
                known = ", ".join(f"`{n}`" for n in allowed) or "none"
                hint = f"did you mean `{near}`?" if near else f"its given variables are: {known}"
                if name in model.observed:
                    hint = "it is observed: what is behind it is drawn by --sampler 'hmc(100, 0.1)'"
                raise RunError(f"{model.graph.name} has no given variable `{name}`; {hint}")
            found[name] = _value(name, text, model, name in keeps)
    return found


def _pairs(written: str) -> Iterator[tuple[str, str]]:
    """Names and values of ``NAME=VALUE``, or of a table of one row whose columns are ``x`` or ``x[0]``, ``x[1]``, …"""
    name, equals, text = written.partition("=")
    if equals:
        yield name.strip(), text
        return
    if not written.endswith(".csv"):
        raise RunError(f"`--given {written}` says no value: write NAME=VALUE, such as --given label=3, or a .csv file")
    try:
        with Path(written).open(newline="", encoding="utf-8") as file:
            head, *rows = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read {written}: {error}") from error
    if len(rows) != 1 or len(rows[0]) != len(head):
        raise RunError(f"{written} holds {len(rows):,} rows below its header, and one is given at a time")
    columns: dict[str, list[str]] = {}
    for column, value in zip(head, rows[0], strict=True):
        columns.setdefault(column.partition("[")[0].strip(), []).append(value)
    yield from ((name, ",".join(values)) for name, values in columns.items())


def _value(name: str, text: str, model: CompiledModel, partly: bool) -> Array:
    """One value as numbers with commas between, brackets around them as one likes, NaN for what is `free`."""
    type_ = model.type_of(name)
    parts = [part.strip() for part in text.strip().strip("[]").split(",")]
    try:
        numbers = [math.nan if partly and part == FREE else float(part) for part in parts]
    except ValueError:
        raise RunError(f"`{name}` is {type_}: `{text}` is no number, nor numbers with commas between") from None
    if len(numbers) != type_.size:
        what = "one number" if type_.size == 1 else f"{type_.size} numbers with commas between"
        raise RunError(f"`{name}` is {type_}: expected {what}, got {len(numbers)}")
    value = np.array(numbers).reshape(type_.shape)
    stands = value[~np.isnan(value)] if partly else value
    try:
        if stands.size:
            whole = np.where(np.isnan(value), stands.flat[0], value) if partly else value
            check_column(name, whole[None], type_, read=precision(model.dtype))
    except DataError as error:
        raise RunError(f"`--given {name}={text}`: {error.message}") from error
    return value
