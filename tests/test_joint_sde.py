"""An `sde` over several variables: critically-damped Langevin diffusion against the exact law of a mixture."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import MultivariateNormal

import dgmspec
from dgmspec import lang
from dgmspec.modules.asked import asked_sampler
from dgmspec.modules.compiled import CompiledModel, UnavailableError
from dgmspec.modules.journeys import Noise, denoiser_of, journey, noising_step
from dgmspec.modules.paths import joint
from dgmspec.modules.paths.denoiser import JointDenoiser

SDE = """
    sde [x, v] -> [xT, vT] over t in 0..1 {
        drift(x, v, t) = [16 * v, -4 * x - 16 * v]
        diffusion(t) = [0, sqrt(8)]
        learn %s(x, v, t) = mlp(8)
        t_eps = 1e-3
        %s
    }
"""
ENDS = """
    observe x : real[%(d)d]
    latent v : real[%(d)d]
    infer v ~ normal(0, 0.1)
    latent xT : real[%(d)d] ~ normal(0, 1)
    latent vT : real[%(d)d] ~ normal(0, 0.5)
"""


BOTH = ENDS.replace("latent v :", "observe v :").replace("    infer v ~ normal(0, 0.1)\n", "")
"""Velocities that are data as well, so that the state has a density of its own."""


@cache
def model(
    size: int = 2, learn: str = "noise", more: str = "", loss: str = "dsm", ends: str = ENDS, double: bool = True
) -> CompiledModel:
    """A small model."""
    text = f"dgm 1\nmodel M {{{ends % {'d': size}}{SDE % (learn, more)}    loss = {loss}\n}}\n"
    return dgmspec.compile(dgmspec.parse(text), seed=0, dtype=torch.float64 if double else torch.float32)


def net_of(found: CompiledModel) -> JointDenoiser:
    node = noising_step(found.graph)
    assert node is not None
    net = denoiser_of(node, found.graph, found.values())
    assert isinstance(net, JointDenoiser)
    return net


# ---- an exact mixture -----------------------------------------------------------------------------------------------

WEIGHTS, PLACES, WIDTHS = (0.3, 0.7), (-1.5, 0.8), (0.25, 0.4)


class Exact(JointDenoiser):
    """The arrow with the exact noise of a mixture of two normals on the line in place of its net."""

    def components(self, t: Tensor) -> list[tuple[float, Tensor, Tensor]]:
        """Weight, mean and covariance of the state at times (batch,)."""
        here = self.at(t, torch.float64)
        found, known = [], here.signal.shape[2]
        for w, m, s in zip(WEIGHTS, PLACES, WIDTHS, strict=True):
            start = torch.tensor([[m], [0.0]], dtype=torch.float64)[:known]
            moved = here.signal * torch.tensor([s, 0.1], dtype=torch.float64)[:known]
            mean = (here.signal @ start + here.mean)[..., 0]
            found.append((w, mean, moved @ moved.mT + here.factor @ here.factor.mT))
        return found

    def log_prob(self, x: Tensor, t: Tensor) -> Tensor:
        """log p_t of the state, exactly."""
        logs = [math.log(w) + MultivariateNormal(mean, cov).log_prob(x) for w, mean, cov in self.components(t)]
        return torch.logsumexp(torch.stack(logs), 0)

    def planes(self, x: Tensor, clock: Tensor, shape: tuple[int, ...]) -> Tensor:
        t = self.path.low + (self.path.high - self.path.low) * clock.double()
        t = t[:1] if bool((t == t[0]).all()) else t
        logs, scores = [], []
        for w, mean, cov in self.components(t):
            gap = x - mean
            pulled = (torch.linalg.inv(cov) @ gap.unsqueeze(2)).squeeze(2)
            logs.append(math.log(w) - 0.5 * ((gap * pulled).sum(1) + torch.logdet(cov)))
            scores.append(-pulled)
        share = torch.softmax(torch.stack(logs), 0).unsqueeze(2)
        score = (share * torch.stack(scores)).sum(0)
        return (-self.at(t, torch.float64).factor[:, 1, 1, None] * score[:, 1:]).unsqueeze(0)


def exact(found: CompiledModel) -> Exact:
    net = net_of(found)
    return Exact(**{name: getattr(net, name) for name in net.__dataclass_fields__})


SAMPLERS = {
    "reverse_sde": lang.reverse_sde(300, spacing=lang.sym("quadratic")),
    "heun": lang.reverse_sde(150, solver=lang.sym("heun"), spacing=lang.sym("quadratic")),
    "pf_heun": lang.pf_ode(steps=60, spacing=lang.sym("quadratic")),
}


@pytest.mark.parametrize("name", [pytest.param("heun", marks=pytest.mark.slow), "reverse_sde", "pf_heun"])
def test_samplers_with_the_exact_score_recover_the_mixture(name: str) -> None:
    net, op = exact(model(1)), asked_sampler(SAMPLERS[name])
    like = torch.zeros(0, dtype=torch.float64)
    noise = Noise(0, "test", 0, 2000, like, (2,))
    first = noise()
    end = net.at(torch.tensor([1.0], dtype=torch.float64), torch.float64)
    found = journey(op, net, noise, end.noised(torch.zeros_like(first), first)).numpy()  # type: ignore[arg-type]
    parts = zip(WEIGHTS, PLACES, WIDTHS, strict=True)
    expected = list(parts)
    test = stats.kstest(found[:, 0], lambda x: sum(w * stats.norm.cdf(x, p, s) for w, p, s in expected))
    assert test.pvalue > 0.01, test


@pytest.mark.slow
def test_the_flow_with_the_exact_score_gives_the_joint_density(monkeypatch: pytest.MonkeyPatch) -> None:
    """To 2e-6 nats at tolerance 1e-8, with the exact law of the state at the end in the place of the prior."""
    monkeypatch.setattr(joint, "JointDenoiser", Exact)
    found = model(1, "noise", "likelihood = pf_ode(solver = dopri8(rtol = 1e-8, atol = 1e-8))", ends=BOTH)
    x = torch.linspace(-2.2, 1.8, 7, dtype=torch.float64).unsqueeze(1)
    state = torch.cat([x, 0.05 * x.flip(0)], 1)
    net = exact(found)
    with torch.no_grad():
        data = {"x": state[:, :1], "v": state[:, 1:]}
        end = net.log_prob(found.encode(data), torch.tensor([1.0], dtype=torch.float64))
        log_prob = end + found.ledger(data, direction="encode").total
    truth = net.log_prob(state, torch.tensor([net.op.start((2,))], dtype=torch.float64))
    assert found.density == "exact" and float((log_prob - truth).abs().max()) < 2e-6


def test_the_density_of_the_data_is_a_bound_by_the_entropy_of_the_velocities() -> None:
    """E_v [log p(x, v) - log q(v)], whose second part averages to D (1 + log 2π σ²) / 2."""
    found = model(2, "noise", "likelihood = pf_ode(solver = rk4(steps = 1))")
    x = torch.zeros(600, 2, dtype=torch.float64)
    with torch.no_grad():
        steps = found.ledger(x, seed=0).steps
    assert found.density == "lower bound"
    assert float(steps[0].logdet.mean()) == pytest.approx(1 + math.log(2 * math.pi * 0.01), abs=0.15)


@pytest.mark.parametrize("learn", ["noise", "score"])
def test_the_loss_of_a_silent_net_is_half_the_noised_dimension(learn: str) -> None:
    found = model(2, learn, "times = stratified")
    x = torch.randn(2000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert float(found.loss(x, seed=1).total.detach()) == pytest.approx(1.0, rel=0.05)


def test_the_likelihood_weight_is_the_squared_score_error_that_the_diffusion_sees() -> None:
    found = model(2, "noise", "times = stratified", "dsm(weight = likelihood)")
    net, generator = net_of(found), torch.Generator().manual_seed(0)
    t = 1e-3 + 0.999 * torch.rand(4000, dtype=torch.float64, generator=generator)
    expected = (8 * net.at(t, torch.float64).whitening.flatten() ** 2).mean()
    x = torch.randn(4000, 2, dtype=torch.float64, generator=generator)
    assert float(found.loss(x, seed=1).total.detach()) == pytest.approx(float(expected), rel=0.15)


def test_the_score_and_the_noise_tell_each_other() -> None:
    found = model(2, "score")
    net, x = net_of(found), torch.randn(5, 4, dtype=torch.float64)
    t = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    noise = net(x, t).noise
    here = net.at(t, torch.float64)
    score = here.score(noise)
    assert not score[:, :2].any()
    torch.testing.assert_close(-here.factor[:, 1, 1, None] * score[:, 2:], noise)
    with pytest.raises(UnavailableError, match="own"):
        found.score(x, 0.5)
    flow = found.path
    torch.testing.assert_close(flow.drift(x, 0.5)[:, :2], 16 * x[:, 2:])
    reverse = flow.drift(x, 0.5) - flow.reverse_drift(x, 0.5)
    torch.testing.assert_close(reverse / 2, flow.drift(x, 0.5) - flow.velocity(x, 0.5))
    with pytest.raises(UnavailableError, match="matrices"):
        flow.alpha(0.5)
    assert flow.matrices(0.5)[2].shape == (2, 2)


def test_a_preconditioned_net_that_is_silent_gives_the_noise_of_normal_data() -> None:
    """And its residual has the deviation that is said, at early and late times."""
    found = model(1, "noise", "precondition = edm(data_std = 0.7)")
    net = net_of(found)
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(20000, 2, dtype=torch.float64, generator=generator) for _ in range(2))
    for t in (1e-3, 0.2, 1.0):
        time = torch.full((1,), t, dtype=torch.float64)
        here = net.at(time, torch.float64)
        x = here.noised(0.7 * clean, noise)
        told = here.expected(x, 0.7)
        torch.testing.assert_close(told.white.T.cov(), torch.eye(2, dtype=torch.float64), atol=0.05, rtol=0)
        rest = noise[:, 1:] - net(x, time, here).noise.detach()
        assert float(rest.std()) == pytest.approx(float(told.deviation), rel=0.03)
        assert abs(float((rest * told.white).mean())) < 0.03 * float(told.deviation)
        assert float(told.log_snr) == pytest.approx(net.path.log_snr(t), rel=1e-9)


@pytest.mark.slow
def test_loss_and_likelihood_compile_as_one_graph() -> None:
    found = model(1, "noise", "likelihood = pf_ode(solver = rk4(steps = 2))", "dsm(weight = likelihood)")
    x, compiled = torch.randn(4, 1, dtype=torch.float64), found.compiled(backend="aot_eager")
    torch.testing.assert_close(compiled.loss(x, seed=0).total, found.loss(x, seed=0).total)
    torch.testing.assert_close(compiled.log_prob(x, seed=0), found.log_prob(x, seed=0))


def test_samples_depend_on_seed_and_index_alone() -> None:
    found = model(double=False)
    method = lang.reverse_sde(steps=3)
    whole = found.sample(6, seed=0, method=method)
    assert whole.shape == (6, 2)
    torch.testing.assert_close(found.sample(3, seed=0, start=3, method=method), whole[3:])


REFUSED = {
    "DGM641": ("sde [x, v] -> [xT, vT]", "sde [xT, vT] -> [x, v]"),
    "DGM647": ("16 * v,", "v * x,"),
    "DGM677": ("16 * v,", "k * v,"),
    "DGM672": ("[16 * v,", "[-x,"),
    "DGM674": ("infer v ~ normal(0, 0.1)", "infer v ~ laplace(0, 0.1)"),
    "DGM675": ("drift(x, v, t)", "drift(x, t)"),
    "DGM673": ("learn noise", "learn clean"),
    "DGM648": ("vT : real[2] ~ normal(0, 0.5)", "vT : real[2] ~ normal(0, 1)"),
}


@pytest.mark.parametrize("code", REFUSED)
def test_mistakes_are_told(code: str) -> None:
    text = f"dgm 1\nmodel M {{{ENDS % {'d': 2}}{SDE % ('noise', '')}    loss = dsm\n}}\n"
    old, new = REFUSED[code]
    assert old in text
    number = "    learn k : positive\n" if code == "DGM677" else ""
    found = dgmspec.diagnose(text.replace(old, new).replace("model M {", f"model M {{\n{number}")).diagnostics
    assert code in {d.code for d in found}, [str(d) for d in found]


@pytest.mark.parametrize(
    ("loss", "method"),
    [
        ("ism", ""),
        ("dsm(weight = snr)", ""),
        ("dsm", "init_noise"),
        ("dsm", "precondition"),
        ("dsm", "reverse_sde(solver = exponential)"),
        ("dsm", "pf_ode(solver = deis)"),
    ],
)
def test_what_needs_numbers_for_coefficients_is_refused(loss: str, method: str) -> None:
    text = f"dgm 1\nmodel M {{{ENDS % {'d': 2}}{SDE % ('noise', '')}    loss = {loss}\n}}\n"
    if "=" in method:
        text += f"sample M {{ method = {method} }}\n"
    elif method:
        setting = {"init_noise": "init_noise = 0.1", "precondition": "precondition = edm"}[method]
        text = text.replace("t_eps = 1e-3", setting).replace("learn noise", "learn score")
    assert "DGM673" in {d.code for d in dgmspec.diagnose(text).diagnostics}


def test_a_matrix_may_act_on_one_vector() -> None:
    text = """dgm 1
    model M {
        observe x : real[2]
        latent z : real[2] ~ normal(0, 1)
        sde x -> z over t in 0..3 {
            drift(x, t) = [[-2, 1], [0, -2]] @ x
            diffusion(t) = 2
            learn noise(x, t) = mlp(8)
            likelihood = pf_ode(solver = rk4(steps = 2))
        }
        loss = dsm
    }
    sample M { method = reverse_sde(steps = 5) }
    """
    found = dgmspec.compile(dgmspec.parse(text), seed=0)
    assert found.density == "exact"
    x = torch.randn(8, 2)
    assert torch.isfinite(found.log_prob(x)).all() and torch.isfinite(found.loss(x, seed=0).total)
    assert found.sample(3, seed=0).shape == (3, 2)
