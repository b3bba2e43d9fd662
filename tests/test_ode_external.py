"""Networks handed over from Python inside the velocity of an `ode`."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import dgmspec
from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.verify import verify
from tests.odes import DOUBLE, ode, points
from tests.zoo import randomise


class Field(nn.Module):
    """tanh(W [x, t] + b), then another layer; with `layers` behind."""

    def __init__(self, size: int = 2, out: int = 2, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(size + 1, 6), nn.Tanh(), *layers, nn.Linear(6, out))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        found: Tensor = self.body(torch.cat([x, t[:, None]], 1))
        return found


NET = "net f(x, t) : real[2] = external"
FINE = "solver = rk4(steps = 4)"


def text(velocity: str = "-0.3 * x + f(x, t)", *more: str, over: str = "t in 0..2", members: str = NET) -> str:
    return ode(f"velocity(x, t) = {velocity}", *(more or (FINE,)), over=over, members=members)


def handed(source: str, net: nn.Module, **nets: nn.Module) -> CompiledModel:
    return dgmspec.compile(dgmspec.parse(source), nets={"f": net, **nets}, dtype=DOUBLE)


def test_an_external_net_is_the_mlp_that_it_equals() -> None:
    """Value, trace, gradients and samples, on an interval that nets of the library read from 0 to 1."""
    ours = dgmspec.compile(dgmspec.parse(text().replace("= external", "= mlp(6, activation = tanh)")), dtype=DOUBLE)
    randomise(ours, 1)
    net = Field().double()
    with torch.no_grad():
        for layer, at in ((0, 0), (2, 1)):
            net.body[layer].weight.copy_(ours.get_parameter(f"M/f/{at}/weight"))
            net.body[layer].bias.copy_(ours.get_parameter(f"M/f/{at}/bias"))
        net.body[0].weight[:, 2] /= 2  # it is given the time as it is
    theirs, x = handed(text(), net), points(5, 2)
    assert theirs.density == "exact"
    torch.testing.assert_close(theirs.log_prob(x), ours.log_prob(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(theirs.sample(5, seed=1), ours.sample(5, seed=1))
    for model in (ours, theirs):
        model.loss(x).total.backward()
    torch.testing.assert_close(net.body[2].weight.grad, ours.get_parameter("M/f/1/weight").grad)


@pytest.mark.parametrize(
    ("way", "solver"), [("checkpoint", "rk4(steps = 2)"), ("adjoint", "dopri8(rtol = 1e-10, atol = 1e-10)")]
)
def test_gradients_reach_an_external_net_in_every_way(way: str, solver: str) -> None:
    torch.manual_seed(0)
    net, x, found = Field(), points(4, 2), []
    for gradient in ("direct", way):
        own = copy.deepcopy(net)
        model = handed(text("-0.3 * x + f(x, t)", f"solver = {solver}", f"gradient = {gradient}"), own)
        model.loss(x).total.backward()
        found.append(torch.cat([p.grad.flatten() for p in own.parameters() if p.grad is not None]))
    assert len(found[0]) == sum(p.numel() for p in net.parameters())
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-8)


def test_traces_are_exact_for_few_coordinates_and_estimated_for_more() -> None:
    exact = handed(text("f(x, t)", FINE, "trace = exact"), net := Field())
    drawn = handed(text("f(x, t)", FINE, "trace = hutchinson(gaussian)"), net)
    x = points(1, 2)
    with torch.no_grad():
        found = drawn.log_prob(x.expand(2000, 2), seed=0)
        error = found.mean() - exact.log_prob(x)[0]
    assert float(found.std()) > 1e-3 and abs(float(error)) < 4 * float(found.std()) / 2000**0.5
    wide = text().replace("real[2]", "real[7]")
    assert handed(wide, Field(7, 7)).density == "estimate"
    shown = dgmspec.diagnose(text()).explain("M")
    assert "exact, 2 derivatives" in shown and "`f(x, t)` Lipschitz in `x` where paths run" in shown


@pytest.mark.slow
def test_a_part_of_a_joint_state_may_be_read() -> None:
    source = (
        "dgm 1\nmodel M {\n    net f(q, t) : real[2] = external\n    net g(p, q) : positive = external\n"
        "    observe q : real[2]\n    observe p : real\n    latent z : real[3] ~ normal(0, 1)\n"
        "    ode [q, p] -> z over t in 0..1 { velocity(q, p, t) = [f(q, t), -g(p, q)]; solver = rk4(steps = 4) }\n"
        "    loss = nll\n}\n"
    )

    class Rate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([0.3, -0.2]))

        def forward(self, p: Tensor, q: Tensor) -> Tensor:
            return p.sin() * (q @ self.w)

    model = handed(source, Field(), g=Rate())
    assert "exact, 2 derivatives" in dgmspec.diagnose(source).explain("M")
    found = verify(model)
    assert found.holds, found.text()


@pytest.mark.slow
def test_an_external_net_compiles() -> None:
    for more in ((), ("trace = hutchinson",)):
        torch._dynamo.reset()
        model, x = handed(text("-0.3 * x + f(x, t)", "solver = rk4(steps = 2)", *more), Field()), points(4, 2)
        found = []
        for each in (model, model.compiled(backend="aot_eager")):
            loss = each.loss(x, seed=1, step=1).total
            found.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))]))
        torch.testing.assert_close(found[1], found[0])


def test_the_gradient_of_an_external_energy() -> None:
    """E = k |x|² / 2: the velocity is -k x, and its trace -2 k."""

    class Energy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.k = nn.Parameter(torch.tensor(0.7))

        def forward(self, x: Tensor) -> Tensor:
            return self.k * x.square().sum(1) / 2

    source = text("-grad(f(x), x)", "solver = dopri5(rtol = 1e-9, atol = 1e-9)", members="net f(x) : real = external")
    model, x = handed(source.replace("velocity(x, t)", "velocity(x)"), Energy()), points(3, 2)
    step = model.ledger(x).steps[0]
    torch.testing.assert_close(step.logdet.detach(), torch.full((3,), -2.8, dtype=DOUBLE), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(model.encode(x), x * torch.tensor(-1.4, dtype=DOUBLE).exp(), rtol=1e-6, atol=1e-7)


def test_a_model_with_an_external_net_is_copied_saved_and_frozen(tmp_path: Path) -> None:
    model, x = handed(text(), Field()), points(4, 2)
    expected = model.log_prob(x).detach()
    assert "M/f.body.0.weight" in model.state_dict()
    torch.testing.assert_close(copy.deepcopy(model).log_prob(x).detach(), expected)
    torch.testing.assert_close(model.freeze().log_prob(x), expected)
    loaded = dgmspec.load_model(model.save(tmp_path / "m"), nets={"f": Field()})
    torch.testing.assert_close(loaded.log_prob(x).detach(), expected)
    with pytest.raises(ValueError, match="net `f` is external"):
        dgmspec.load_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (Field(2, 3), r"expected a result of shape \(3, 2\), got \(3, 3\)"),
        (Field(4), "fails on inputs of the shapes"),
        (Field(2, 2, nn.Dropout(0.5)), "does it drop units"),
        (Field(2, 2, nn.BatchNorm1d(6)), "does it normalise over the batch"),
    ],
)
def test_what_is_no_velocity_is_refused_when_it_is_handed_over(net: nn.Module, words: str) -> None:
    before = copy.deepcopy(net.state_dict())
    torch.manual_seed(3)
    drawn = torch.get_rng_state()
    with pytest.raises(ValueError, match=words):
        dgmspec.compile(dgmspec.parse(text()), nets={"f": net})
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True))


def test_training_reaches_an_external_net(tmp_path: Path) -> None:
    source = text(over="t in 0..1") + (
        "data moons = two_moons(n = 200)\n"
        "train M { data = moons; steps = 4; batch = 32; optimizer = adam(lr = 0.01) }\n"
    )
    net = Field()
    before = net.body[0].weight.detach().clone()
    run = dgmspec.train(dgmspec.parse(source), out=tmp_path / "run", nets={"f": net})
    assert not torch.equal(run.model.state_dict()["M/f.body.0.weight"], before)


def test_reflow_holds_no_weights_of_python() -> None:
    found = dgmspec.diagnose(text().replace("loss = nll", "loss = reflow")).diagnostics
    assert "DGM611" in [d.code for d in found]
