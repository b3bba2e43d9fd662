"""Values given to a model from Python: those that a discrete variable does not have are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import dgmspec

DISCRETE = """dgm 1
model M {
    observe x : integer(0..3)[2]
    given c : category(3)
    latent z : real[2] ~ normal(0, 1)
    flow x -> z | c { dequantize(uniform); logit; coupling(affine, mask = half, net = mlp(8)) }
    loss = nll
}
"""


@pytest.mark.parametrize("make", [torch.tensor, np.array, list], ids=["tensor", "array", "list"])
def test_values_that_discrete_variables_do_not_have_are_refused(make: Any) -> None:
    model = dgmspec.compile(dgmspec.parse(DISCRETE))
    x, c = [[0, 1], [3, 2]], [0, 2]
    assert model.log_prob(make(x), given={"c": make(c)}, seed=0).shape == (2,)
    assert model.loss({"x": make(x), "c": make(c)}, seed=0).total.isfinite()
    with pytest.raises(ValueError, match=r"`c` is category\(3\), labels 0..2: row 1 is 3"):
        model.log_prob(make(x), given={"c": make([0, 3])})
    with pytest.raises(ValueError, match=r"whole numbers 0..3: row 1, coordinate \[0\] is -1"):
        model.loss({"x": make([[0, 1], [-1, 2]]), "c": make(c)})
    with pytest.raises(ValueError, match=r"row 0, coordinate \[1\] is 0.5"):
        model.log_prob(make([[0, 0.5]]), given={"c": make([1])})
    with pytest.raises(ValueError, match=r"row 0 is nan"):
        model.sample(3, given={"c": make([float("nan")])})


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.float64, torch.bfloat16], ids=str)
def test_every_number_type_is_judged(dtype: torch.dtype) -> None:
    model = dgmspec.compile(dgmspec.parse(DISCRETE))
    x = torch.tensor([[0, 3]], dtype=dtype)
    model.log_prob(x, given={"c": torch.tensor([1], dtype=dtype)})
    with pytest.raises(ValueError, match="is 4"):
        model.log_prob(x + 1, given={"c": torch.tensor([1], dtype=dtype)})
