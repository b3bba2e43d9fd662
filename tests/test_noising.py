"""`sde`, `markov` and `perturb` as arrows: predictions, losses and samplers against an exact Gaussian mixture."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import dgmspec
from dgmspec import lang
from dgmspec.core.steps import Direction
from dgmspec.modules.asked import asked_sampler
from dgmspec.modules.compiled import CompiledModel, UnavailableError
from dgmspec.modules.journeys import Noise, denoiser_of, journey, noising_step, times_of
from dgmspec.modules.paths import chain, flow
from dgmspec.modules.paths.coefficients import At
from dgmspec.modules.paths.denoiser import Denoiser, Predicted
from dgmspec.modules.paths.descent import Journey
from dgmspec.runtime.verify import verify

BETA = "fn β(t) = 0.1 + 19.9 * t\n"
VP = "sde x -> z over t in 0..1 { drift(x, t) = -β(t) / 2 * x; diffusion(t) = sqrt(β(t)); learn %s(x, t) = mlp(8)%s }"
VE = (
    "sde x -> z over t in 0..1 { drift(x, t) = 0 * x; diffusion(t) = 0.01 * 2000^t * sqrt(2 * log(2000)); "
    "init_noise = 0.01; learn %s(x, t) = mlp(8)%s }"
)
FLOW = "perturb x -> z over t in 0..1 { kernel(x, t) ~ normal((1 - t) * x, t); learn %s(x, t) = mlp(8)%s }"
DDPM = (
    "markov x -> z over t in 1..200 { step(x, t) ~ normal(sqrt(1 - β(t / 200) / 200) * x, sqrt(β(t / 200) / 200)); "
    "learn %s(x, t) = mlp(8)%s }"
)
ROOT = (
    "perturb x -> z over t in 0..1 { kernel(x, t) ~ normal(sqrt(sigmoid(7 - 13 * t^0.55)) * x, "
    "sqrt(sigmoid(13 * t^0.55 - 7))); learn %s(x, t) = mlp(8)%s }"
)
LADDER = "perturb x over σ in geometric(20, 0.01, 12) { kernel(x, σ) ~ normal(x, σ); learn %s(x, σ) = mlp(8)%s }"
ARROWS = {"vp": VP, "ve": VE, "flow": FLOW, "root": ROOT, "ddpm": DDPM, "ladder": LADDER}


@cache
def model(arrow: str, learn: str = "noise", settings: str = "", loss: str = "dsm", size: int = 1) -> CompiledModel:
    """A small model of one kind of arrow, in float64."""
    scale = "20" if arrow in ("ve", "ladder") else "1"
    text = (
        f"dgm 1\n{BETA if arrow in ('vp', 'ddpm') else ''}model M {{\n observe x : real[{size}]\n"
        + ("" if arrow == "ladder" else f" latent z : real[{size}] ~ normal(0, {scale})\n")
        + f" {ARROWS[arrow] % (learn, '; ' + settings if settings else '')}\n"
        + (f" loss = {loss}\n" if loss else "")
        + "}\n"
    )
    return dgmspec.compile(dgmspec.parse(text), seed=0, dtype=torch.float64)


def net_of(found: CompiledModel) -> Denoiser:
    """The arrow of a model."""
    node = noising_step(found.graph)
    assert node is not None
    return denoiser_of(node, found.graph, found.values())


# ---- an exact mixture -----------------------------------------------------------------------------------------------

WEIGHTS, PLACES, WIDTHS = (0.3, 0.7), (-1.5, 0.8), (0.25, 0.4)


@dataclass(frozen=True)
class Exact:
    """The arrow of a model with the exact score of a mixture of two normals in place of its net."""

    inner: Denoiser

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __call__(self, x: Tensor, t: Tensor, here: At | None = None) -> Predicted:
        here = self.inner.at(t, x.dtype) if here is None else here
        logs, means = [], []
        for weight, place, width in zip(WEIGHTS, PLACES, WIDTHS, strict=True):
            centre, variance = here.alpha * place + here.mean, here.alpha**2 * width**2 + here.sigma**2
            logs.append(math.log(weight) - 0.5 * ((x - centre) ** 2 / variance + variance.log()))
            means.append(place + here.alpha * width**2 / variance * (x - centre))
        clean = (torch.softmax(torch.stack(logs), 0) * torch.stack(means)).sum(0)
        return Predicted(here, (x - here.mean - here.alpha * clean) / here.sigma, clean)


def mixture_cdf(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The distribution function of the mixture."""
    parts = zip(WEIGHTS, PLACES, WIDTHS, strict=True)
    return np.asarray(sum(w * stats.norm.cdf(x, p, s) for w, p, s in parts))


def drawn(arrow: str, method: Any, count: int = 4000, settings: str = "") -> Tensor:
    """Samples with the exact score."""
    net, op = Exact(net_of(model(arrow, "clean", settings))), asked_sampler(method)
    like = torch.zeros(0, dtype=torch.float64)
    noise = Noise(0, "test", 0, count, like, (1,))
    here = net.at(torch.tensor([net.path.high], dtype=torch.float64), torch.float64)
    return journey(op, net, noise, here.mean + here.sigma * noise())  # type: ignore[arg-type]


SAMPLERS = {
    "reverse_sde": lang.reverse_sde(steps=400),
    "heun": lang.reverse_sde(200, solver=lang.sym("heun"), spacing=lang.sym("quadratic")),
    "exponential": lang.reverse_sde(200, solver=lang.sym("exponential"), spacing=lang.sym("log_snr")),
    "corrected": lang.reverse_sde(300, corrector=1, snr=0.1),
    "pf_heun": lang.pf_ode(steps=60),
    "pf_euler": lang.pf_ode(300, solver=lang.sym("euler")),
    "dpm_solver": lang.pf_ode(30, solver=lang.sym("dpm_solver")),
    "deis": lang.pf_ode(30, solver=lang.sym("deis")),
    "ancestral": lang.ancestral(steps=300, spacing=lang.sym("log_snr")),
    "ddim": lang.ddim(100, spacing=lang.sym("log_snr")),
}


@pytest.mark.parametrize("arrow", ["vp", "ve", "flow"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_with_the_exact_score_recover_the_mixture(arrow: str, name: str) -> None:
    if (arrow, name) in {("ve", "reverse_sde"), ("ve", "corrected")}:
        pytest.skip("equal steps in t are too long where σ grows 2000-fold")
    samples = drawn(arrow, SAMPLERS[name]).squeeze(1).numpy()
    assert stats.kstest(samples, mixture_cdf).pvalue > 1e-3


@pytest.mark.parametrize("method", [lang.ancestral(), lang.ddim(steps=200), lang.ddim(steps=200, eta=0.5)])
def test_the_chain_with_the_exact_score_recovers_the_mixture(method: Any) -> None:
    assert stats.kstest(drawn("ddpm", method).squeeze(1).numpy(), mixture_cdf).pvalue > 1e-3


@pytest.mark.parametrize("solver", ["pf_heun", "pf_euler", "reverse_heun"])
def test_noise_that_rises_like_a_root_is_followed_to_its_beginning(solver: str) -> None:
    """Where dσ/dt is infinite: the last step reads the time before alone."""
    method = SAMPLERS.get(solver) or lang.reverse_sde(300, solver=lang.sym("heun"))
    samples = drawn("root", method, 4000, "t_eps = 0").squeeze(1).numpy()
    assert stats.kstest(samples, mixture_cdf).pvalue > 1e-3


def test_annealed_langevin_with_the_exact_score_recovers_the_mixture() -> None:
    samples = drawn("ladder", lang.annealed_langevin(steps=40, step_size=2e-5), 2000).squeeze(1).numpy()
    assert stats.kstest(samples, mixture_cdf).pvalue > 1e-3


def test_ddim_with_all_noise_is_ancestral() -> None:
    torch.testing.assert_close(
        drawn("vp", lang.ddim(50, eta=1.0), 64), drawn("vp", lang.ancestral(steps=50), 64), rtol=0, atol=0
    )


def test_ddim_without_noise_is_euler_on_the_rescaled_flow() -> None:
    """In X = (x - m)/α and ρ = σ/α the probability flow is dX/dρ = ε."""
    net = Exact(net_of(model("vp")))
    op = asked_sampler(lang.ddim(25))
    times = times_of(op, net)  # type: ignore[arg-type]
    noise = Noise(0, "test", 0, 16, torch.zeros(0, dtype=torch.float64), (1,))
    x = noise()
    road = Journey(net, times, noise, x)  # type: ignore[arg-type]
    scaled = (x - road.at(0).mean) / road.at(0).alpha
    for i in range(len(times) - 1):
        here, there = road.at(i), road.at(i + 1)
        found = road.predict(here.alpha * scaled + here.mean, i)
        scaled = scaled + (there.sigma / there.alpha - here.sigma / here.alpha) * found.noise
    last = road.at(len(times) - 1)
    expected = road.predict(last.alpha * scaled + last.mean, len(times) - 1).clean
    torch.testing.assert_close(journey(op, net, noise, x), expected, rtol=1e-9, atol=1e-9)  # type: ignore[arg-type]


# ---- predictions ----------------------------------------------------------------------------------------------------

LEARNED = [
    ("vp", "noise"), ("vp", "clean"), ("vp", "score"), ("vp", "velocity"), ("vp", "v"), ("ve", "noise"),
    ("ve", "velocity"), ("flow", "clean"), ("flow", "velocity"), ("ddpm", "noise"), ("ddpm", "v"), ("ladder", "score"),
]  # fmt: skip


@pytest.mark.parametrize(("arrow", "learn"), LEARNED)
def test_every_prediction_gives_noise_and_clean_data(arrow: str, learn: str) -> None:
    """From the value that a perfect net would give, the noise and the data come back exactly."""
    net = net_of(model(arrow, learn))
    times = net.path.levels[3::40] if net.path.discrete else (0.02, 0.3, 0.7, 0.99)
    t = torch.tensor(times, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(len(t), 1, generator=generator, dtype=torch.float64) for _ in range(2))
    here = net.at(t, torch.float64)
    x = here.alpha * clean + here.mean + here.sigma * noise
    raw = {"noise": noise, "clean": clean, "score": -noise / here.sigma}.get(learn)
    if learn == "v":
        raw = here.alpha * noise - here.sigma * clean
    elif learn == "velocity":
        change = net.slopes(t, here)
        raw = change.alpha * clean + change.mean + change.sigma * noise
    assert raw is not None
    found = net._read(raw, x - here.mean, t, here)
    torch.testing.assert_close(found.noise, noise, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found.clean, clean, rtol=1e-8, atol=1e-8)


def test_the_noise_of_a_chain_is_the_score_of_a_ladder() -> None:
    """DDPM's ε̂(x_t, t) and NCSN's s(x̃, σ̃) at x̃ = x_t/α, σ̃ = σ/α: s = -ε̂/σ̃, both ways."""
    chain_, ladder = Exact(net_of(model("ddpm", "clean"))), Exact(net_of(model("ladder", "score")))
    t = torch.tensor([3.0, 40.0, 90.0], dtype=torch.float64)
    x = torch.tensor([[-1.2], [0.4], [2.0]], dtype=torch.float64)
    found = chain_(x, t)
    level = (found.at.sigma / found.at.alpha).squeeze(1)
    scaled = ladder(x / found.at.alpha, level)
    torch.testing.assert_close(scaled.at.sigma.squeeze(1), level)
    torch.testing.assert_close(scaled.score, -found.noise / level.unsqueeze(1), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(scaled.noise, found.noise, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(scaled.clean, found.clean, rtol=1e-9, atol=1e-9)


def test_the_velocity_is_the_drift_less_half_the_score() -> None:
    """α' x_0 + m' + σ' ε = f - g² s / 2."""
    net = net_of(model("vp"))
    t, x = torch.tensor([0.1, 0.6], dtype=torch.float64), torch.tensor([[0.3], [-1.1]], dtype=torch.float64)
    found, flow = Exact(net)(x, t), net.rates(t, torch.float64)
    change = net.slopes(t, found.at)
    left = change.alpha * found.clean + change.mean + change.sigma * found.noise
    torch.testing.assert_close(left, flow.rate * x + flow.offset - flow.spread / 2 * found.score)


@pytest.mark.parametrize("arrow", ["vp", "ve", "flow", "ddpm"])
def test_coefficients_in_single_precision_are_right_for_the_time_given(arrow: str) -> None:
    """Relative error below 1e-6 down to t = 1e-6, against float64 at the same float32 times."""
    net = net_of(model(arrow, "clean"))
    times = net.path.levels or (1e-6, 1e-5, 1e-3, 0.1, 0.5, 0.99)
    t = torch.tensor(times, dtype=torch.float32)
    single, curve = net.at(t, torch.float32), net.path.curves[0]
    for i, at in enumerate(t.double().tolist()):
        assert float(single.alpha[i]) == pytest.approx(curve.alpha(at), rel=1e-6)
        assert float(single.sigma[i]) == pytest.approx(curve.sigma(at), rel=1e-6)


def test_preconditioning_keeps_the_variance_of_inputs_and_targets() -> None:
    """EDM: c_skip, c_out and c_in from α and σ; with F = 0 the prediction is c_skip y."""
    found = model("ve", "clean", "precondition = edm(data_std = 0.5)")
    x, t = torch.tensor([[1.3]], dtype=torch.float64), torch.tensor([0.4], dtype=torch.float64)
    net = net_of(found)
    sigma = float(net.at(t, torch.float64).sigma)
    assert float(net(x, t).clean.detach()) == pytest.approx(1.3 * 0.25 / (0.25 + sigma**2))


@pytest.mark.parametrize("end", [50.0, 2e5])
@pytest.mark.parametrize("name", ["pf_euler", "heun", "dpm_solver", "ddim"])
def test_samples_start_from_as_much_noise_as_there_is_where_the_grid_begins(end: float, name: str) -> None:
    """Of N(0, 0.5²) a silent preconditioned net is the exact one, and the flow is a scale. Wherever a grid begins,
    even where the data are a thousandth of the noise, what comes back has the deviation of the data."""
    arrow = "sde x -> z over t in 0..%g { drift(x, t) = 0 * x; diffusion(t) = sqrt(2 * t); t_eps = 2e-3; %s }"
    learn = "learn clean(x, t) = mlp(); precondition = edm(data_std = 0.5)"
    found = dgmspec.compile(
        dgmspec.parse(
            f"dgm 1\nmodel M {{\nobserve x : real\nlatent z : real ~ normal(0, {end:g})\n{arrow % (end, learn)}\n}}\n"
        ),
        dtype=torch.float64,
    )
    spaced = lang.sym("log_snr")
    methods = {
        "pf_euler": lang.pf_ode(200, solver=lang.sym("euler"), spacing=spaced),
        "heun": lang.reverse_sde(200, solver=lang.sym("heun"), spacing=spaced),
        "dpm_solver": lang.pf_ode(60, solver=lang.sym("dpm_solver")),
        "ddim": lang.ddim(200, spacing=spaced),
    }
    assert float(found.sample(4000, seed=0, method=methods[name]).std()) == pytest.approx(0.5, rel=0.05)


# ---- losses ---------------------------------------------------------------------------------------------------------


def test_dsm_of_a_silent_net_is_half_the_dimension() -> None:
    """ε̂ = 0: ½ E‖ε‖² = d/2 for the simple weight, and ½ d ∫ g²/σ² for the likelihood's."""
    x = torch.randn(40_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(model("vp").loss(x, seed=1).total.detach()) == pytest.approx(0.5, rel=0.03)
    for times in ("stratified", "importance"):
        found = model("vp", "noise", f"t_eps = 0.01; times = {times}", "dsm(weight = likelihood)")
        path = net_of(found).path
        expected = 0.5 * (path.log_snr(0.01) - path.log_snr(1.0)) / 0.99
        assert float(found.loss(x, seed=1).total.detach()) == pytest.approx(expected, rel=0.03)


def test_importance_sampling_lowers_the_spread_of_the_loss() -> None:
    x = torch.randn(256, 1, dtype=torch.float64)
    spread = {}
    for times in ("uniform", "stratified", "importance"):
        found = model("vp", "noise", f"times = {times}", "dsm(weight = likelihood)")
        spread[times] = torch.stack([found.loss(x, seed=s).total.detach() for s in range(60)]).std()
    assert spread["importance"] < 0.3 * spread["stratified"] < spread["uniform"]


@pytest.mark.parametrize(
    ("weight", "expected"),
    [("sigma^2", 1.0), ("sigma^2 / snr", math.nan), ("t * sigma^2", 0.5), ("min_snr", math.nan), ("snr", math.nan)],
)
def test_weights_multiply_the_squared_score_error(weight: str, expected: float) -> None:
    x = torch.zeros(20_000, 1, dtype=torch.float64)
    found = model("vp", "noise", "t_eps = 0.2; times = stratified", f"dsm(weight = {weight})")
    total = float(found.loss(x, seed=0).total.detach())
    path = net_of(model("vp")).path
    if math.isnan(expected):
        law = {"sigma^2 / snr": lambda s: 1 / s, "min_snr": lambda s: min(1, 5 / s), "snr": lambda s: max(1, 1 / s)}
        grid = np.linspace(0.2, 1, 2001)
        expected = float(np.mean([law[weight](math.exp(path.log_snr(t))) for t in grid]))
    elif weight.startswith("t"):
        expected = 0.6
    assert total == pytest.approx(0.5 * expected, rel=0.05)


def test_the_bound_of_a_chain_is_the_sum_of_its_terms() -> None:
    """For a point and the exact reverse net, the bound of normal data is their cross entropy, up to O(1/T)."""
    found = model("ddpm", "clean", "variance = posterior", "vlb")
    x = torch.randn(60_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    net = net_of(found)
    total = float(found.loss(x, seed=0).total.detach())
    # With F = 0 the predicted data are 0: E‖x - 0‖² = 1 at every step.
    terms = []
    for t in net.path.levels:
        here = net.path.curves[0]
        if t == 1:
            terms.append(0.5 * (math.log(2 * math.pi) + here.log_variance(1) + math.exp(-here.log_variance(1))))
        else:
            terms.append(0.5 * (math.exp(here.log_snr(t - 1)) - math.exp(here.log_snr(t))))
    end = 0.5 * math.exp(net.path.log_snr(net.path.high))
    assert total == pytest.approx(sum(terms) + end, rel=0.05)


@pytest.mark.parametrize("loss", ["ism", "ssm(projections = 2)", "ssm(variance_reduced = false)"])
@pytest.mark.parametrize("arrow", ["vp", "ladder"])
def test_implicit_score_matching_differs_from_dsm_by_a_number(arrow: str, loss: str) -> None:
    """ISM and SSM less DSM is the same for every net: -½ E σ² ‖∇log q(x_t | x_0)‖² = -d/2."""
    x = torch.randn(60_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    settings = "" if arrow == "ladder" else "t_eps = 0.1; times = stratified"
    values = []
    for text in (loss, "dsm"):
        found = copy.deepcopy(model(arrow, "noise", settings, text, 2))
        with torch.no_grad():
            for i, parameter in enumerate(found.parameters()):
                generator = torch.Generator().manual_seed(i)
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        values.append(float(found.loss(x, seed=1).total.detach()))
    assert values[0] - values[1] == pytest.approx(-1.0, abs=0.04)


def test_the_density_of_a_chain_is_its_bound() -> None:
    """log_prob averages to the negative of `vlb`, up to the prior's mismatch, and the exact net comes near log p."""
    found = model("ddpm", "clean", "variance = posterior", "vlb")
    x = torch.randn(4_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        bound, loss = found.log_prob(x, seed=0).mean(), found.loss(x.repeat(20, 1), seed=1).total
    assert found.density == "lower bound" and float(bound) == pytest.approx(-float(loss), rel=0.02)


def test_the_bound_with_the_exact_net_nears_the_density(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "Denoiser", lambda *values: Exact(Denoiser(*values)))
    found = model("ddpm", "clean", "variance = posterior; times = uniform", "")
    x = torch.linspace(-2, 2, 5, dtype=torch.float64).unsqueeze(1).repeat_interleave(400, 0)
    with torch.no_grad():
        bound = found.log_prob(x, seed=0).reshape(5, -1).mean(1)
    parts = zip(WEIGHTS, PLACES, WIDTHS, strict=True)
    exact = np.log(sum(w * stats.norm.pdf(np.linspace(-2, 2, 5), m, s) for w, m, s in parts))
    gap = exact - bound.numpy()
    # The first steps, which multiply σ² by 2.5, 1.8, …, lose Σ (r - 1 - log r)/2 = 0.5 nats whatever the net.
    assert (gap > 0.4).all() and (gap < 1.2).all()


def test_losses_pass_no_gradient_to_what_comes_before() -> None:
    text = (
        "dgm 1\n" + BETA + "model M {\n observe x : real[2]\n latent u : real[2]\n latent z : real[2] ~ normal(0, 1)\n"
    )
    text += " flow x -> u { linear(plu) }\n " + VP.replace("x -> z", "u -> z") % ("noise", "") + "\n loss = dsm\n}\n"
    found = dgmspec.compile(dgmspec.parse(text), seed=0)
    found.loss(torch.randn(32, 2), seed=0).total.backward()
    grads = {name: p.grad for name, p in found.named_parameters()}
    assert all(g is None for name, g in grads.items() if "x->u" in name)
    assert any(g is not None and bool(g.abs().sum() > 0) for name, g in grads.items() if "u->z" in name)
    assert found.sample(8, seed=0).shape == (8, 2)


@pytest.mark.slow
def test_the_likelihood_compiles_as_one_graph() -> None:
    found = model("vp", "noise", "likelihood = pf_ode(solver = rk4(steps = 2))")
    x = torch.randn(4, 1, dtype=torch.float64)
    torch.testing.assert_close(found.compiled(backend="aot_eager").log_prob(x), found.log_prob(x))


def test_the_loss_compiles_as_one_graph() -> None:
    found = model("vp", "noise", "times = importance", "dsm(weight = likelihood)")
    x = torch.randn(16, 1, dtype=torch.float64)
    expected = found.loss(x, seed=0).total
    torch.testing.assert_close(found.compiled(backend="aot_eager").loss(x, seed=0).total, expected)


@pytest.mark.slow
@pytest.mark.parametrize("arrow", ["vp", "flow", "ddpm"])
def test_models_are_verified(arrow: str) -> None:
    found = verify(model(arrow, "clean", "" if arrow == "ddpm" else "likelihood = pf_ode(solver = rk4(steps = 20))"))
    assert found.holds, found.text()


# ---- models ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrow", ARROWS)
def test_samples_depend_on_seed_and_index_alone(arrow: str) -> None:
    found = model(arrow, "clean")
    method = lang.ancestral(steps=10)
    whole = found.sample(300, seed=3, method=method)
    parts = [found.sample(n, seed=3, start=start, method=method) for start, n in ((0, 100), (100, 7), (107, 193))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)


def test_known_coordinates_stay() -> None:
    found = model("vp", size=2)
    mask = torch.tensor([True, False])
    values = torch.tensor([0.7, 0.0], dtype=torch.float64)
    samples = found.sample(16, seed=0, method=lang.ddim(10), known={"x": (values, mask)})
    assert bool((samples[:, 0] == 0.7).all()) and float(samples[:, 1].std()) > 0


def test_the_path_of_a_model() -> None:
    path = model("vp").path
    t = torch.tensor([1e-6, 0.5], dtype=torch.float64)
    grown = 0.1 * t + 9.95 * t**2
    torch.testing.assert_close(path.alpha(t), torch.exp(-grown / 2))
    torch.testing.assert_close(path.sigma(t) ** 2, -torch.expm1(-grown))
    torch.testing.assert_close(path.log_snr(0.5), -torch.log(torch.expm1(grown[1])))
    assert path.times == (pytest.approx(1e-5), 1.0)


def test_a_context_reaches_the_net() -> None:
    text = (
        "dgm 1\n"
        + BETA
        + "model M {\n observe x : real[2]\n given c : category(3)\n latent z : real[2] ~ normal(0, 1)\n"
    )
    text += VP.replace("x -> z", "x -> z | c") % ("noise", "") + "\n loss = dsm\n}\n"
    found = dgmspec.compile(dgmspec.parse(text), seed=0)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(0.3)
    x = torch.zeros(2, 2)
    scores = [found.score(x, 0.5, given={"c": torch.tensor([label])}) for label in range(3)]
    assert not torch.equal(scores[0], scores[1])
    assert found.sample(4, given={"c": torch.tensor([0, 1])}, seed=0, method=lang.ddim(3)).shape == (4, 2, 2)
    assert found.loss({"x": x, "c": torch.tensor([0, 2])}, seed=0).total.isfinite()


def test_a_sampler_that_does_not_run_along_the_arrow_says_so() -> None:
    with pytest.raises(UnavailableError, match="reverse_sde"):
        model("ddpm").sample(2, method=lang.reverse_sde(steps=2))


# ---- the probability flow -------------------------------------------------------------------------------------------


def _mixture_log_prob(found: CompiledModel, x: Tensor, t: float) -> Tensor:
    """log p_t of the mixture."""
    here = net_of(found).at(torch.tensor([t], dtype=torch.float64), torch.float64)
    parts = zip(WEIGHTS, PLACES, WIDTHS, strict=True)
    logs = [
        math.log(w)
        + torch.distributions.Normal(here.alpha * m, (here.alpha**2 * s**2 + here.sigma**2).sqrt()).log_prob(x)
        for w, m, s in parts
    ]
    return torch.logsumexp(torch.stack(logs), 0).squeeze(1)


@pytest.mark.parametrize(
    ("arrow", "learn"), [("vp", "noise"), ("ve", "clean"), ("flow", "clean"), ("vp", "v"), ("root", "noise")]
)
def test_the_flow_with_the_exact_score_gives_the_mixtures_density(
    arrow: str, learn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To 2e-6 nats at tolerance 1e-8, with the exact law of x_T in the place of the prior that it nearly is."""
    monkeypatch.setattr(flow, "Denoiser", lambda *values: Exact(Denoiser(*values)))
    t_eps = 0 if arrow == "root" else 1e-4
    how = f"t_eps = {t_eps}; likelihood = pf_ode(solver = dopri8(rtol = 1e-8, atol = 1e-8))"
    found = model(arrow, learn, how)
    x = torch.linspace(-2.5, 2.2, 9, dtype=torch.float64).unsqueeze(1)
    op, path = net_of(found).op, net_of(found).path
    with torch.no_grad():
        end = _mixture_log_prob(found, found.encode(x), path.high)
        log_prob = end + found.ledger(x, direction="encode").total
    gap = (log_prob - _mixture_log_prob(found, x, op.start((1,)))).abs().max()
    assert float(gap) < 2e-6


def test_the_flow_is_a_bijection_with_the_jacobian_it_says() -> None:
    found = model("vp", "noise", "likelihood = pf_ode(solver = rk4(steps = 100))", size=2)
    with torch.no_grad():
        for i, parameter in enumerate(found.parameters()):
            parameter.add_(
                0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i), dtype=torch.float64)
            )
    x = torch.randn(3, 2, dtype=torch.float64)
    torch.testing.assert_close(found.decode(found.encode(x)), x, rtol=1e-4, atol=1e-4)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: found.encode(row[None])[0]))(x)
    logdet = found.ledger(x).steps[0].logdet
    torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, logdet, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("arrow", "solver"), [("vp", "rk4(steps = 4)"), ("flow", "dopri5"), ("ddpm", "")])
def test_a_number_is_a_vector_of_one(arrow: str, solver: str) -> None:
    """Densities, samples, scores and losses of `real` are those of `real[1]`."""
    settings = f"likelihood = pf_ode(solver = {solver})" if solver else "variance = forward"
    line = model(arrow, "clean", settings)
    number = dgmspec.compile(dgmspec.parse(line.bundle.text.replace("real[1]", "real")), dtype=torch.float64).eval()
    number.load_state_dict(line.state_dict())
    x, t = torch.linspace(-1, 2, 5, dtype=torch.float64), 3.0 if arrow == "ddpm" else 0.3
    with torch.no_grad():
        pairs = [(of.log_prob(at, seed=0), of.score(at, t).flatten()) for of, at in ((number, x), (line, x[:, None]))]
    for here, there in zip(*pairs, strict=True):
        torch.testing.assert_close(here, there)
    torch.testing.assert_close(number.sample(5, seed=0), line.sample(5, seed=0).squeeze(1))


def test_samples_of_the_models_own_direction_carry_their_density() -> None:
    found = model("vp")
    x, log_prob = found.sample_and_log_prob(16, seed=0)
    torch.testing.assert_close(found.sample(16, seed=0), x)
    torch.testing.assert_close(found.log_prob(x), log_prob, rtol=1e-3, atol=1e-3)
    assert found.density == "exact" and model("vp", "noise", "", "", 9).density == "estimate"


def test_discrete_data_have_no_score() -> None:
    model = dgmspec.compile(
        dgmspec.parse(
            "dgm 1\nmodel M { observe x : category(4)[2]; latent z : real[2, 4] ~ normal(0, 1); "
            "flow x -> z { argmax }; loss = nll }\n"
        )
    )
    with pytest.raises(UnavailableError, match="a mass has no gradient"):
        model.score(torch.zeros(3, 2))


def test_one_evaluation_is_said_in_the_singular() -> None:
    assert str(Direction("solver")) == "1 evaluation" and str(Direction("solver", 16)) == "16 evaluations"


def test_a_chain_is_not_said_to_be_invertible() -> None:
    found = dgmspec.diagnose(
        "dgm 1\nmodel M { observe x : real[2]; latent z : real[2] ~ normal(0, 1); "
        "markov x -> z over t in 1..50 { step(x, t) ~ normal(0.9 * x, 0.44); learn noise(x, t) = mlp(4) } }\n"
    )
    table = str(found.explain("M"))
    assert "variational bound" in table and "invertible" not in table
