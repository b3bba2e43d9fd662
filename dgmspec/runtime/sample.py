"""Samples of a trained model, in memory or written as arrays, a table or a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dgmspec.compiler import parse
from dgmspec.core.diagnostics import did_you_mean
from dgmspec.core.types import SupportKind, Type
from dgmspec.graph.plans import lower_sample
from dgmspec.modules.compiled import CompiledModel, UnavailableError
from dgmspec.runtime.data import DataError, check_column
from dgmspec.runtime.evaluate import model_of
from dgmspec.runtime.pictures import draw_samples
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.progress import show_progress
from dgmspec.runtime.rundir import RunError
from dgmspec.spec.model import Sample

__all__ = ["Drawn", "csv_text", "draw_samples_of", "sample", "write_samples"]

BATCH: Final = 4096
"""Rows drawn at once; the draws of a sample depend on the seed and its index alone."""

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
) -> Any:
    """`count` samples of a finished run (or of a saved model), a tensor (count, *event), or a dict by name where there
    are several observed variables. `given` holds one value for each conditioning variable. Without a count or a seed
    those of the spec's sample block hold, else 100 samples and seed 0."""
    model = model_of(Path(run), nets, Processes().device)
    count, seed = _settled(model, count, seed)
    drawn = {name: torch.from_numpy(rows) for name, rows in _draw(model, count, seed, dict(given or {}), False).items()}
    return next(iter(drawn.values())) if len(drawn) == 1 else drawn


@dataclass(frozen=True)
class Drawn:
    """Samples by variable, the model that they are of, and the seed that they were drawn from."""

    columns: dict[str, Array]
    model: CompiledModel
    seed: int

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(next(iter(self.columns.values())))


def draw_samples_of(
    run: Path, count: int | None, seed: int | None, given: Sequence[str], out: Path | None = None, visible: bool = False
) -> Drawn:
    """Samples of a run that are to be written to `out`, whose ending is looked at first.

    `given` are values as written on a command line: ``label=3``, ``c=0.5,-1``. Count and seed default as in `sample`.
    """
    if out is not None:
        _writer(out)
    model = model_of(run, None, Processes().device)
    count, seed = _settled(model, count, seed)
    return Drawn(_draw(model, count, seed, _values(model, given), visible), model, seed)


def write_samples(drawn: Drawn, out: Path) -> None:
    """Write samples by the ending of the file."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _writer(out)(drawn.columns, drawn.model, out)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror or error}") from error


def csv_text(drawn: Drawn) -> str:
    """Samples as a table, one row each."""
    file = io.StringIO()
    _table(drawn.columns, file)
    return file.getvalue()


def _settled(model: CompiledModel, count: int | None, seed: int | None) -> tuple[int, int]:
    """Count and seed: as asked for, else as the spec's sample block says."""
    block_count, block_seed = COUNT, 0
    if model.bundle is not None:
        spec = parse(model.bundle.text, model.bundle.sources)
        for item in spec.items:
            if isinstance(item, Sample) and item.model == model.graph.name:
                plan, _ = lower_sample(spec, item)
                block_count, block_seed = (plan.count, plan.seed) if plan else (COUNT, 0)
    return (block_count if count is None else count), (block_seed if seed is None else seed)


# ---- drawing --------------------------------------------------------------------------------------------------------


def _draw(model: CompiledModel, count: int, seed: int, given: Mapping[str, Any], visible: bool) -> dict[str, Array]:
    """Samples by variable, integers as integers."""
    contexts = {name: model.as_input(name, np.asarray(value)[None]) for name, value in given.items()}
    parts: dict[str, list[Array]] = {name: [] for name in model.observed}
    with show_progress("sample", count, visible and count > BATCH) as reporter:
        for start in range(0, count, BATCH):
            drawn = _part(model, min(BATCH, count - start), contexts, seed, start)
            for name, rows in drawn.items():
                parts[name].append(np.asarray(rows.cpu()))
            reporter.advance(min(count, start + BATCH))
    return {name: _typed(np.concatenate(rows), model.type_of(name)) for name, rows in parts.items()}


def _part(
    model: CompiledModel, count: int, given: Mapping[str, torch.Tensor], seed: int, start: int
) -> dict[str, torch.Tensor]:
    try:
        found = model.sample(count, given=given or None, seed=seed, start=start)
    except (UnavailableError, ValueError) as error:
        raise RunError(f"{model.graph.name} cannot be sampled: {error}") from error
    return found if isinstance(found, dict) else {next(iter(model.observed)): found}


def _typed(rows: Array, type_: Type) -> Array:
    """Whole numbers and labels as int64."""
    return rows.astype(np.int64) if type_.support.kind in (SupportKind.INTEGER, SupportKind.CATEGORY) else rows


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


# ---- writing --------------------------------------------------------------------------------------------------------


def _write_npy(drawn: dict[str, Array], model: CompiledModel, out: Path) -> None:
    with out.open("wb") as file:
        np.save(file, _only(drawn, out), allow_pickle=False)


def _write_npz(drawn: dict[str, Array], model: CompiledModel, out: Path) -> None:
    with out.open("wb") as file:
        np.savez(file, **drawn)  # type: ignore[arg-type]


def _write_csv(drawn: dict[str, Array], model: CompiledModel, out: Path) -> None:
    with out.open("w", newline="", encoding="utf-8") as file:
        _table(drawn, file)


def _write_png(drawn: dict[str, Array], model: CompiledModel, out: Path) -> None:
    draw_samples(_only(drawn, out), None, model.type_of(next(iter(drawn))).shape, out)


WRITERS: Final[dict[str, Callable[[dict[str, Array], CompiledModel, Path], None]]] = {
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".csv": _write_csv,
    ".png": _write_png,
}
"""How samples are written, by the file's ending."""


def _writer(out: Path) -> Callable[[dict[str, Array], CompiledModel, Path], None]:
    writer = WRITERS.get(out.suffix.lower())
    if writer is None:
        raise RunError(f"cannot write samples as {out}: the file's ending is one of {', '.join(WRITERS)}")
    return writer


def _only(drawn: dict[str, Array], out: Path) -> Array:
    if len(drawn) > 1:
        raise RunError(f"{out.suffix} holds one variable and there are {len(drawn)}: write .npz or .csv")
    return next(iter(drawn.values()))


def _table(drawn: dict[str, Array], file: IO[str]) -> None:
    """One row a sample, one column a coordinate: ``x[0]``, ``x[1]``, …"""
    flat = {name: rows.reshape(len(rows), -1) for name, rows in drawn.items()}
    header = [f"{n}[{i}]" if drawn[n].ndim > 1 else n for n, rows in flat.items() for i in range(rows.shape[1])]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*(column.astype(str) for rows in flat.values() for column in rows.T), strict=True))
