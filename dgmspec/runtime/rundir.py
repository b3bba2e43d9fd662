"""A run's folder: the bundle it came from, its metrics, its checkpoints, its pictures and its report.

    bundle.dgm      the spec in canonical text, parameters overridden and every default written out
    config.json     the resolved training plan and the versions it ran with
    metrics.csv     one row per reading: step, seconds, loss, validation (nats)
    checkpoints/    last.safetensors and best.safetensors (weights, averages, optimiser state, counters)
    model/          the trained model, as `dgmspec.load_model` reads it
    samples.png, loss.png, report.json

Every file is written under another name and renamed into place, so a reader never meets half of one.
"""

from __future__ import annotations

import csv
import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

__all__ = ["RunDirectory", "RunError", "finite", "fresh_directory", "versions"]


METRICS = ("step", "seconds", "loss", "validation")


class RunError(Exception):
    """Something outside the spec stopped a run: a path, a disk, a checkpoint. The message is meant for the user."""


@dataclass(frozen=True)
class RunDirectory:
    """The folder of one run; see the module's docstring for what lies in it."""

    path: Path

    def create(self) -> None:
        """Make the folder; `RunError` where that cannot be done."""
        try:
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"cannot write to {self.path}: {error.strerror}; choose another folder with --out"
            raise RunError(reason) from error

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file in one step."""
        path = self.path / name
        try:
            part = path.with_name(path.name + ".part")
            part.write_text(text, encoding="utf-8")
            os.replace(part, path)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}; what was written before is unharmed") from error
        return path

    def write_json(self, name: str, value: Mapping[str, Any]) -> Path:
        """Write a JSON file in one step."""
        return self.write_text(name, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def append_metrics(self, row: Mapping[str, float]) -> None:
        """Add one row to metrics.csv; a figure that was not read this time stays empty."""
        path = self.path / "metrics.csv"
        try:
            new = not path.exists()
            with path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, METRICS, restval="")
                if new:
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}") from error

    def metrics(self) -> list[dict[str, float]]:
        """All rows of metrics.csv, empty fields left out."""
        if not (self.path / "metrics.csv").exists():
            return []
        with (self.path / "metrics.csv").open(newline="", encoding="utf-8") as file:
            return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]

    def cut_metrics(self, step: int) -> None:
        """Drop the rows after `step`, which a resumed run will write again."""
        try:
            lines = (self.path / "metrics.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        except OSError:
            return
        kept = [line for line in lines[1:] if float(line.partition(",")[0]) <= step]
        self.write_text("metrics.csv", "".join([*lines[:1], *kept]))

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the run; `RunError` where the folder is none of a run."""
        path = self.path / name
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path} is no folder of a dgmspec run: {name} cannot be read") from error
        if not isinstance(found, dict):
            raise RunError(f"{self.path} is no folder of a dgmspec run: {name} holds no object")
        return found

    def save_checkpoint(self, name: str, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Write ``checkpoints/<name>.safetensors`` in one step; `counters` travel in its header as JSON."""
        path = self.path / "checkpoints" / f"{name}.safetensors"
        part = path.with_name(path.name + ".part")
        try:
            packed = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
            save_file(packed, part, metadata={"counters": json.dumps(counters)})
            os.replace(part, path)
        except (OSError, SafetensorError) as error:
            part.unlink(missing_ok=True)
            raise RunError(f"cannot write {path}: {error}; the last good checkpoint is kept") from error

    def load_checkpoint(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Read a checkpoint back; `RunError` where it is missing, cut short or foreign."""
        path = self.path / "checkpoints" / f"{name}.safetensors"
        try:
            header = _safetensors_header(path)
            return load_file(path), json.loads(header["counters"])
        except FileNotFoundError as error:
            raise RunError(f"{self.path} has no checkpoint `{name}`, so nothing to go on with") from error
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise RunError(f"{path} is no checkpoint of a dgmspec run: {error}") from error


def _safetensors_header(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, read from its JSON header alone."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > 1 << 27:
            raise ValueError("its header is too long")
        metadata: dict[str, str] = json.loads(file.read(length))["__metadata__"]
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
