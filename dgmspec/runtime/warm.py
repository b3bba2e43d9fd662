"""Training that begins with the weights of another run, instead of random ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.rundir import RunError
from dgmspec.runtime.stored import load_model

__all__ = ["begin_with"]


@torch.no_grad()
def begin_with(model: CompiledModel, path: Path, nets: Mapping[str, nn.Module] | None = None) -> None:
    """Take the weights of the model in the folder `path`, and what it recorded of its data, by their addresses below
    the models' names; `RunError` where the two do not have the same ones. Copies that a loss holds are taken anew."""
    known = load_model(path, nets, model.device)
    found, wanted = _weights(known), _weights(model)
    other = f"the weights in {path} are those of another model"
    for name, tensor in wanted.items():
        if name not in found:
            raise RunError(f"{other}: there is no `{name}`")
        if found[name].shape != tensor.shape:
            raise RunError(f"{other}: `{name}` is {tuple(found[name].shape)} there and {tuple(tensor.shape)} here")
    if extra := [name for name in found if name not in wanted]:
        raise RunError(f"{other}: `{extra[0]}` has no place here")
    for name, tensor in wanted.items():
        tensor.copy_(found[name])
    model.take_copies()


def _weights(model: CompiledModel) -> dict[str, Tensor]:
    """All that a model keeps but copies, by addresses below its name."""
    kept = {name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if name not in model.copies}
    return {name.removeprefix(f"{model.name}/"): tensor for name, tensor in kept.items()}
