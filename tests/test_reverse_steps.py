"""Reverse steps of a `markov`: whole numbers at its start, learned variances, the terms of its bound."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from scipy import stats
from torch import Tensor

import dgmspec
from dgmspec import lang
from dgmspec.core.types import integers
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.paths import chain
from dgmspec.modules.paths.bound import _end
from dgmspec.modules.paths.coefficients import At
from dgmspec.modules.paths.denoiser import Denoiser, Predicted

STEPS = 20


@cache
def model(variance: str = "posterior", loss: str = "vlb", x: str = "real[2]") -> CompiledModel:
    """A chain of 20 steps in float64."""
    shape = x[x.index("[") :]
    text = (
        f"dgm 1\nfn β(t) = 0.02 + 0.5 * t / {STEPS}\nmodel M {{\n observe x : {x}\n"
        f" latent z : real{shape} ~ normal(0, 1)\n markov x -> z over t in 1..{STEPS} {{\n"
        f"  step(x, t) ~ normal(sqrt(1 - β(t)) * x, sqrt(β(t)))\n  learn clean(x, t) = mlp(8)\n"
        f"  variance = {variance}\n }}\n loss = {loss}\n}}\n"
    )
    return dgmspec.compile(dgmspec.parse(text), seed=0, dtype=torch.float64)


def placed(found: CompiledModel, between: float) -> CompiledModel:
    """The model whose learned variances all stand at one place between the posterior's and the forward one."""
    bias = dict(found.named_parameters())["M/x->z/path/net/1/bias"]
    with torch.no_grad():
        bias[2:] = 2 * between - 1
    return found


# ---- learned variances ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("between", "variance"), [(0.0, "posterior"), (1.0, "forward")])
def test_a_learned_variance_runs_from_the_posteriors_to_the_forward_one(between: float, variance: str) -> None:
    learned, fixed = placed(model("learned"), between), model(variance)
    method = lang.ancestral()
    torch.testing.assert_close(learned.sample(5, seed=1, method=method), fixed.sample(5, seed=1, method=method))
    x = torch.randn(STEPS, 2, dtype=torch.float64)
    t, noise = torch.arange(1, STEPS + 1, dtype=torch.float64), torch.randn(STEPS, 2, dtype=torch.float64)
    terms = [_terms(found, x, t, noise) for found in (learned, fixed)]
    torch.testing.assert_close(terms[0][1:], terms[1][1:])
    # At t = 1 the fixed one is always the forward one, the learned one starts at the posterior's of the second step.
    assert bool(torch.isclose(terms[0][0], terms[1][0])) is (variance == "forward")


def _terms(found: CompiledModel, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    net = found.path.net
    with torch.no_grad():
        return chain.term(net, net.op, x, t, noise)  # type: ignore[arg-type]  # a Markov


def test_the_divergence_of_a_step_is_that_of_two_normal_laws() -> None:
    found = placed(model("learned"), 0.3)
    net, x = found.path.net, torch.randn(1, 2, dtype=torch.float64)
    noise, t = torch.randn(1, 2, dtype=torch.float64), torch.tensor([7.0], dtype=torch.float64)
    with torch.no_grad():
        here, before = net.at(t, x.dtype), net.at(t - 1, x.dtype)
        predicted = net(here.noised(x, noise), t)
    kept = here.alpha / before.alpha
    step = here.sigma**2 - kept**2 * before.sigma**2
    variance = before.sigma**2 * step / here.sigma**2
    means = [
        (kept * before.sigma**2 * (here.alpha * x + here.sigma * noise) + before.alpha * step * clean) / here.sigma**2
        for clean in (x, predicted.clean)
    ]
    learned = (0.3 * step.log() + 0.7 * variance.log()).exp()
    laws = [torch.distributions.Normal(m, v.sqrt()) for m, v in zip(means, (variance, learned), strict=True)]
    expected = torch.distributions.kl_divergence(*laws).sum(1)
    torch.testing.assert_close(_terms(found, x, t, noise), expected)


def test_the_bound_may_train_the_variance_alone() -> None:
    found = model("learned", "dsm + 0.1 * vlb(trains = variance)")
    x = torch.randn(64, 2, dtype=torch.float64)
    gradients = {}
    for term in ("dsm", "vlb"):
        found.zero_grad()
        found.loss(x, seed=0).terms[term].backward()
        gradients[term] = dict(found.named_parameters())["M/x->z/path/net/1/bias"].grad
    assert not gradients["dsm"][2:].any() and gradients["dsm"][:2].all()
    assert not gradients["vlb"][:2].any() and gradients["vlb"][2:].all()


# ---- whole numbers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 17, 256])
def test_the_cells_of_a_normal_law_hold_all_of_it(count: int) -> None:
    support = integers(3, count + 2)
    x = (2 * torch.arange(count, dtype=torch.float64) + 1) / count - 1
    for mean, deviation in ((0.1, 0.02), (-0.97, 0.3), (0.4, 5.0), (1.2, 0.1)):
        masses = chain.cell(x, torch.full_like(x, mean), torch.full_like(x, deviation), support)
        assert float(torch.logsumexp(masses, 0)) == pytest.approx(0, abs=1e-12)
        edges = x[:-1].numpy() + 1 / count
        middle = stats.norm.cdf(edges[1:], mean, deviation) - stats.norm.cdf(edges[:-1], mean, deviation)
        torch.testing.assert_close(masses[1:-1].exp(), torch.from_numpy(middle), rtol=1e-9, atol=1e-14)


def test_far_cells_stay_finite_in_single_precision() -> None:
    x = ((2 * torch.arange(256.0) + 1) / 256 - 1).requires_grad_()
    for mean, deviation in ((0.0, 1e-3), (-1.0, 1e-2), (0.3, 100.0)):
        mass = chain.cell(x, torch.tensor(mean), torch.tensor(deviation), integers(0, 255))
        (slope,) = torch.autograd.grad(mass.sum(), x)
        assert bool(mass.isfinite().all()) and bool(slope.isfinite().all()) and bool((mass <= 0).all())


MASSES = torch.tensor([0.5, 0.1, 0.0, 0.15, 0.25], dtype=torch.float64)


class ExactMasses:
    """The arrow with the mean of a law of whole numbers given x_t in place of its net."""

    def __init__(self, inner: Denoiser) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def __call__(self, x: Tensor, t: Tensor, here: At) -> Predicted:
        places = self.inner.data(torch.arange(5, dtype=x.dtype).unsqueeze(1)).squeeze(1)
        logs = MASSES.log() - (x - here.alpha * places) ** 2 / (2 * here.sigma**2)
        clean = (torch.softmax(logs, 1) * places).sum(1, keepdim=True)
        return Predicted(here, (x - here.alpha * clean) / here.sigma, clean)


def test_the_bound_of_whole_numbers_lies_below_their_mass(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the exact reverse mean, and near it as far as steps of this size can be."""
    monkeypatch.setattr(chain, "Denoiser", lambda *values: ExactMasses(Denoiser(*values)))
    found = model("posterior", "vlb", "integer(0..4)[1]")
    x = torch.arange(5.0).unsqueeze(1).repeat_interleave(4000, 0)
    with torch.no_grad():
        bound = found.log_prob(x, seed=0).reshape(5, -1).mean(1)
    assert found.density == "lower bound" and float(bound.exp().sum()) < 1
    there = MASSES > 0
    gap = (MASSES[there].log() - bound[there]) * MASSES[there]
    assert 0 < float(gap.sum()) < 0.5


def test_samples_of_whole_numbers_are_whole_numbers_of_the_range() -> None:
    found = model("posterior", "vlb", "integer(2..9)[3]")
    for method in (lang.ancestral(), lang.ddim(5)):
        samples = found.sample(50, seed=0, method=method)
        assert samples.shape == (50, 3) and bool((samples == samples.round()).all())
        assert float(samples.min()) >= 2 and float(samples.max()) <= 9
    values, mask = torch.tensor([4.0, 0.0, 0.0]), torch.tensor([True, False, False])
    kept = found.sample(8, seed=0, method=lang.ddim(5), known={"x": (values, mask)})
    assert bool((kept[:, 0] == 4).all())
    assert found.score(torch.zeros(2, 3), 4.0).shape == (2, 3)


@pytest.mark.slow
def test_the_loss_of_a_chain_compiles_as_one_graph() -> None:
    found = model("learned", "dsm + 0.1 * vlb(trains = variance)", "integer(2..9)[3]")
    x = torch.randint(2, 10, (16, 3)).double()
    expected = found.loss(x, seed=0).total
    torch.testing.assert_close(found.compiled(backend="aot_eager").loss(x, seed=0).total, expected)


def test_every_whole_number_comes_back_from_its_cell() -> None:
    net = model("posterior", "vlb", "integer(2..9)[3]").path.net
    x = torch.arange(2.0, 10.0, dtype=torch.float64).unsqueeze(1).expand(8, 3)
    torch.testing.assert_close(net.values(net.data(x)), x)
    assert float(net.values(torch.tensor([[-7.0, 0.0, 7.0]]))[0, 2]) == 9


def test_the_bound_at_the_first_step_is_the_law_of_the_data() -> None:
    """t = 1, real data: -log N(x_0; x̂_0, σ_1²)."""
    found = model("posterior")
    net, x = found.path.net, torch.randn(1, 2, dtype=torch.float64)
    noise, t = torch.randn(1, 2, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    with torch.no_grad():
        clean = net(net.at(t, x.dtype).noised(x, noise), t).clean
    sigma = math.sqrt(0.02 + 0.5 / STEPS)
    expected = -torch.distributions.Normal(clean, sigma).log_prob(x).sum(1)
    torch.testing.assert_close(_terms(found, x, t, noise), expected)


# ---- the end, and steps that are learned ----------------------------------------------------------------------------


def test_the_bound_ends_with_the_divergence_from_the_declared_prior() -> None:
    text = (
        "dgm 1\nmodel M {\n observe x : real[2]\n latent z : real[2] ~ normal([0.5, -1], [2, 3])\n"
        " markov x -> z over t in 1..2 { step(x, t) ~ normal(0.8 * x + 0.1, 0.5); learn clean(x, t) = mlp(4) }\n"
        " loss = vlb\n}\n"
    )
    found = dgmspec.compile(dgmspec.parse(text), seed=0, dtype=torch.float64)
    x, net = torch.tensor([[0.3, -0.7]], dtype=torch.float64), found.path.net
    last = torch.distributions.Normal(0.64 * x + 0.18, math.sqrt(0.25 + 0.64 * 0.25))
    prior = torch.distributions.Normal(torch.tensor([0.5, -1.0]).double(), torch.tensor([2.0, 3.0]).double())
    expected = torch.distributions.kl_divergence(last, prior)
    torch.testing.assert_close(_end(net, net.op, x), expected)  # type: ignore[arg-type]  # a Markov


LEARNED = """dgm 1
model M {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    learn top : unit = 0.5
    fn β(t) = 0.01 + 0.9 * top * t / 30
    markov x -> z over t in 1..30 {
        learn shift = 0.02
        step(x, t) ~ normal(sqrt(1 - β(t)) * x + shift * t, sqrt(β(t)))
        learn clean(x, t) = mlp(8)
    }
    loss = vlb
}
"""


def test_a_learned_schedule_starts_as_the_written_one() -> None:
    """Its curves are the recursion's, with gradients to the model's number and to that of the braces."""
    found = dgmspec.compile(dgmspec.parse(LEARNED), seed=0, dtype=torch.float64)
    net, t = found.path.net, torch.arange(1, 31, dtype=torch.float64)
    here, curve = net.at(t, torch.float64), net.path.curves[0]
    for values, truth in ((here.alpha, curve.alpha), (here.mean, curve.mean), (here.sigma, curve.sigma)):
        expected = torch.tensor([truth(float(at)) for at in t], dtype=torch.float64)
        torch.testing.assert_close(values.squeeze(1).detach(), expected, rtol=1e-12, atol=1e-12)
    assert {"M/top", "M/x->z/path/shift"} <= dict(found.named_parameters()).keys()


def test_the_bound_trains_a_schedule() -> None:
    """The gradient is that of differences, and training lowers the bound by the schedule alone."""
    found = dgmspec.compile(dgmspec.parse(LEARNED), seed=0, dtype=torch.float64)
    x, top = torch.randn(256, 2, dtype=torch.float64), dict(found.named_parameters())["M/top"]
    before = found.loss(x, seed=0).total
    before.backward()
    assert top.grad is not None
    slope, step = float(top.grad), 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            top += sign * step
            values.append(float(found.loss(x, seed=0).total))
            top -= sign * step
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=1e-5)
    optimizer = torch.optim.Adam([p for n, p in found.named_parameters() if "net" not in n], lr=0.05)
    for _ in range(40):
        optimizer.zero_grad()
        found.loss(x, seed=0).total.backward()
        optimizer.step()
    assert float(found.loss(x, seed=0).total.detach()) < float(before.detach()) - 0.1
    assert found.log_prob(x, seed=0).isfinite().all() and found.sample(3, seed=0).shape == (3, 2)


def test_a_step_that_is_affine_at_its_start_alone_is_refused() -> None:
    text = LEARNED.replace("shift * t, sqrt", "shift * x^2, sqrt").replace("learn shift = 0.02", "learn shift = 0")
    found = dgmspec.diagnose(text).diagnostics
    assert [d.code for d in found] == ["DGM647"]
