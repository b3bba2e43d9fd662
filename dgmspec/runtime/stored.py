"""Models read back from disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from dgmspec.compiler import compile, parse
from dgmspec.modules.bundle import load_weights, read_bundle
from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.rundir import RunDirectory, RunError

__all__ = ["load_model"]


def load_model(
    path: str | Path,
    nets: Mapping[str, torch.nn.Module] | None = None,
    device: torch.device | str | None = None,
) -> CompiledModel:
    """The model that `CompiledModel.save` wrote in a folder, or that of the finished run in it, in evaluation mode.

    `nets` are those that were passed when it was made. CheckpointError where the folder holds no model, RunError where
    its run is not finished.
    """
    path = Path(path)
    inner = path / "model"
    if not inner.is_dir() and RunDirectory(path).begun:
        raise RunError(f"the run in {path} is not finished: go on with\n    dgmspec train --resume {path}")
    path = inner if inner.is_dir() else path
    bundle, dtype = read_bundle(path)
    spec = parse(bundle.text, bundle.sources)
    model = compile(spec, bundle.model, None, nets, bundle.seed, bundle.optimize, dtype, device)  # type: ignore[arg-type]
    model.load_state_dict(load_weights(path, model.state_dict()))
    return model.eval()
