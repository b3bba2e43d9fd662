"""A run's folder: the bundle it came from, its metrics, its checkpoints, its pictures and its report.

    bundle.dgm      the spec in canonical text, parameters overridden and every default written out
    config.json     the resolved training plan and the versions it ran with
    metrics.csv     one row per reading: step, seconds, loss, validation (nats)
    checkpoints/    last.safetensors and best.safetensors (weights, averages, optimiser state, counters)
    model/          the trained model, as `dgmspec.load_model` reads it
    samples.png, loss.png, report.json

Every file but metrics.csv is written under another name, flushed, and renamed into place, so a reader never meets half
of one; config.json comes after bundle.dgm, so a folder that has it can be gone on with. metrics.csv grows by rows, and
a row that was cut short counts as not written.
"""

from __future__ import annotations

import csv
import json
import math
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dgmspec.core.disk import reason, replacing
from dgmspec.modules.bundle import CheckpointError

__all__ = [
    "BUNDLE",
    "CONFIG",
    "FORMAT_VERSION",
    "RunDirectory",
    "RunError",
    "ToldError",
    "finite",
    "fresh_directory",
    "versions",
]

FORMAT_VERSION = 1
CHECKPOINT = "dgmspec-checkpoint"
BUNDLE, CONFIG, METRICS_CSV = "bundle.dgm", "config.json", "metrics.csv"
_AGAIN = "put back a copy of it, or train anew in another folder: nothing here was changed"
METRICS = ("step", "seconds", "loss", "validation")


class RunError(Exception):
    """Something outside the spec stopped a run: a path, a disk, a checkpoint. The message is meant for the user."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints in place of a traceback."""
        return str(self).split("\n")


class ToldError(RunError):
    """A `RunError` of another process, which has told the user."""


@dataclass(frozen=True)
class RunDirectory:
    """The folder of one run; see the module's docstring for what lies in it."""

    path: Path

    @property
    def begun(self) -> bool:
        """Whether a run was begun here: its settings, which are written last, are there."""
        return (self.path / CONFIG).exists() or self.has_checkpoint("last")

    @property
    def trained(self) -> bool:
        """Whether steps were taken here, and so whether there is, or should be, a last checkpoint."""
        return any(
            path.exists() for path in (self._checkpoint("last"), self._checkpoint("best"), self.path / METRICS_CSV)
        )

    def create(self) -> None:
        """Make the folder; `RunError` where that cannot be done."""
        try:
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot write to {self.path}: {reason(error)}; choose another folder with --out") from error

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file in one step."""
        path = self.path / name
        with self.saying(path), replacing(path) as part:
            part.write_text(text, encoding="utf-8")
        return path

    def write_json(self, name: str, value: Mapping[str, Any]) -> Path:
        """Write a JSON file in one step."""
        return self.write_text(name, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    @contextmanager
    def saying(self, path: Path) -> Iterator[None]:
        """A failure to write `path`, or a file below it, inside the block says what, why, and how to go on."""
        try:
            yield
        except (OSError, SafetensorError, CheckpointError) as error:
            where = getattr(error, "filename", None) or path
            raise RunError(f"cannot write {where}: {reason(error)}; {self._going_on()}") from error

    def _going_on(self) -> str:
        if not self.path.is_dir():
            return "the folder was moved or removed meanwhile: where it is now, go on with dgmspec train --resume"
        if not self._checkpoint("last").exists():
            return "nothing was trained yet: choose another folder with --out"
        return (
            "the checkpoints written before are unharmed: when the disk can be written to again, go on with\n"
            f"    dgmspec train --resume {self.path}"
        )

    # ---- metrics ----------------------------------------------------------------------------------------------------

    def append_metrics(self, row: Mapping[str, float]) -> None:
        """Add one row to metrics.csv; a figure that was not read this time stays empty."""
        path = self.path / METRICS_CSV
        with self.saying(path):
            new = not path.exists()
            with path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, METRICS, restval="")
                if new:
                    writer.writeheader()
                writer.writerow(row)

    def metrics(self) -> list[dict[str, float]]:
        """All rows of metrics.csv, empty fields left out; `RunError` where they are none of a run's."""
        try:
            found = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(self._metric_lines())]
            if not all("step" in row and "loss" in row for row in found):
                raise ValueError("a row has no step or no loss")
        except (ValueError, TypeError) as error:
            raise RunError(f"{self.path / METRICS_CSV} is damaged: {error}; {_AGAIN}") from error
        return found

    def cut_metrics(self, step: int) -> None:
        """Drop the rows after `step`, which a resumed run will write again."""
        lines = self._metric_lines()
        if len(lines) > 1:
            kept = [line for line, row in zip(lines[1:], self.metrics(), strict=True) if row["step"] <= step]
            self.write_text(METRICS_CSV, "".join([*lines[:1], *kept]))

    def _metric_lines(self) -> list[str]:
        """The whole lines of metrics.csv: of a row that a full disk or a kill cut short nothing is left."""
        try:
            text = (self.path / METRICS_CSV).read_bytes().decode("utf-8", "replace")
        except OSError:
            return []
        return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]

    # ---- reading ----------------------------------------------------------------------------------------------------

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the run; `RunError` where the folder is none of a run."""
        path = self.path / name
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            why = f"{name} cannot be read"
            if not self.path.is_dir():
                why = "it is a file" if self.path.exists() else "it does not exist"
            raise RunError(f"{self.path} is no folder of a dgmspec run: {why}") from error
        if not isinstance(found, dict):
            raise RunError(f"{self.path} is no folder of a dgmspec run: {name} holds no object")
        return found

    def config(self) -> dict[str, Any]:
        """What the run was begun with; `RunError` where there is no run, or one that a later release wrote."""
        if not self.begun and (self.path / BUNDLE).exists():
            raise RunError(f"the run in {self.path} was stopped before it began: train anew with --out {self.path}")
        return self._versioned(CONFIG)

    def report(self) -> dict[str, Any]:
        """What the run reached; `RunError` where it is not finished, or a later release wrote it."""
        return self._versioned("report.json")

    def _versioned(self, name: str) -> dict[str, Any]:
        found = self.read_json(name)
        if "format_version" not in found:
            raise RunError(f"{self.path / name} is damaged: it says no format_version; {_AGAIN}")
        if found["format_version"] != FORMAT_VERSION:
            raise RunError(
                f"{self.path} has run format {found.get('format_version')}, and this release reads {FORMAT_VERSION}: "
                "use the release of dgmspec that wrote it" + _release(found)
            )
        return found

    # ---- checkpoints ------------------------------------------------------------------------------------------------

    def _checkpoint(self, name: str) -> Path:
        return self.path / "checkpoints" / f"{name}.safetensors"

    def has_checkpoint(self, name: str) -> bool:
        """Whether there is such a checkpoint, sound or not."""
        return self._checkpoint(name).exists()

    def save_checkpoint(self, name: str, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Write ``checkpoints/<name>.safetensors`` in one step; `counters` travel in its header as JSON."""
        path = self._checkpoint(name)
        metadata = {"format": CHECKPOINT, "version": str(FORMAT_VERSION), "counters": json.dumps(counters)}
        packed = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        with self.saying(path), replacing(path) as part:
            save_file(packed, part, metadata)

    def load_checkpoint(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Read a checkpoint back; `RunError` where it is missing, cut short, foreign or of a later release."""
        path = self._checkpoint(name)
        try:
            header = _safetensors_header(path)
            if header.get("format") == CHECKPOINT and header.get("version") != str(FORMAT_VERSION):
                version = f"format {header.get('version')}, and this release reads {FORMAT_VERSION}"
                raise RunError(f"{path} has {version}: use the release of dgmspec that wrote it")
            if header.get("format") != CHECKPOINT:
                raise RunError(f"{path} was not written by dgmspec; {_AGAIN}")
            return load_file(path), json.loads(header["counters"])
        except FileNotFoundError as error:
            raise RunError(f"{self.path} has no checkpoint `{name}`; {_AGAIN}") from error
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise RunError(f"{path} is damaged: {reason(error)}; {_AGAIN}") from error


def _release(config: Mapping[str, Any]) -> str:
    versions = config.get("versions")
    found = versions.get("dgmspec") if isinstance(versions, dict) else None
    return f", {found}" if found else ""


def _safetensors_header(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, read from its JSON header alone."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > 1 << 27:
            raise ValueError("its header is too long")
        metadata: dict[str, str] = json.loads(file.read(length)).get("__metadata__") or {}
        return metadata


def fresh_directory(base: Path, name: str) -> Path:
    """The first of ``base/name``, ``base/name-2``, … that does not exist."""
    path, count = base / name, 1
    while path.exists():
        count += 1
        path = base / f"{name}-{count}"
    return path


def finite(value: Any) -> Any:
    """`value` with null in place of every number that JSON cannot write."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def versions() -> dict[str, str]:
    """What a run depends on, for its configuration and report."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    packages = {name: version(name) for name in ("dgmspec", "torch", "accelerate", "numpy") if _installed(name)}
    python = platform.python_version()
    return {"python": python, **packages, "device": device, "threads": str(torch.get_num_threads())}


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
