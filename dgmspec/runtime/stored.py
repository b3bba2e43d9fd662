"""Models read back from disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from dgmspec.compiler import compile, parse
from dgmspec.modules.bundle import load_weights, read_bundle
from dgmspec.modules.compiled import CompiledModel

__all__ = ["load_model"]


def load_model(
    path: str | Path,
    nets: Mapping[str, torch.nn.Module] | None = None,
    device: torch.device | str | None = None,
) -> CompiledModel:
    """The model that `CompiledModel.save` wrote, in evaluation mode; CheckpointError where the folder holds none."""
    bundle, dtype = read_bundle(Path(path))
    spec = parse(bundle.text, bundle.sources)
    model = compile(spec, bundle.model, None, nets, bundle.seed, bundle.optimize, dtype, device)  # type: ignore[arg-type]
    model.load_state_dict(load_weights(Path(path), model.state_dict()))
    return model.eval()
