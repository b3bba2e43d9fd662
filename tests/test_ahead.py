"""Programs compiled ahead of their calls: C++ functions over the model's own tensors."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
import torch.autograd.forward_ad as fwAD
from torch.fx.experimental.proxy_tensor import make_fx

import dgmspec
from dgmspec.modules import ahead, fx
from dgmspec.modules.compiled import CompiledModel
from tests.flows import flow
from tests.test_compiling import SHARED
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

    def spy(*arguments: Any, **options: Any) -> Any:
        function = compile_ahead(*arguments, **options)
        found.append(function is not None)
        return function

    compile_ahead = fx.compile_ahead
    for module in (fx, ahead):
        monkeypatch.setattr(module, "compile_ahead", spy)
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


def assert_pulls_alike(other: CompiledModel, model: CompiledModel, x: Any) -> None:
    """The gradients of a compiled model are those of the model, and each has memory of its own."""
    torch.testing.assert_close(other.pull(x, seed=1, step=3), model.pull(x, seed=1, step=3))
    model.zero_grad()
    other.pull(x, seed=1, step=3, weight=0.5)
    found = {name: p.grad for name, p in other.named_parameters()}
    model.zero_grad()
    model.pull(x, seed=1, step=3, weight=0.5)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)
    places = [gradient.untyped_storage().data_ptr() for gradient in found.values() if gradient is not None]
    inputs = x.values() if isinstance(x, dict) else [x]
    places += [value.untyped_storage().data_ptr() for value in (*inputs, *model.parameters())]
    assert len({*places}) == len(places)
    model.zero_grad()


@pytest.mark.parametrize("early", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_loss_and_its_gradients_are_one_function(early: bool, made: list[bool]) -> None:
    model = model_of(SHARED).train()
    other, x = model.compiled(ahead=early), torch.randn(9, 3, dtype=torch.float64)
    for rows in (x[:3], x):  # the first batch is as large as an event
        assert_pulls_alike(other, model, rows)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.9)
    assert_pulls_alike(other, model, x)
    assert made == [True] * early


@pytest.mark.slow
def test_rows_with_contexts_are_one_function(made: list[bool]) -> None:
    model = model_of(GIVEN).train()
    other, x = model.compiled(ahead=True), torch.randn(9, 2, dtype=torch.float64)
    for rows in (x[:4], x):
        assert_pulls_alike(other, model, {"x": rows.clone(), "c": rows.sin()})
    assert made == [True]


@pytest.mark.slow
@pytest.mark.parametrize("step", ["batchnorm", "coupling(affine, mask = half, net = mlp(8, dropout = 0.5))"])
def test_losses_that_write_or_draw_go_through_torch_compile(step: str, made: list[bool]) -> None:
    text = GIVEN.replace("    given c : real[2]\n", "").replace(" | c", "").replace("linear(plu)", step)
    plain, model = model_of(text).train(), model_of(text).train()
    other, x = model.compiled(ahead=True), torch.randn(64, 2, dtype=torch.float64) + 3
    for _ in range(2):
        torch.manual_seed(0)
        expected = plain.pull(x)
        torch.manual_seed(0)
        found = other.pull(x)
        assert "dropout" in step or found == pytest.approx(float(expected))
    assert not any(made)
    state = plain.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, state[name])


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


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [False, True])
def test_what_is_no_number_stays_none_where_weights_are_packed(ahead: bool) -> None:
    text = GIVEN.replace("mlp(8)", "mlp(256, 256, activation = relu)")
    frozen, c = model_of(text).float().freeze().compiled(ahead=ahead), torch.randn(300, 2)
    c[3] = torch.nan
    found = frozen.log_prob(torch.randn(300, 2), {"c": c})
    assert found.isnan().nonzero().tolist() == [[3]]


def text_of(step: str) -> str:
    text = next((found for before in TYPES if (found := flow(before, [step]))), None)
    if text is None:
        pytest.skip("no flow from data to a prior is made of this step alone")
    return text


STEPS = [parameters for parameters in steps() if not parameters.marks]


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS[::5])
def test_steps_are_one_function(step: str, made: list[bool]) -> None:
    model = model_of(text_of(step))
    other, x = model.compiled(ahead=True), draw_event(model.type_of("x"), 7)
    with torch.no_grad():
        for rows in (x[:4], x):
            torch.testing.assert_close(other.log_prob(rows, seed=1), model.log_prob(rows, seed=1))
        for parameter in model.parameters():
            parameter.mul_(0.9)
        torch.testing.assert_close(other.log_prob(x, seed=1), model.log_prob(x, seed=1))
        torch.testing.assert_close(other.sample(7, seed=1), model.sample(7, seed=1))
    assert made == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS[2::5])
def test_gradients_of_steps_are_one_function(step: str, made: list[bool]) -> None:
    model = model_of(text_of(step).rstrip().removesuffix("}") + "    loss = nll\n}\n").train()
    if not [*model.parameters()]:
        pytest.skip("nothing is learned")
    other, x = model.compiled(ahead=True), draw_event(model.type_of("x"), 7)
    for rows in (x[:4], x):
        assert_pulls_alike(other, model, rows)
    # The gradient of attention is one for the batch that it was traced with, a weight of the other is in no use there.
    assert made == [True] or step.startswith("low_rank") or "transformer" in step
