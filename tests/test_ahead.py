"""Programs compiled ahead of their calls: C++ functions over the model's own tensors."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
import torch.autograd.forward_ad as fwAD
from torch.fx.experimental.proxy_tensor import make_fx

import dgmspec
from dgmspec.modules import fx
from dgmspec.modules.compiled import CompiledModel
from tests.flows import flow
from tests.test_fx_library import steps
from tests.zoo import TYPES, draw_event, randomise

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's own, raised while Inductor is imported
    pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no compiler of C++ here"),
]

GIVEN = """
dgm 1
model M {
    given c : real[2]
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z | c {
        linear(plu)
        coupling(affine, mask = half, net = mlp(8))
    }
    loss = nll
}
"""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each program that was to be compiled ahead, whether it could be."""
    found: list[bool] = []

    def spy(*arguments: Any) -> Any:
        function = compile_ahead(*arguments)
        found.append(function is not None)
        return function

    compile_ahead = fx.compile_ahead
    monkeypatch.setattr(fx, "compile_ahead", spy)
    return found


def model_of(text: str) -> CompiledModel:
    torch._dynamo.reset()
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)
    randomise(model)
    return model


def test_one_function_serves_every_batch_and_follows_the_weights(made: list[bool]) -> None:
    model = model_of(GIVEN)
    other, x = model.compiled(ahead=True), torch.randn(9, 2, dtype=torch.float64)
    one = torch.randn(1, 2, dtype=torch.float64)
    with torch.no_grad():
        for rows in (x[:4], x, x.flip(0).T.contiguous().T):
            for c in (one, rows.sin(), rows):
                torch.testing.assert_close(other.log_prob(rows, {"c": c}), model.log_prob(rows, {"c": c}))
        for parameter in model.parameters():
            parameter.add_(0.1)
            torch.testing.assert_close(other.log_prob(x, {"c": x}), model.log_prob(x, {"c": x}))
    assert made == [True]


@pytest.mark.slow
def test_what_it_is_not_for_goes_through_torch_compile(made: list[bool]) -> None:
    model = model_of(GIVEN)
    other, x = model.compiled(ahead=True, backend="aot_eager"), torch.randn(9, 2, dtype=torch.float64)
    given, expected = {"c": x.sin()}, model.log_prob(x, {"c": x.sin()})
    found = other.log_prob(x, given)
    assert found.requires_grad and not made
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        torch.testing.assert_close(other.log_prob(x[:1], {"c": x[:1].sin()}), expected[:1])
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(other.log_prob(x, given), expected, rtol=0.1, atol=0.1)
        with pytest.raises(RuntimeError, match="not supported"):  # else x would be a constant of what is traced
            make_fx(lambda rows: other.log_prob(rows, given))(x)
        with fwAD.dual_level():
            found = fwAD.unpack_dual(other.log_prob(fwAD.make_dual(x, x.cos()), given)).tangent
            tangent = fwAD.unpack_dual(model.log_prob(fwAD.make_dual(x, x.cos()), given)).tangent
        torch.testing.assert_close(found, tangent)
        assert not made
        torch.testing.assert_close(other.log_prob(x, given), expected)
        model.float()
        torch.testing.assert_close(other.log_prob(x, given), expected.float(), rtol=1e-4, atol=1e-4)
        assert made == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize("width", [8, 128])
def test_frozen_models_hold_their_weights_and_results_keep_their_names(made: list[bool], width: int) -> None:
    model = model_of(GIVEN.replace("mlp(8)", f"mlp({width}, {width})"))
    frozen, c = model.freeze().compiled(ahead=True), torch.randn(1, 2, dtype=torch.float64)
    x, log_prob = frozen.sample_and_log_prob(5, {"c": c}, seed=1)
    assert made == [True]
    torch.testing.assert_close(log_prob, model.log_prob(x, {"c": c}))
    torch.testing.assert_close(x, model.sample(5, {"c": c}, seed=1))
    x = x.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(frozen.log_prob(x, {"c": c}).sum(), x)
    (expected,) = torch.autograd.grad(model.log_prob(x, {"c": c}).sum(), x)
    torch.testing.assert_close(slope, expected)
    assert made == [True]


STEPS = [parameters for parameters in steps() if not parameters.marks]


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS[::5])
def test_steps_are_one_function(step: str, made: list[bool]) -> None:
    text = next((found for before in TYPES if (found := flow(before, [step]))), None)
    if text is None:
        pytest.skip("no flow from data to a prior is made of this step alone")
    model = model_of(text)
    other, x = model.compiled(ahead=True), draw_event(model.type_of("x"), 7)
    with torch.no_grad():
        for rows in (x[:4], x):
            torch.testing.assert_close(other.log_prob(rows, seed=1), model.log_prob(rows, seed=1))
        for parameter in model.parameters():
            parameter.mul_(0.9)
        torch.testing.assert_close(other.log_prob(x, seed=1), model.log_prob(x, seed=1))
        torch.testing.assert_close(other.sample(7, seed=1), model.sample(7, seed=1))
    assert made == [True, True]
