"""Samples drawn and written a chunk at a time: as arrays, a table or a picture, in memory that does not grow with them.

A sample depends on the seed and its index alone, and chunks begin at the same indices whatever the number of processes,
which draw them in turn.
"""

from __future__ import annotations

import csv
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dgmspec.core.disk import reason, replacing
from dgmspec.core.types import Type
from dgmspec.modules.asked import asked_sampler
from dgmspec.modules.compiled import CompiledModel, UnavailableError
from dgmspec.modules.results import Chains
from dgmspec.ops.langevin import AbstractChain
from dgmspec.runtime.pictures import draw_samples
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.progress import show_progress
from dgmspec.runtime.rundir import RunError
from dgmspec.runtime.shares import rows_at_once

__all__ = ["CHUNK", "Drawn", "write_csv", "write_samples", "writer_of"]

CHUNK: Final = 4096
"""Samples drawn at once, of small events."""

UNMIXED: Final = 1.1
"""R-hat above which chains are said not to have come to one law."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Drawn:
    """`count` samples of a model from a seed, given one value of each conditioning variable."""

    model: CompiledModel
    count: int
    seed: int
    given: Mapping[str, Array]
    processes: Processes
    visible: bool = False
    method: Any = None
    """A sampler instead of the model's own direction."""
    guidance: float | None = None
    known: Mapping[str, Array] = field(default_factory=dict)
    """Coordinates of observed variables that a sampler keeps, NaN where they are free."""
    chains: list[Chains] = field(default_factory=list)
    """This process's chains so far, where the method refuses steps."""

    @property
    def figures(self) -> dict[str, float]:
        """What chains did: the share of steps taken, of `hmc` also the step size, the largest R-hat, the smallest
        number of independent draws that a chain's steps are worth, and the share of orbits lost."""
        means = ("acceptance", "step_size", "diverged")
        found = {name: [v for c in self.chains if (v := getattr(c, name)) is not None] for name in means}
        figures = {
            name: float(torch.cat([v.flatten() for v in values]).mean()) for name, values in found.items() if values
        }
        r_hats = [float(c.r_hat.max()) for c in self.chains if c.r_hat is not None]
        draws = [float(c.effective.min()) for c in self.chains if c.effective is not None]
        return figures | ({"r_hat": max(r_hats), "effective_draws": min(draws)} if r_hats else {})

    def said(self) -> list[str]:
        """The figures in words."""
        figures = self.figures
        if not figures:
            return []
        lines = [f"the chains took {figures['acceptance']:.0%} of their steps"]
        if "step_size" in figures:
            lines[0] += f" (step size {figures['step_size']:.3g} after the warm-up)"
        if "r_hat" in figures:
            lines.append(
                f"R-hat {figures['r_hat']:.3f}; the steps of a chain are worth {figures['effective_draws']:.3g} "
                "independent draws, and its last one is taken"
            )
            if figures["r_hat"] > UNMIXED:
                lines.append("the chains have not come to one law: take more `steps`, or more `warmup`")
        if figures.get("diverged"):
            lost = f"{100 * figures['diverged']:.2g}% of the orbits were lost"
            lines.append(f"{lost}: raise `target`, such as target = 0.95")
        return lines

    def chunks(self) -> Iterator[dict[str, Array]]:
        """The samples by variable, integers as integers, in order; every process draws some and gets all."""
        contexts = {name: self.model.as_input(name, value[None]) for name, value in self.given.items()}
        size = rows_at_once(self.model, CHUNK)
        own, every = size * self.processes.index, size * self.processes.count
        done = 0
        visible = self.visible and self.count > size
        with self.processes.attended("run it again"), show_progress("sample", self.count, visible) as reporter:
            for start in range(0, self.count, every):
                rows = min(size, self.count - start - own)
                mine = self._chunk(start + own, rows, contexts) if rows > 0 else None
                for chunk in self.processes.everyone(mine):
                    if chunk is not None:
                        yield chunk
                        done += len(next(iter(chunk.values())))
                reporter.advance(done)

    def _chunk(self, start: int, rows: int, contexts: Mapping[str, Tensor]) -> dict[str, Array]:
        try:
            found = self._draw(start, rows, contexts or None)
        except (UnavailableError, ValueError) as error:
            raise RunError(f"{self.model.name} cannot be sampled: {error}") from error
        columns = found if isinstance(found, dict) else {self.names[0]: found}
        return {name: _typed(np.asarray(v.cpu()), self.model.type_of(name)) for name, v in columns.items()}

    def _draw(self, start: int, rows: int, given: Mapping[str, Tensor] | None) -> Any:
        method = None if self.method is None else asked_sampler(self.method)
        if not isinstance(method, AbstractChain) or not method.compares:
            asked: dict[str, Any] = {"method": method, "guidance": self.guidance}
            if self.known:
                asked["known"] = {name: _kept(value) for name, value in self.known.items()}
            return self.model.sample(rows, given=given, seed=self.seed, start=start, **asked)
        self.chains.append(self.model.chains(rows, method, given=given, seed=self.seed, start=start))
        return self.chains[-1].values

    @property
    def names(self) -> list[str]:
        """The variables that are drawn: the observed ones that are not given."""
        return [name for name in self.model.observed if name not in self.given]

    def help(self) -> None:
        """Draw this process's chunks for another that writes them."""
        for _ in self.chunks():
            pass

    def whole(self) -> dict[str, Array]:
        """All samples in memory."""
        parts = list(self.chunks())
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def only(self, ending: str) -> str:
        """The only variable, for files that hold one."""
        names = self.names
        if len(names) > 1:
            raise RunError(f"{ending} holds one variable and there are {len(names)}: write .npz or .csv")
        return names[0]


def _kept(value: Array) -> tuple[Tensor, Tensor]:
    """What stands, (1, *event), and where."""
    numbers = torch.from_numpy(np.asarray(value, dtype=np.float64))[None]
    return numbers.nan_to_num(), ~numbers.isnan()


def _typed(rows: Array, type_: Type) -> Array:
    """Whole numbers and labels as int64."""
    return rows.astype(np.int64) if type_.support.discrete else rows


# ---- writing --------------------------------------------------------------------------------------------------------


def write_samples(drawn: Drawn, out: Path) -> None:
    """Write samples by the ending of the file, which appears when it is whole; the first process writes."""
    write = writer_of(out)
    if not drawn.processes.main:
        return drawn.help()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as part:
            write(drawn, part)
    except OSError as error:
        raise RunError(f"cannot write {out}: {reason(error)}; nothing was left of it") from error


def write_csv(drawn: Drawn, file: IO[str]) -> None:
    """One row a sample, one column a coordinate: ``x[0]``, ``x[1]``, …; the first process writes."""
    if not drawn.processes.main:
        return drawn.help()
    writer = csv.writer(file, lineterminator="\n")
    for number, chunk in enumerate(drawn.chunks()):
        flat = {name: rows.reshape(len(rows), -1) for name, rows in chunk.items()}
        if not number:
            writer.writerow(
                f"{n}[{i}]" if chunk[n].ndim > 1 else n for n, rows in flat.items() for i in range(rows.shape[1])
            )
        writer.writerows(zip(*(column.astype(str) for rows in flat.values() for column in rows.T), strict=True))


def _csv(drawn: Drawn, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        write_csv(drawn, file)


def _npy(drawn: Drawn, path: Path) -> None:
    name = drawn.only(".npy")
    with path.open("wb") as file:
        for number, chunk in enumerate(drawn.chunks()):
            _append(file, chunk[name], drawn.count, first=not number)


def _npz(drawn: Drawn, path: Path) -> None:
    """Each variable grows in a file without a name, beside the archive that they are put into at the end."""
    with ExitStack() as stack:
        files = {n: stack.enter_context(tempfile.TemporaryFile(dir=path.parent)) for n in drawn.names}
        for number, chunk in enumerate(drawn.chunks()):
            for name, rows in chunk.items():
                _append(files[name], rows, drawn.count, first=not number)
        archive = stack.enter_context(zipfile.ZipFile(path, "w"))
        for name, file in files.items():
            file.seek(0)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                shutil.copyfileobj(file, member)


def _append(file: IO[bytes], rows: Array, count: int, first: bool) -> None:
    """More rows of a .npy file of `count` rows in all."""
    if first:
        header = {"descr": np.lib.format.dtype_to_descr(rows.dtype), "fortran_order": False}
        np.lib.format.write_array_header_2_0(file, {**header, "shape": (count, *rows.shape[1:])})
    file.write(np.ascontiguousarray(rows).tobytes())


def _png(drawn: Drawn, path: Path) -> None:
    name = drawn.only(".png")
    draw_samples(drawn.whole()[name], None, drawn.model.type_of(name).shape, path, name)


WRITERS: Final[dict[str, Callable[[Drawn, Path], None]]] = {".npy": _npy, ".npz": _npz, ".csv": _csv, ".png": _png}
"""How samples are written, by the file's ending."""


def writer_of(out: Path) -> Callable[[Drawn, Path], None]:
    """What writes a file of that ending; `RunError` where nothing does."""
    writer = WRITERS.get(out.suffix.lower())
    if writer is None:
        raise RunError(f"cannot write samples as {out}: the file's ending is one of {', '.join(WRITERS)}")
    return writer
