"""Paths whose law reads learned numbers: `sde` and `perturb`, their curves, what trains them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec import lang
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.journeys import denoiser_of, noising_step
from dgmspec.modules.paths import coefficients
from dgmspec.modules.paths.denoiser import Denoiser, plan_of
from dgmspec.modules.runner import UnavailableError
from dgmspec.ops.paths.noising import AbstractNoising

VP = "sde x -> z over t in 0..1 { drift(x, t) = -β(t) / 2 * x; diffusion(t) = sqrt(β(t)); t_eps = 1e-3; {flow}; {net} }"
SHIFTED = (
    "sde x -> z over t in 0..1 { learn rate : positive = 1; learn pull = 0.3; drift(x, t) = -top * t / 4 * (x - pull) "
    "- rate * x; diffusion(t) = sqrt(2 * rate * t); init_noise = 0.1; t_eps = 1e-3; {flow}; {net} }"
)
DIAGONAL = (
    "sde x -> z over t in 0..1 { learn rate : positive = 0.5; drift(x, t) = -[0.5, rate] * β(t) * (x - [0, rate]); "
    "diffusion(t) = sqrt([1, 2 * rate] * β(t)); t_eps = 1e-3; {flow}; {net} }"
)
"""Alike at the starting values but for the offset."""
ARRAYS = (
    "sde x -> z over t in 0..1 { learn rate : positive[2] = [0.5, 1]; drift(x, t) = -rate * β(t) * x + [0, rate[1]]; "
    "diffusion(t) = sqrt(2 * rate * β(t)); t_eps = 1e-3; {flow}; {net} }"
)
KERNEL = (
    "perturb x -> z over t in 0..1 { kernel(x, t) ~ normal(exp(-top * t^2 / 4) * x + top * t, sqrt(1 - exp(-top * t^2 "
    "/ 2))); t_eps = 1e-3; {flow}; {net} }"
)


def text(law: str, loss: str = "vlb", shape: str = "[2]", start: float = 15) -> str:
    arrow = law.replace("{net}", "learn noise(x, t) = mlp(8)").replace(
        "{flow}", "likelihood = pf_ode(solver = rk4(steps = 4))"
    )
    return (
        f"dgm 1\nmodel M {{\nlearn top : positive = {start}\nfn β(t) = 0.1 + top * t\n"
        f"observe x : real{shape}\n"
        f"latent z : real{shape} ~ normal(0, 1)\n{arrow}\nloss = {loss}\n}}\n"
    )


def model(law: str, loss: str = "vlb", shape: str = "[2]", start: float = 15) -> CompiledModel:
    return dgmspec.compile(dgmspec.parse(text(law, loss, shape, start)), seed=0, dtype=torch.float64).eval()


def ends(found: CompiledModel) -> tuple[Denoiser, Denoiser]:
    """The arrow as losses see it, and with its numbers settled."""
    node = noising_step(found.graph)
    assert node is not None and isinstance(node.op, AbstractNoising)
    event = found.graph.type_of(node.source)
    p = {spec.name: found.values()[spec.key(node.address)] for spec in node.op.parameters(event, None)}
    return Denoiser(node.op, p, event, plan_of(node.op, event)), denoiser_of(node, found.graph, found.values())


@pytest.mark.parametrize(
    ("law", "moved"), [(VP, 15.0), (SHIFTED, -12.0), (KERNEL, 15.0), (DIAGONAL, -12.0), (ARRAYS, -12.0)]
)
def test_curves_are_those_of_the_law_with_the_numbers_put_in(law: str, moved: float) -> None:
    """Far from the starting values, where the panels of the integrals were not made for them."""
    found = model(law)
    with torch.no_grad():
        for name, value in found.named_parameters():
            if name == "M/top":
                value += moved
            elif name.endswith("rate"):
                value += 0.7
    own, settled = ends(found)
    t = torch.logspace(-6, 0, 100, dtype=torch.float64)
    here, truth = own.at(t, torch.float64), settled.at(t, torch.float64)
    for value, expected in zip(here, truth, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-14)
    for value, expected in zip(own.rates(t, torch.float64), settled.rates(t, torch.float64), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)
    for value, expected in zip(own.slopes(t, here), settled.slopes(t, truth), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("law", "loss"), [(VP, "vlb"), (SHIFTED, "nll"), (KERNEL, "vlb"), (DIAGONAL, "vlb"), (ARRAYS, "vlb")]
)
def test_gradients_reach_the_numbers(law: str, loss: str) -> None:
    """They are those of differences."""
    found = model(law, loss)
    x, top = torch.randn(4, 2, dtype=torch.float64), dict(found.named_parameters())["M/top"]
    found.loss(x, seed=0).total.backward()
    assert top.grad is not None
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            top += sign * 1e-4
            values.append(float(found.loss(x, seed=0).total.detach()))
            top -= sign * 1e-4
    assert (values[0] - values[1]) / 2e-4 == pytest.approx(float(top.grad), rel=1e-5)


def test_the_bound_trains_the_end_of_a_path() -> None:
    """From a path that leaves the data in x_T to one that reaches the prior; samples then follow the learned path."""
    found = model(VP, start=1)
    x = 2 * torch.randn(512, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = float(found.loss(x, seed=0).total.detach())
    optimizer = torch.optim.Adam(found.parameters(), lr=0.05)
    for step in range(60):
        optimizer.zero_grad()
        found.loss(x, seed=step).total.backward()
        optimizer.step()
    assert float(found.loss(x, seed=0).total.detach()) < before - 0.3
    assert float(found.path.alpha(1.0)) < 0.75 * math.exp(-0.3)
    drawn = found.sample(16, seed=0, method=lang.ddim(10))
    assert drawn.isfinite().all() and found.score(x[:2], 0.5).shape == (2, 2)


def test_the_bound_of_a_known_score_is_the_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of N(0, 1) along a variance-preserving path the noise is foretold by σ x_t, and the bound is tight."""
    law = VP.replace("β(t)", "(0.1 + 15 * t)").replace("t_eps = 1e-3", "t_eps = 1e-3; times = importance")
    found = dgmspec.compile(dgmspec.parse(text(law, shape="")), seed=0, dtype=torch.float64).eval()

    def known(self: Denoiser, y: Tensor, x: Tensor, t: Tensor, here: coefficients.At) -> Tensor:
        return (here.sigma * x).unsqueeze(0)

    monkeypatch.setattr(Denoiser, "raw", known)
    x = torch.randn(200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    bound = float(found.loss(x, seed=0).total.detach())
    assert bound == pytest.approx(0.5 * math.log(2 * math.pi * math.e), abs=0.05)


@pytest.mark.parametrize(
    ("law", "loss", "expected"),
    [
        (VP, "dsm", ["DGM671"]),
        (VP, "ism", ["DGM671"]),
        (VP.replace("t_eps = 1e-3", "t_eps = 0"), "vlb", ["DGM653"]),
        (VP.replace("t_eps = 1e-3", "times = log_normal"), "vlb", ["DGM652"]),
        (VP, "vlb(trains = variance)", ["DGM670"]),
        (VP.replace("-β(t) / 2 * x", "top * x - x^3"), "ism", ["DGM677"]),
        (VP.replace("sqrt(β(t))", "[1, 2] * top"), "vlb", []),
        (VP.replace("sqrt(β(t))", "[1, 2, 3] * top"), "vlb", ["DGM310"]),
        (KERNEL.replace("t_eps = 1e-3", "net γ(t) = mlp(8)"), "vlb", ["DGM677"]),
        (VP.replace("sqrt(β(t))", "sqrt(top - 30 * t)"), "vlb", ["DGM453"]),
        (ARRAYS.replace("positive[2] = [0.5, 1]", "positive[3]"), "vlb", ["DGM310"]),
        (
            ARRAYS.replace("positive[2] = [0.5, 1]", "real[2, 2]").replace("-rate * β(t) * x", "rate @ x"),
            "ism",
            ["DGM677"],
        ),
    ],
)
def test_what_a_learned_law_does_not_have_is_refused(law: str, loss: str, expected: list[str]) -> None:
    assert [d.code for d in dgmspec.diagnose(text(law, loss)).diagnostics if d.severity == "error"] == expected


def test_numbers_that_make_no_path_are_told_when_it_is_walked() -> None:
    """The ratio of signal to noise falls at the starting value, and rises at others."""
    law = KERNEL.replace("exp(-top * t^2 / 4) * x + top * t", "exp(-t) * x").replace(
        "sqrt(1 - exp(-top * t^2 / 2))", "t * exp(10 * t - 0.5 * top * t)"
    )
    found = model(law)
    assert found.sample(2, seed=0, method=lang.ddim(4)).isfinite().all()
    with torch.no_grad():
        dict(found.named_parameters())["M/top"] += 20
    with pytest.raises(UnavailableError, match="signal-to-noise ratio"):
        found.sample(2, seed=0, method=lang.ddim(4))


@pytest.mark.parametrize("rise", [0.0, 8.0, 30.0])
def test_the_bound_is_not_bought_where_the_ratio_of_signal_to_noise_rises(rise: float) -> None:
    """No net makes the bound on data of N(0, 1) less than their entropy, even one that errs where time undoes noise."""
    law = (
        "perturb x -> z over t in 0..1 { kernel(x, t) ~ normal(sqrt(sigmoid(λ(t))) * x, sqrt(sigmoid(-λ(t)))); "
        "learn noise(x, t) = mlp(); times = stratified; t_eps = 0 }"
    )
    found = dgmspec.compile(
        dgmspec.parse(
            "dgm 1\nmodel M {\nlearn rise = 0\nfn λ(t) = 5 - 10 * t + rise * t^3\nobserve x : real\n"
            f"latent z : real ~ normal(0, 1)\n{law}\nloss = vlb\n}}\n"
        ),
        seed=0,
        dtype=torch.float64,
    ).eval()
    x = torch.randn(4000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (weight,) = (p for name, p in found.named_parameters() if name.endswith("weight"))
    with torch.no_grad():
        dict(found.named_parameters())["M/rise"].fill_(rise)
        for late in (0.0, 1.0, 3.0):
            weight.copy_(torch.tensor([[0.5, late]]))
            assert float(found.loss(x, seed=0).total) > 0.5 * math.log(2 * math.pi * math.e)


def test_a_chain_learns_an_array() -> None:
    """Its bound, and the gradient of it, are those of the chain whose entries are numbers of their own."""
    chain = (
        "dgm 1\nmodel M {\nobserve x : real[2]\nlatent z : real[2] ~ normal(0, 1)\nmarkov x -> z over t in 1..20 {\n"
        "{learned}\nstep(x, t) ~ normal(sqrt(1 - {b}) * x, sqrt({b}))\nlearn noise(x, t) = mlp(4)\n}\nloss = vlb\n}\n"
    )
    texts = [
        chain.replace("{learned}", "learn b : unit[2] = [0.2, 0.3]").replace("{b}", "b"),
        chain.replace("{learned}", "learn p : unit = 0.2; learn q : unit = 0.3").replace("{b}", "[p, q]"),
    ]
    x = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    for each in texts:
        one = dgmspec.compile(dgmspec.parse(each), seed=0, dtype=torch.float64)
        loss = one.loss(x, seed=1).total
        loss.backward()
        law = [p.grad.reshape(-1) for n, p in one.named_parameters() if n[-1] in "bpq" and p.grad is not None]
        found.append((loss.detach(), torch.cat(law)))
    for array, numbers in zip(*found, strict=True):
        torch.testing.assert_close(array, numbers, rtol=1e-10, atol=1e-12)
