"""``compile = true``: the train step is one compiled graph that gives the same losses, and nothing takes its place."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.backends.debugging import aot_eager

import dgmspec
from dgmspec.runtime import compiling
from dgmspec.runtime.rundir import RunDirectory, RunError

TEXT = """
dgm 1
model M {
    observe x : integer(0..7)[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z { dequantize(uniform); logit; actnorm; coupling(affine, mask = half, net = mlp(8)) }
    loss = nll
}
train M { steps = 6; batch = 32; accumulate = 2; clip = 1; validate = holdout(0.2, every = 3); compile = true }
"""
ROWS = {"x": torch.randint(0, 8, (200, 2), generator=torch.Generator().manual_seed(0)).numpy()}


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The graphs that the train step was compiled to."""
    found: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        found.append(graph)
        return aot_eager(graph, inputs)

    monkeypatch.setitem(compiling.OPTIONS, "backend", backend)
    torch._dynamo.reset()
    return found


def losses(text: str, out: Path) -> list[float]:
    dgmspec.train(dgmspec.parse(text), data=ROWS, out=out)
    return [row["loss"] for row in RunDirectory(out).metrics()]


def test_a_compiled_step_trains_as_the_plain_one(graphs: list[Any], tmp_path: Path) -> None:
    expected = losses(TEXT.replace("compile = true", "compile = false"), tmp_path / "plain")
    assert not graphs
    assert losses(TEXT, tmp_path / "compiled") == pytest.approx(expected, rel=1e-5)
    assert len(graphs) == 1, "one graph, also for all parts of a batch, and validation runs as it is"
    assert "compile = true" in (tmp_path / "compiled" / "bundle.dgm").read_text()


SHARED = """
dgm 1
model M {
    observe x : real[3]
    learn a : real[3]
    learn b : real[3]
    latent z : real[3] ~ normal(a + b, 1)
    flow x -> z { autoregressive(affine, net = made(8)) }
    loss = nll
}
"""
"""The gradients by a and by b are the same numbers, and some of the net's weights are held at zero."""


def test_one_graph_gives_the_gradients_of_autograd(graphs: list[Any]) -> None:
    model = dgmspec.compile(dgmspec.parse(SHARED), seed=0).train()
    compiled, x = model.compiled(**compiling.OPTIONS), torch.randn(16, 3)
    expected = model.pull(x)
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    model.zero_grad()
    assert compiled.pull(x) == pytest.approx(float(expected), rel=1e-6)
    assert not compiled.pull(x, weight=2.0).requires_grad, "and a second call adds to the first"
    assert len(graphs) == 1
    for name, weight in model.named_parameters():
        assert weight.grad is not None and gradients[name] is not None
        torch.testing.assert_close(weight.grad, 3 * gradients[name])
        free = model.mask_of(name)
        assert free is None or not weight.grad[~free].any()


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, raised while Inductor is imported
def test_gradients_share_no_memory(compiled: bool) -> None:
    """One piece of memory behind both counts twice what is added to either; back ends of one's own may do so."""
    torch._dynamo.reset()
    model, x = dgmspec.compile(dgmspec.parse(SHARED), seed=0).train(), torch.randn(16, 3)
    backend = import_module("torch._inductor.compile_fx").compile_fx if compiled else None
    pulled = model.compiled(backend=backend) if compiled else model
    for _ in range(2):
        pulled.pull(x)
    a, b = (dict(model.named_parameters())[name].grad for name in ("M/a", "M/b"))
    once = torch.autograd.grad(model.loss(x).total, dict(model.named_parameters())["M/a"])[0]
    for gradient in (a, b):
        torch.testing.assert_close(gradient, 2 * once)


def test_weights_thawed_after_the_first_step_have_gradients(graphs: list[Any]) -> None:
    model = dgmspec.compile(dgmspec.parse(SHARED), seed=0).train()
    compiled, x = model.compiled(**compiling.OPTIONS), torch.randn(16, 3)
    first = next(iter(model.parameters())).requires_grad_(False)
    compiled.pull(x)
    assert first.grad is None
    first.requires_grad_(True)
    model.zero_grad()
    compiled.pull(x)
    found, first.grad = first.grad, None
    model.pull(x)
    torch.testing.assert_close(found, first.grad)


def test_without_gradients_nothing_is_asked_of_parameters(graphs: list[Any]) -> None:
    model = dgmspec.compile(dgmspec.parse(SHARED), seed=0)
    compiled, x = model.compiled(**compiling.OPTIONS), torch.randn(16, 3)
    with torch.no_grad():
        compiled.log_prob(x)
        next(iter(model.parameters())).add_(1.0).requires_grad_(False)
        torch.testing.assert_close(compiled.log_prob(x), model.log_prob(x))
        assert len(graphs) == 1
        model.double()
        torch.testing.assert_close(compiled.log_prob(x.double()), model.log_prob(x.double()))
    assert len(graphs) == 2


def test_rows_have_weights_in_one_graph(graphs: list[Any]) -> None:
    model, x = dgmspec.compile(dgmspec.parse(SHARED), seed=0).train(), torch.randn(16, 3)
    compiled, weights = model.compiled(**compiling.OPTIONS), torch.rand(16)
    expected = model.pull(x, weights=weights)
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    model.zero_grad()
    assert compiled.pull(x, weights=weights) == pytest.approx(float(expected), rel=1e-6)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, gradients[name])
    compiled.pull(x)
    assert len(graphs) == 2, "a loss without weights is another one"


def test_models_share_no_limit_of_compilations(graphs: list[Any]) -> None:
    """Torch gives up on code that it compiled eight times over, and takes sizes that differ for dynamic ones."""
    for size in range(2, 12):
        text = (
            f"dgm 1\nmodel M {{ observe x : real[{size}]; latent z : real[*] ~ normal(0, 1); flow x -> z {{ actnorm }}"
        )
        model = dgmspec.compile(dgmspec.parse(text + "; loss = nll }"), seed=0).train().compiled(**compiling.OPTIONS)
        model.pull(torch.randn(4, size))
        assert len(graphs) == size - 1


UPDATED = """
dgm 1
model M {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z { batchnorm; coupling(affine, mask = half, net = mlp(8)) }
    loss = nll
}
"""


def test_what_a_step_updates_while_training_is_updated(graphs: list[Any]) -> None:
    plain, other = (dgmspec.compile(dgmspec.parse(UPDATED), seed=0).train() for _ in range(2))
    compiled, x = other.compiled(**compiling.OPTIONS), torch.randn(16, 2) + 3
    for _ in range(2):
        assert compiled.pull(x) == pytest.approx(float(plain.pull(x)), rel=1e-5)
    assert len(graphs) == 1, "autograd goes back, for one graph cannot write"
    for mine, theirs in zip(plain.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
        assert mine.grad is None or torch.allclose(mine.grad, theirs.grad, atol=1e-6)  # type: ignore[arg-type]


def test_what_cannot_be_compiled_ends_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def backend(graph: Any, inputs: Any) -> Any:
        raise NotImplementedError("no such kernel")

    monkeypatch.setitem(compiling.OPTIONS, "backend", backend)
    torch._dynamo.reset()
    with pytest.raises(RunError, match="cannot be compiled: no such kernel; leave `compile = true` out"):
        losses(TEXT, tmp_path / "run")


def test_a_setting_that_is_no_truth_value_is_refused() -> None:
    found = dgmspec.diagnose(TEXT.replace("compile = true", "compile = 2")).diagnostics
    assert [d.code for d in found if d.severity == "error"] == ["DGM803"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # Inductor's own
def test_the_default_backend_trains_too(tmp_path: Path) -> None:
    torch._dynamo.reset()
    expected = losses(TEXT.replace("compile = true", "compile = false"), tmp_path / "plain")
    assert losses(TEXT, tmp_path / "compiled") == pytest.approx(expected, rel=1e-4)
