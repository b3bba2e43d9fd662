"""Samples of a model to stand beside its data: in the pictures that a run leaves, and in its report."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dgmspec.modules.compiled import CompiledModel, UnavailableError
from dgmspec.program.build import Unavailable
from dgmspec.runtime.data import Dataset
from dgmspec.runtime.feed import contexts_of
from dgmspec.runtime.sample import sample_block

__all__ = ["in_one_pass", "samples_beside"]

Array = NDArray[Any]


def in_one_pass(model: CompiledModel) -> bool:
    """Whether samples come in the model's own direction, and not of a sampler that evaluates a net many times."""
    return not isinstance(model.programs["sample"], Unavailable)


@torch.no_grad()
def samples_beside(model: CompiledModel, data: Dataset | None, count: int, seed: int) -> tuple[dict[str, Array], str]:
    """Samples by variable, (count, *event), under the data's own contexts where the model has any; or none, and why.

    A model without a direction of its own to draw in is drawn from as its sample block says.
    """
    own = model.programs["sample"]
    method = None
    if isinstance(own, Unavailable) and model.default_method() is None:
        block = sample_block(model)
        method = None if block is None else block.method
        if method is None:
            return {}, own.reason
    given = contexts_of(model, data, count)
    if given is None:
        return {}, "samples are drawn given the data's contexts, and there are no data of these"
    try:
        drawn = model.sample(1 if given else count, given=given or None, seed=seed, method=method)
    except (UnavailableError, ValueError) as error:  # too little falls inside the support, or chains left the numbers
        return {}, str(error)
    columns = drawn if isinstance(drawn, dict) else {next(iter(model.observed)): drawn}
    return {
        name: np.asarray(rows.cpu().double()).reshape(-1, *model.type_of(name).shape) for name, rows in columns.items()
    }, ""
