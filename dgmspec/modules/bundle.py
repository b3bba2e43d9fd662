"""A model on disk: a folder with its weights as safetensors, its spec as text, and the rest as JSON.

    weights.safetensors   every parameter by its address
    spec.dgm              the spec in canonical text, defaults written out
    bundle.json           format, model, seed, used files' texts, names of external nets

Nothing is pickled and nothing in the folder is executed. Each file is written beside its place and renamed into it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dgmspec.core.disk import reason, replacing

__all__ = ["Bundle", "CheckpointError", "load_weights", "read_bundle", "write_bundle"]

FORMAT = "dgmspec-model"
VERSION = 1
WEIGHTS, SPEC, REST = "weights.safetensors", "spec.dgm", "bundle.json"


class CheckpointError(Exception):
    """A folder that is no saved model: missing, cut short, foreign, or of other weights than its spec asks for."""


@dataclass(frozen=True)
class Bundle:
    """What a model is compiled from: enough to compile it again anywhere.

    `text` is the main spec with overrides and defaults written out, `sources` the texts of the files that it uses.
    """

    text: str
    model: str
    sources: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    optimize: str = "O1"
    nets: tuple[str, ...] = ()


def write_bundle(path: Path, bundle: Bundle, weights: Mapping[str, Tensor]) -> Path:
    """Write the folder `path` (made if need be) and return it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        rest = {"format": FORMAT, "version": VERSION, **asdict(bundle), "dtype": _dtype(weights)}
        text = rest.pop("text")
        _replace(path / SPEC, text.encode())
        _replace(path / REST, (json.dumps(rest, indent=2, ensure_ascii=False) + "\n").encode())
        with replacing(path / WEIGHTS) as part:
            save_file({k: v.detach().cpu().contiguous().clone() for k, v in weights.items()}, part, {"format": FORMAT})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write {path}: {reason(error)}") from error
    return path


def _missing(path: Path, error: OSError) -> str:
    if not path.exists():
        return "it does not exist"
    return f"it holds no {Path(error.filename).name}" if isinstance(error, FileNotFoundError) else reason(error)


def read_bundle(path: Path) -> tuple[Bundle, torch.dtype]:
    """The bundle in the folder `path` and the precision its weights were saved in."""
    try:
        rest = json.loads((path / REST).read_text(encoding="utf-8"))
        text = (path / SPEC).read_text(encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"{path} is no saved model: {_missing(path, error)}") from error
    except ValueError as error:
        raise CheckpointError(f"{path / REST} is damaged: {error}") from error
    if not isinstance(rest, dict) or rest.get("format") != FORMAT:
        raise CheckpointError(f"{path / REST} was not written by dgmspec")
    if rest.get("version") != VERSION:
        raise CheckpointError(f"{path} has format version {rest.get('version')}; this release reads {VERSION}")
    return _parsed(path, text, rest)


def load_weights(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in `path`, exactly those that `expected` has, in the same shapes."""
    try:
        found = load_file(path / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path / WEIGHTS} is missing or damaged: {error}") from error
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or extra:
        what = f"lacks `{missing[0]}`" if missing else f"has `{extra[0]}`, which its spec does not ask for"
        raise CheckpointError(f"{path / WEIGHTS} {what}: weights and spec do not belong together")
    for key, value in found.items():
        if value.shape != expected[key].shape:
            raise CheckpointError(
                f"{path / WEIGHTS}: `{key}` should have shape {tuple(expected[key].shape)}, got {tuple(value.shape)}"
            )
    return found


def _parsed(path: Path, text: str, rest: dict[str, Any]) -> tuple[Bundle, torch.dtype]:
    try:
        dtype = _DTYPES[rest["dtype"]]
        if not all(isinstance(rest[k], t) for k, t in _FIELDS.items()):
            raise TypeError("a field has another type")
        fields = {k: rest[k] for k in ("model", "sources", "seed", "optimize")}
        return Bundle(text=text, nets=tuple(rest["nets"]), **fields), dtype
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path / REST} is damaged: {error}") from error


_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
_FIELDS = {"model": str, "sources": dict, "seed": int, "optimize": str, "nets": list}


def _dtype(weights: Mapping[str, Tensor]) -> str:
    """The precision of the weights; that of torch's default where there is none."""
    first = next((v.dtype for v in weights.values() if v.is_floating_point()), torch.get_default_dtype())
    return str(first).removeprefix("torch.")


def _replace(path: Path, content: bytes) -> None:
    with replacing(path) as part:
        part.write_bytes(content)
