"""Contexts dropped while training, and samplers guided by what difference a context makes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec import lang
from dgmspec.modules.compiled import CompiledModel, UnavailableError
from dgmspec.modules.journeys import Noise, denoiser_of, noising_step
from dgmspec.modules.paths.denoiser import Denoiser
from dgmspec.modules.paths.descent import Journey
from tests.zoo import randomise

CHAIN = "markov x -> z | y over t in 1..30 { step(x, t) ~ normal(0.9 * x, 0.44); learn noise(x, t) = mlp(16) }"
SDE = "sde x -> z | y over t in 0..1 { drift(x, t) = -5 * x; diffusion(t) = sqrt(10); learn noise(x, t) = mlp(16) }"


TRAIN = "train M { steps = 3; batch = 32; drop = 0.25 }\n"


def text(arrow: str = CHAIN, y: str = "category(3)", blocks: str = TRAIN) -> str:
    return (
        f"dgm 1\nmodel M {{\n observe x : real[2]\n given y : {y}\n latent z : real[2] ~ normal(0, 1)\n {arrow}\n"
        f" loss = dsm\n}}\n{blocks}\n"
    )


@cache
def model(arrow: str = CHAIN, y: str = "category(3)") -> CompiledModel:
    """A model in float64 that drops its context, its parameters moved away from their start."""
    found = dgmspec.compile(dgmspec.parse(text(arrow, y)), seed=0, dtype=torch.float64)
    randomise(found, 1)
    return found.eval()


def net_of(found: CompiledModel, given: Tensor) -> Denoiser:
    node = noising_step(found.graph)
    assert node is not None
    return denoiser_of(node, found.graph, found.values(), given)


def test_a_guided_prediction_goes_beyond_that_of_the_context() -> None:
    """(1 + w) ε(x, y) - w ε(x), of the clean data likewise, since both are affine in it."""
    x, labels = torch.randn(3, 2, dtype=torch.float64), torch.tensor([0.0, 1, 2], dtype=torch.float64)
    net, t = net_of(model(), labels), torch.full((3,), 12.0, dtype=torch.float64)
    noise = Noise(0, "test", 0, 3, x, (2,))
    guided = Journey(net, (12.0, 11.0), noise, x, guidance=1.5).predict(x, 0)
    given, free = net(x, t), replace(net, dropped=torch.ones(3, dtype=torch.bool))(x, t)
    torch.testing.assert_close(guided.noise, 2.5 * given.noise - 1.5 * free.noise)
    torch.testing.assert_close(guided.clean, (x - guided.at.mean - guided.at.sigma * guided.noise) / guided.at.alpha)
    assert not torch.allclose(given.noise, free.noise)


@pytest.mark.parametrize("y", ["category(3)", "real[2]", "real"])
def test_without_its_context_the_net_reads_none(y: str) -> None:
    x, shape = torch.randn(2, 2, dtype=torch.float64), (2, 2) if y == "real[2]" else (2,)
    none, t = torch.ones(2, dtype=torch.bool), torch.full((2,), 5.0, dtype=torch.float64)
    found = [
        replace(net_of(model(CHAIN, y), torch.full(shape, value, dtype=torch.float64)), dropped=none)(x, t).noise
        for value in (0.0, 1.0)
    ]
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


@pytest.mark.parametrize("arrow", [CHAIN, SDE])
@pytest.mark.parametrize("method", [lang.ancestral(steps=5), lang.ddim(5)])
def test_no_guidance_is_the_contexts_own_law(arrow: str, method: object) -> None:
    given = {"y": torch.tensor([1])}
    plain, none, some = (model(arrow).sample(4, given, seed=0, method=method, guidance=w) for w in (None, 0.0, 2.0))
    torch.testing.assert_close(plain, none, rtol=0, atol=0)
    assert not torch.allclose(plain, some)


def test_guided_samples_depend_on_seed_and_index_alone() -> None:
    options = {"given": {"y": torch.tensor([2])}, "seed": 3, "method": lang.ancestral(steps=6), "guidance": 1.0}
    whole = model().sample(300, **options)
    parts = [model().sample(n, start=start, **options) for start, n in ((0, 70), (70, 230))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)


def test_contexts_are_dropped_while_training_alone() -> None:
    """The share of rows is that of `drop`, and each row's is its own draw."""
    found, rows = model(), 4000
    batch = {"x": torch.zeros(rows, 2, dtype=torch.float64), "y": torch.zeros(rows)}
    null = "M/x->z/path/null"
    assert dict(found.named_parameters())[null].shape == (3,)
    found.eval()
    assert null not in _read(found, batch)
    found.train()
    try:
        assert null in _read(found, batch)
        node = noising_step(found.graph)
        assert node is not None
        (name,) = [i.name for i in found.program("loss").inputs if i.name.endswith("drop")]
        draws = found.loss_inputs(batch, None, 0, None, 0)[0][name]
        assert float((draws < node.op.drop).double().mean()) == pytest.approx(0.25, abs=0.03)  # type: ignore[attr-defined]
    finally:
        found.eval()


def _read(found: CompiledModel, batch: dict[str, Tensor]) -> list[str]:
    """The parameters that a gradient reaches."""
    found.zero_grad()
    found.loss(batch, seed=0).total.backward()
    return [name for name, p in found.named_parameters() if p.grad is not None and bool(p.grad.any())]


def test_a_model_that_was_never_without_its_context_is_not_guided() -> None:
    found = dgmspec.compile(dgmspec.parse(text(blocks="")), seed=0)
    assert not any(name.endswith("/null") for name, _ in found.named_parameters())
    with pytest.raises(UnavailableError, match="never trained without its context"):
        found.sample(2, {"y": torch.tensor([0])}, method=lang.ddim(2), guidance=1.0)
    with pytest.raises(UnavailableError, match="say which"):
        model(SDE).sample(2, {"y": torch.tensor([0])}, guidance=1.0)


def test_a_sample_block_says_the_context_and_the_guidance(tmp_path: Path) -> None:
    blocks = TRAIN + "sample M { method = ddim(steps = 3); guidance = 2; y = 1; count = 5 }"
    generator = torch.Generator().manual_seed(0)
    data = {"x": torch.randn(64, 2, generator=generator), "y": torch.arange(64) % 3}
    run = dgmspec.train(dgmspec.parse(text(blocks=blocks)), data=data, out=tmp_path / "run")
    drawn = dgmspec.sample(run.path)
    expected = run.model.sample(5, {"y": torch.tensor([1])}, seed=0, method=lang.ddim(steps=3), guidance=2.0)
    torch.testing.assert_close(drawn, expected)
    other = dgmspec.sample(run.path, given={"y": 2}, guidance=0.0)
    plain = run.model.sample(5, {"y": torch.tensor([2])}, seed=0, method=lang.ddim(steps=3))
    torch.testing.assert_close(other, plain)


@pytest.mark.slow
def test_the_loss_that_drops_contexts_compiles_as_one_graph() -> None:
    found = model()
    batch = {"x": torch.randn(16, 2, dtype=torch.float64), "y": torch.arange(16) % 3}
    found.train()
    try:
        expected = found.loss(batch, seed=0).total
        torch.testing.assert_close(found.compiled(backend="aot_eager").loss(batch, seed=0).total, expected)
    finally:
        found.eval()


# ---- velocities of odes ---------------------------------------------------------------------------------------------

FLOW = "ode z -> x | y over t in 0..1 { velocity(v, t) = mlp(16, 16); solver = rk4(steps = 4) }"


def flow(y: str = "category(3)", blocks: str = TRAIN, loss: str = "flow_matching", arrow: str = FLOW) -> str:
    return text(arrow, y, blocks).replace("loss = dsm", f"loss = {loss}")


@cache
def flowing(y: str = "category(3)") -> CompiledModel:
    found = dgmspec.compile(dgmspec.parse(flow(y)), seed=0, dtype=torch.float64)
    randomise(found, 1)
    return found.eval()


@pytest.mark.parametrize(("y", "others"), [("category(3)", (0.0, 2.0)), ("real", (-1.0, 1.0))])
def test_a_guided_velocity_goes_beyond_that_of_the_context(y: str, others: tuple[float, float]) -> None:
    """One Euler step has (1 + w) times what the context's takes, less w times that of the learned stand-in, which no
    context enters; the own direction of the model does without a method."""
    found, step = flowing(y), lang.solve(lang.euler(steps=1))
    contexts = [{"y": torch.tensor([value])} for value in others]
    start = found.encode(found.sample(4, contexts[0], seed=0), contexts[0])
    moved = [found.sample(4, c, seed=0, method=step, guidance=w) for c in contexts for w in (None, 0.0, 1.0)]
    free = [2 * moved[i] - moved[i + 2] for i in (0, 3)]
    torch.testing.assert_close(moved[0], moved[1], rtol=0, atol=0)
    torch.testing.assert_close(free[0], free[1])
    assert not torch.allclose(moved[0], moved[3]) and start.isfinite().all()
    assert not torch.allclose(found.sample(4, contexts[0], seed=0, guidance=2.0), found.sample(4, contexts[0], seed=0))


def test_an_ode_is_shown_its_stand_in_while_training_alone() -> None:
    found = flowing()
    batch = {"x": torch.zeros(400, 2, dtype=torch.float64), "y": torch.zeros(400)}
    ((null, value),) = ((name, p) for name, p in found.named_parameters() if name.endswith("/null/context"))
    assert value.shape == (3,)
    assert null not in _read(found, batch)
    found.train()
    try:
        assert null in _read(found, batch)
    finally:
        found.eval()


def test_a_sample_block_guides_an_ode(tmp_path: Path) -> None:
    blocks = TRAIN + "sample M { guidance = 2; y = 1; count = 5 }"
    data = {"x": torch.randn(64, 2), "y": torch.arange(64) % 3}
    run = dgmspec.train(dgmspec.parse(flow(blocks=blocks)), data=data, out=tmp_path / "run")
    expected = run.model.sample(5, {"y": torch.tensor([1])}, seed=0, guidance=2.0)
    torch.testing.assert_close(dgmspec.sample(run.path), expected)


@pytest.mark.parametrize(
    ("loss", "arrow"),
    [
        ("nll", FLOW),
        ("flow_matching", FLOW.replace(" | y", "")),
        ("flow_matching", FLOW.replace("mlp(16, 16)", "-y[0] * v")),
    ],
)
def test_a_context_that_nothing_can_stand_in_for_is_not_dropped(loss: str, arrow: str) -> None:
    found = dgmspec.diagnose(flow("real[1]", loss=loss, arrow=arrow)).diagnostics
    assert "DGM813" in [d.code for d in found]
