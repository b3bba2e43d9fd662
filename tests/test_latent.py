"""Models with latent variables: bounds against closed forms, enumeration and quadrature; gradients of estimators."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch import distributions as reference

import dgmspec
from dgmspec.graph import dependence
from dgmspec.modules.compiled import CompiledModel, UnavailableError
from dgmspec.runtime.evaluate import evaluate
from dgmspec.runtime.latent import collapsed
from dgmspec.spec import override
from tests.zoo import draw_event, randomise

DOUBLE = torch.float64


def text(*members: str) -> str:
    return "dgm 1\nmodel M {\n" + "".join(f"    {member}\n" for member in members) + "}\n"


def build(*members: str, seed: int = 1, scale: float = 0.3) -> CompiledModel:
    model = dgmspec.compile(dgmspec.parse(text(*members)), dtype=DOUBLE)
    randomise(model, seed, scale)
    return model


@pytest.mark.parametrize(
    ("latent", "posterior", "gradient"),
    [
        ("real[2] ~ normal(0, 1)", "normal(mlp(4))", "unbiased (through the draw)"),
        ("real[2] ~ normal(0, 1)", "mixture(normal(-1, 1), normal(mlp(4)))", "unbiased (by the score)"),
        ("category(4)[9] ~ categorical(1)", "categorical(mlp(4))", "unbiased (by the score)"),
        ("category(4) ~ categorical(1)", "categorical(mlp(4))", "unbiased (all values weighed)"),
        ("category(4) ~ categorical(1)", "gumbel_softmax(mlp(4))", "biased (a surrogate's)"),
        ("category(4) ~ categorical(1)", "nearest(mlp(4), dim = 2)", "biased (a surrogate's)"),
    ],
)
def test_each_estimator_is_called_unbiased_or_biased(latent: str, posterior: str, gradient: str) -> None:
    laws = ("generate x | z ~ bernoulli(mlp(4))", f"infer z | x ~ {posterior}", "loss = elbo(samples = 2)")
    found = dgmspec.diagnose(text("observe x : binary[4]", f"latent z : {latent}", *laws))
    assert not [d for d in found.diagnostics if d.severity == "error"]
    (line,) = (line for line in found.explain("M").splitlines() if line.startswith("  infer"))
    assert line.endswith(f"gradient {gradient}")


# ---- a linear Gaussian model, where everything is known -------------------------------------------------------------

LINEAR = (
    "observe x : real[3]",
    "learn W : real[3, 2]",
    "learn m : real[3]",
    "learn s : positive = 0.7",
    "latent z : real[2] ~ normal(0, 1)",
    "generate x | z ~ normal(W @ z + m, s)",
    "learn A : real[2, 3]",
    "learn b : real[2]",
    "learn t : positive[2]",
    "infer z | x ~ normal(A @ x + b, t)",
)


def linear(*members: str, exact: bool) -> CompiledModel:
    """The model with orthogonal columns of W, so that its posterior has a diagonal covariance; with `exact` the
    posterior is the true one."""
    model = dgmspec.compile(dgmspec.parse(text(*LINEAR, *members)), dtype=DOUBLE)
    own = dict(model.named_parameters())
    W = torch.tensor([[1.0, 0.5], [0.5, -1.0], [0.2, 0.0]], dtype=DOUBLE)
    with torch.no_grad():
        own["M/W"].copy_(W)
        own["M/m"].copy_(torch.tensor([0.3, -0.2, 1.0], dtype=DOUBLE))
        s = torch.nn.functional.softplus(own["M/s"])
        precision = W.T @ W / s**2 + torch.eye(2, dtype=DOUBLE)
        assert precision[0, 1].abs() < 1e-12
        if exact:
            variance = 1 / precision.diagonal()
            own["M/A"].copy_(variance[:, None] * W.T / s**2)
            own["M/b"].copy_(-own["M/A"] @ own["M/m"])
            own["M/t"].copy_(torch.log(torch.expm1(variance.sqrt())))
    return model


def truth(model: CompiledModel, x: Tensor) -> Tensor:
    """log p(x) = log N(x; m, W Wᵀ + s² I)."""
    own = dict(model.named_parameters())
    s = torch.nn.functional.softplus(own["M/s"])
    covariance = own["M/W"] @ own["M/W"].T + s**2 * torch.eye(3, dtype=DOUBLE)
    return reference.MultivariateNormal(own["M/m"], covariance).log_prob(x)


X = torch.randn(5, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))


def test_the_bound_is_the_likelihood_at_the_true_posterior() -> None:
    model = linear("loss = iwae(3)", exact=True)
    assert model.density == "lower bound"
    torch.testing.assert_close(model.log_prob(X, seed=0), truth(model, X), rtol=0, atol=1e-10)
    torch.testing.assert_close(-model.loss(X, seed=0).total, truth(model, X).mean(), rtol=0, atol=1e-10)


def test_importance_weighting_grows_to_the_likelihood() -> None:
    rows = X[:1].expand(4000, 3)
    found = []
    for k in (1, 4, 16, 256):
        model = linear(f"loss = iwae({k})", exact=False)
        found.append(-model.loss(rows[: 4000 if k < 256 else 400], seed=1).total.item())
    expected = truth(model, X[:1]).item()
    assert found == sorted(found) and found[0] < expected - 0.3
    assert found[-1] == pytest.approx(expected, abs=0.03)
    assert model.log_prob(X[:1], samples=1000, seed=2).item() == pytest.approx(expected, abs=0.25)


def elbo(model: CompiledModel, x: Tensor) -> Tensor:
    """The evidence lower bound of the linear model in closed form, a mean over rows."""
    own = {name.removeprefix("M/"): value for name, value in model.named_parameters()}
    s, t = torch.nn.functional.softplus(own["s"]), torch.nn.functional.softplus(own["t"])
    mean = x @ own["A"].T + own["b"]
    residual = x - mean @ own["W"].T - own["m"]
    spread = (own["W"] ** 2 @ t**2).sum()
    data = -1.5 * math.log(2 * math.pi) - 3 * s.log() - (residual.square().sum(1) + spread) / (2 * s**2)
    kl = 0.5 * (t**2 + mean**2 - 1 - 2 * t.log()).sum(1)
    return (data - kl).mean()


def gradients(model: CompiledModel, value: Tensor) -> dict[str, Tensor]:
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    found = torch.autograd.grad(value, [model.get_parameter(n) for n in names], allow_unused=True)
    return {n: g if g is not None else torch.zeros(()) for n, g in zip(names, found, strict=True)}


@pytest.mark.parametrize("loss", ["elbo", "elbo(samples = 3)", "elbo(gradient = sticking)"])
def test_gradients_of_the_bound_are_unbiased(loss: str) -> None:
    # 40 means over 500 draws each against the gradient of the closed form: every deviation within 4.5 standard errors.
    model = linear(f"loss = {loss}", exact=False)
    expected = gradients(model, -elbo(model, X))
    rows = X.repeat(100, 1)
    drawn = [gradients(model, model.loss(rows, seed=seed).total) for seed in range(40)]
    for name, value in expected.items():
        sample = torch.stack([g[name] for g in drawn])
        error = sample.std(0) / math.sqrt(len(drawn))
        assert bool(((sample.mean(0) - value).abs() <= 4.5 * error + 1e-9).all()), name


def test_sticking_the_landing_has_no_variance_at_the_true_posterior() -> None:
    def spread(loss: str) -> float:
        model = linear(f"loss = {loss}", exact=True)
        grads = [gradients(model, model.loss(X, seed=seed).total)["M/A"] for seed in range(3)]
        return float((grads[0] - grads[1]).abs().max() + grads[2].abs().max())

    model = linear("loss = iwae(1)", exact=True)
    assert float(gradients(model, model.loss(X, seed=0).total)["M/A"].abs().max()) > 1e-3
    assert spread("elbo(gradient = sticking)") < 1e-12


def test_sticking_holds_the_nets_that_a_posterior_owns() -> None:
    """Where nothing depends on z the true posterior is the prior; one that equals it has no gradient."""
    members = (
        "observe x : binary[3]",
        "latent z : real[3] ~ normal(0, 1)",
        "learn p : real[3]",
        "generate x | z ~ bernoulli(logits = p + 0 * z[0])",
        "net h(x) : real[2] = mlp(4)",
        "infer z | h(x) ~ autoregressive(normal, net = made(6))",
    )
    found = {}
    for loss in ("elbo", "elbo(gradient = sticking)"):
        model = build(*members, f"loss = {loss}")
        own = {name: p for name, p in model.named_parameters() if "infer" in name}
        with torch.no_grad():
            for name, p in own.items():
                p.mul_(0 if "/1/" in name else 1)
            own["M/infer z/net/1/bias"][3:] = math.log(math.expm1(1 - 1e-6))
        grads = gradients(model, model.loss(torch.ones(4, 3, dtype=DOUBLE), seed=0).total)
        found[loss] = max(float(grads[name].abs().max()) for name in own)
    assert found["elbo"] > 1e-3 and found["elbo(gradient = sticking)"] < 1e-12


def test_the_naive_likelihood_fails_where_the_bound_does_not() -> None:
    # With little noise hardly any draw of the prior explains x: 100 of them give a number far below the truth.
    model = linear("loss = mc(100) + 0 * iwae(100)", exact=True)
    with torch.no_grad():
        model.get_parameter("M/s").fill_(-4)
    far = torch.tensor([[3.0, 1.0, 2.0]], dtype=DOUBLE)
    own = linear("loss = iwae(100)", exact=True)
    with torch.no_grad():
        own.get_parameter("M/s").fill_(-1)
    assert -model.loss(far, seed=0).terms["mc"].item() < truth(model, far).item() - 10
    near = linear("loss = mc(20000)", exact=True)
    assert -near.loss(X, seed=0).total.item() == pytest.approx(truth(near, X).mean().item(), abs=0.1)


# ---- every kind of graph against the naive likelihood ---------------------------------------------------------------

GRAPHS = {
    "vae": (
        "observe x : binary[4]",
        "latent z : real[1] ~ normal(0, 1)",
        "generate x | z ~ bernoulli(mlp(8))",
        "infer z | x ~ normal(mlp(8))",
    ),
    "bottom_up": (
        "observe x : binary[4]",
        "latent a : real[1] ~ normal(0, 1)",
        "latent z : real[2]",
        "generate z | a ~ normal(mlp(4))",
        "generate x | z ~ bernoulli(mlp(4))",
        "infer z | x ~ normal(mlp(4))",
        "infer a | z ~ normal(mlp(4))",
    ),
    "top_down": (
        "observe x : binary[4]",
        "latent a : real[1] ~ normal(0, 1)",
        "latent z : real[2]",
        "generate z | a ~ normal(mlp(4))",
        "generate x | z, a ~ bernoulli(mlp(4))",
        "infer a | x ~ normal(mlp(4))",
        "infer z | x, a ~ laplace(mlp(4), 2)",
    ),
    "flow_posterior": (
        "observe x : binary[4]",
        "latent z : real[2] ~ normal(0, 1)",
        "latent u : real[2]",
        "generate x | z ~ bernoulli(mlp(4))",
        "infer u | x ~ normal(mlp(4))",
        "flow u -> z | x { autoregressive(affine, net = made(4)); permute(reverse) }",
    ),
    "flow_posterior_backwards": (
        "observe x : binary[4]",
        "latent z : real[2] ~ normal(0, 1)",
        "latent u : real[2]",
        "generate x | z ~ bernoulli(mlp(4))",
        "infer u | x ~ normal(mlp(4))",
        "flow z -> u | x { coupling(affine, mask = half, net = mlp(4)) }",
    ),
    "flow_prior": (
        "observe x : binary[4]",
        "latent z : real[2]",
        "latent w : real[2] ~ normal(0, 1)",
        "generate x | z ~ bernoulli(mlp(4))",
        "infer z | x ~ normal(mlp(4))",
        "flow z -> w { autoregressive(affine, net = made(4)); linear(plu) }",
    ),
    "both_flows": (
        "observe x : binary[4]",
        "latent u : real[2]",
        "latent z : real[2]",
        "latent w : real[2] ~ normal(0, 1)",
        "generate x | z ~ bernoulli(mlp(4))",
        "infer u | x ~ normal(mlp(4))",
        "flow u -> z | x { autoregressive(affine, net = made(4)) }",
        "flow z -> w { linear(plu) }",
    ),
    "flow_decoder": (
        "observe x : real[2]",
        "latent e : real[2] ~ normal(0, 1)",
        "latent z : real[1] ~ normal(0, 1)",
        "flow x -> e | z { coupling(affine, mask = half, net = mlp(4)); linear(plu) }",
        "infer z | x ~ normal(mlp(4))",
    ),
    "conditional": (
        "observe x : binary[4]",
        "given c : category(3)",
        "net h(c) = mlp(4)",
        "latent z : real[2] ~ normal(h(c))",
        "generate x | z, c ~ bernoulli(mlp(4))",
        "infer z | x, c ~ normal(mlp(4))",
    ),
    "mixture_prior": (
        "observe x : binary[4]",
        "latent k : category(3) ~ categorical([1, 2, 3])",
        "latent z : real[2]",
        "generate z | k ~ normal(mlp())",
        "generate x | z ~ bernoulli(mlp(4))",
        "infer z | x ~ normal(mlp(4))",
    ),
    "label_and_code": (
        "observe x : binary[4]",
        "latent k : category(3) ~ categorical(1)",
        "latent z : real[2] ~ normal(0, 1)",
        "generate x | z, k ~ bernoulli(mlp(4))",
        "infer k | x ~ categorical(mlp(4))",
        "infer z | x, k ~ normal(mlp(4))",
    ),
    "indexed": (
        "observe x : binary[4]",
        "latent z[k] : real[3 - k] for k in 0..2 - 1",
        "latent z_2 : real[1] ~ normal(0, 1)",
        "generate z[1] | z_2 ~ normal(mlp(4))",
        "generate z[k] | z[k + 1] ~ normal(mlp(4))",
        "generate x | z[0] ~ bernoulli(mlp(4))",
        "infer z[0] | x ~ normal(mlp(4))",
        "infer z[k] | z[k - 1] ~ normal(mlp(4))",
        "infer z_2 | z[1] ~ normal(mlp(4))",
    ),
    "vamp": (
        "observe x : binary[4]",
        "latent z : real[2] ~ vamp(3)",
        "generate x | z ~ bernoulli(mlp(4))",
        "infer z | x ~ normal(mlp(4))",
    ),
    "formulas": (
        "observe x : real[2]",
        "net f(z) : real[2] = mlp(4)",
        "latent z : real[2] ~ normal(0, 1)",
        "generate x | z ~ normal(z + 0.5 * f(z), softplus(z[0]) + 0.5)",
        "infer z | x ~ student_t(5, 0.5 * x, 1)",
    ),
}


@cache
def graph(name: str) -> CompiledModel:
    """The model with posteriors wider than any prior, so that importance weights have light tails."""
    members = (re.sub(r"(infer .* ~ normal\(mlp\(4\))\)", r"\1, 2)", member) for member in GRAPHS[name])
    return build(*members, "loss = mc(4_000) + elbo(samples = 2) + iwae(4)")


def batch(model: CompiledModel, rows: int = 3) -> dict[str, Tensor]:
    return {n: draw_event(t, rows, seed=4) for n, t in {**model.observed, **model.givens}.items()}


@pytest.mark.parametrize("name", GRAPHS)
def test_importance_sampling_agrees_with_draws_of_the_prior(name: str) -> None:
    model, rows = graph(name), batch(graph(name), 1)
    naive = math.exp(-model.loss(rows, seed=0).terms["mc"].item())
    many = {n: v.expand(4000, *v.shape[1:]) for n, v in rows.items()}
    given = {n: many[n] for n in model.givens} or None
    weights = model.log_prob({n: many[n] for n in model.observed}, given=given, seed=1).exp()
    error = weights.std().item() / math.sqrt(len(weights))
    assert weights.mean().item() == pytest.approx(naive, abs=5 * error + 0.02 * naive)
    assert error < 0.2 * naive


@pytest.mark.parametrize("name", GRAPHS)
def test_bounds_are_ordered_and_closed_forms_change_no_mean(name: str) -> None:
    model = graph(name)
    one = {n: v[:1].expand(2000, *v.shape[1:]) for n, v in batch(model).items()}
    found = []
    for loss in ("elbo", "elbo(gradient = sticking)" if len(GRAPHS[name]) == 4 else "elbo(samples = 2)", "iwae(4)"):
        model = build(*GRAPHS[name], f"loss = {loss}")
        _, ledger = model.loss_ledger(one, seed=3)
        found.append((ledger.total.mean().item(), ledger.total.std().item() / math.sqrt(2000)))
    (lower, a), (again, b), (tight, c) = found
    assert abs(lower - again) < 4.5 * math.hypot(a, b) + 1e-9
    assert lower < tight + 4.5 * math.hypot(a, c)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_ledger_sums_to_the_bound_and_gradients_reach_all_weights(name: str) -> None:
    model, rows = build(*GRAPHS[name], "loss = elbo(samples = 2)"), batch(graph(name))
    value, ledger = model.loss_ledger(rows, seed=0)
    torch.testing.assert_close(-ledger.total.mean(), value.total)
    found = gradients(model, value.total)
    dead = [n for n, g in found.items() if not g.abs().sum() > 0 and "made" not in n and "0/weight" not in n]
    assert model.trains_all and not dead


@pytest.mark.parametrize("name", GRAPHS)
def test_codes_decode_and_samples_have_their_types(name: str) -> None:
    model, rows = graph(name), batch(graph(name))
    given = {n: rows[n][:1] for n in model.givens} or None
    x = {n: rows[n] for n in model.observed}
    full = {n: rows[n] for n in model.givens} or None
    for mean in (False, True):
        codes = model.encode(x, given=full, seed=0, mean=mean)
        back = model.decode(codes, given=full, seed=0, mean=mean)
        assert back.shape == rows["x"].shape and bool(back.isfinite().all())
    drawn = model.sample(5, given=given, seed=0)
    assert drawn.shape == (5, *model.observed["x"].shape)
    if not model.observed["x"].support.continuous:
        assert bool(((drawn == 0) | (drawn == 1)).all())


def test_a_divergence_is_closed_only_where_its_prior_reads_nothing_drawn_from_it() -> None:
    def kinds(name: str) -> dict[str, str]:
        _, ledger = build(*GRAPHS[name], "loss = elbo").loss_ledger(batch(graph(name)), seed=0)
        return {step.name: step.kind for step in ledger}

    assert [name for name, kind in kinds("bottom_up").items() if kind == "kl"] == [
        "KL(a | z ~ normal(mlp(4)) ‖ a ~ normal)"
    ]
    assert [name for name, kind in kinds("top_down").items() if kind == "kl"] == [
        "KL(a | x ~ normal(mlp(4)) ‖ a ~ normal)"
    ]
    assert "kl" not in kinds("flow_posterior").values() and "kl" in kinds("conditional").values()


# ---- discrete latent variables --------------------------------------------------------------------------------------

CODES = (
    "observe x : real[2]",
    "learn p : real[3]",
    "latent z : binary[3] ~ bernoulli(logits = p)",
    "generate x | z ~ normal(mlp(4))",
    "infer z | x ~ bernoulli(mlp(4))",
)


def test_a_mixture_is_summed_over_its_components() -> None:
    model = build(
        "observe x : real[2]",
        "learn w : real[3]",
        "latent k : category(3) ~ categorical(logits = w)",
        "generate x | k ~ normal(mlp())",
        "loss = nll",
    )
    own = dict(model.named_parameters())
    raw = (own["M/generate x/law/net/0/weight"] + own["M/generate x/law/net/0/bias"][:, None]).T
    components = reference.Independent(reference.Normal(raw[:, :2], nn.functional.softplus(raw[:, 2:]) + 1e-6), 1)
    mixture = reference.MixtureSameFamily(reference.Categorical(logits=own["M/w"]), components)
    x = torch.randn(7, 2, dtype=DOUBLE)
    assert model.density == "exact"
    torch.testing.assert_close(model.log_prob(x), mixture.log_prob(x))
    torch.testing.assert_close(model.loss(x).total, -mixture.log_prob(x).mean())
    torch.testing.assert_close(model.freeze().log_prob(x), model.log_prob(x))
    drawn = model.sample(4000, seed=0)
    assert bool(((drawn.mean(0) - mixture.mean).abs() < 4 * mixture.variance.sqrt() / 60).all())


def test_the_score_gradient_is_unbiased(monkeypatch: pytest.MonkeyPatch) -> None:
    # The same bound summed over all eight codes is the reference; without a sum the draws need their scores.
    x = torch.randn(2, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))
    summed = build(*CODES, "loss = elbo(samples = 2)")
    expected = gradients(summed, summed.loss(x, seed=0).total)
    monkeypatch.setattr(dependence, "MAX_STATES", 4)
    drawn = build(*CODES, "loss = elbo(samples = 2)")
    rows = x.repeat(400, 1)
    found = [gradients(drawn, drawn.loss(rows, seed=seed).total) for seed in range(30)]
    for name, value in expected.items():
        sample = torch.stack([g[name] for g in found])
        error = sample.std(0) / math.sqrt(len(found))
        assert bool(((sample.mean(0) - value).abs() <= 4.5 * error + 1e-9).all()), name


def test_the_score_of_a_mixture_is_counted_once() -> None:
    """Against the bound by quadrature: a component's draw moves with its location, and the score says so already."""
    model = dgmspec.compile(
        dgmspec.parse(
            text(
                "observe x : real",
                "learn a = -1",
                "learn b = 0.8",
                "learn w : simplex[2] = [0.3, 0.7]",
                "latent z : real ~ normal(0, 1)",
                "generate x | z ~ normal(z^2 / 2 + 0.3 * z, 0.7)",
                "infer z | x ~ mixture(normal(a, 0.5), normal(b + 0.2 * x, 0.6), weights = w)",
                "loss = elbo(samples = 3)",
            )
        ),
        dtype=DOUBLE,
    )
    own, x, z = (
        dict(model.named_parameters()),
        torch.tensor(0.4, dtype=DOUBLE),
        torch.linspace(-9, 9, 2001, dtype=DOUBLE),
    )
    parts = reference.Normal(torch.stack((own["M/a"], own["M/b"] + 0.2 * x)), torch.tensor([0.5, 0.6], dtype=DOUBLE))
    weights = torch.log_softmax(own["M/w"], 0)
    log_q = torch.logsumexp(parts.log_prob(z[:, None]) + weights, 1)
    log_p = reference.Normal(z**2 / 2 + 0.3 * z, 0.7).log_prob(x) + reference.Normal(0.0, 1.0).log_prob(z)
    expected = gradients(model, torch.trapezoid(log_q.exp() * (log_q - log_p), z))
    drawn = [gradients(model, model.loss(x.expand(1000), seed=seed).total) for seed in range(30)]
    for name, value in expected.items():
        sample = torch.stack([g[name] for g in drawn])
        assert bool(((sample.mean(0) - value).abs() <= 4.5 * sample.std(0) / math.sqrt(30)).all()), name


CHOSEN = {
    "a label": (
        ("categorical(logits = w)", "categorical([1, 2, 3])"),
        "observe x : real",
        "learn w : real[3]",
        "latent k : category(3) ~ LAW",
        "generate x | k ~ normal(mlp())",
        "loss = mc(8)",
    ),
    "labels by a net": (
        ("autoregressive(bernoulli, net = made(4))", "bernoulli(0.5)"),
        "observe x : real",
        "latent z : real ~ normal(0, 1)",
        "latent k : binary[20]",
        "generate k | z ~ LAW",
        "generate x | k ~ normal(mlp())",
        "loss = mc(8)",
    ),
    "a component": (
        ("mixture(normal(-1, 1), normal(m, 1), weights = w)", "mixture(normal(-1, 1), normal(m, 1))"),
        "learn w : simplex[2]",
        "learn m = 1",
        "observe x : real ~ exp(-x^4)",
        "latent z : real ~ LAW",
        "flow z -> x { elementwise(affine) }",
        "loss = reverse_kl",
    ),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_a_learned_choice_is_not_drawn_by_a_loss(name: str) -> None:
    (learned, fixed), *members = CHOSEN[name]
    for law, codes in ((learned, ["DGM737"]), (fixed, [])):
        written = text(*members).replace("LAW", law)
        assert [d.code for d in dgmspec.diagnose(written).diagnostics if d.severity == "error"] == codes
    model = dgmspec.compile(dgmspec.parse(text(*members[:-1]).replace("LAW", learned)), dtype=DOUBLE)
    with pytest.raises(UnavailableError, match="choice"):
        model.rsample(2)


def test_a_sum_inside_the_logarithm_leaves_other_labels_to_draws() -> None:
    members = (
        "observe x : binary[4]",
        "latent k : category(3) ~ categorical(1)",
        "latent j : category(2) ~ categorical(1)",
        "generate x | k, j ~ bernoulli(mlp(4))",
        "infer j | x ~ categorical(mlp(4))",
    )
    found = dgmspec.diagnose(text(*members, "loss = elbo")).diagnostics
    assert [d.code for d in found] == ["DGM732"]
    model, rows = build(*members, "loss = elbo(samples = 3)"), {"x": torch.ones(4, 4, dtype=DOUBLE)}
    value = model.loss(rows, seed=0).total
    assert all(bool(g.isfinite().all()) for g in gradients(model, value).values())
    assert -value < model.log_prob(rows["x"]).mean() + 0.5 and model.density == "exact"


# ---- weights of the divergence --------------------------------------------------------------------------------------


def parts(*members: str, **options: Any) -> tuple[Tensor, Tensor]:
    """The loss of the first graph, and the mean of its divergence in closed form."""
    model, rows = build(*GRAPHS["vae"], *members), batch(graph("vae"))
    _, ledger = build(*GRAPHS["vae"], "loss = elbo").loss_ledger(rows, seed=0)
    kl = next(step.logdet.mean() for step in ledger if step.kind == "kl")
    return model.loss(rows, seed=0, **options).total, kl


def test_weights_and_schedules() -> None:
    plain, kl = parts("loss = elbo")
    torch.testing.assert_close(parts("loss = elbo(beta = 3)")[0], plain + 2 * kl)
    assert 0 < kl < 5
    torch.testing.assert_close(parts("loss = elbo(free_bits = 5)")[0], plain - kl + 5)
    torch.testing.assert_close(parts("loss = elbo(free_bits = 1e-9)")[0], plain)
    rising = "loss = elbo(beta = anneal(0, 1, 10))"
    torch.testing.assert_close(parts(rising, step=4)[0], parts("loss = elbo", step=4)[0] - 0.6 * kl)
    torch.testing.assert_close(parts(rising)[0], plain)
    doubled = parts("loss = anneal(1, 3, 10) * elbo", step=5)[0]
    torch.testing.assert_close(doubled, 2 * parts("loss = elbo", step=5)[0])


def test_programs_compile_as_whole_graphs() -> None:
    model = build(*GRAPHS["flow_posterior"], "loss = elbo(samples = 2, beta = anneal(0, 1, 9))")
    rows, fast = batch(model), model.compiled(backend="aot_eager")
    torch.testing.assert_close(fast.loss(rows, seed=0, step=3).total, model.loss(rows, seed=0, step=3).total)


# ---- training -------------------------------------------------------------------------------------------------------

SPECS = Path(__file__).parent.parent / "specs"


@pytest.mark.slow
def test_principal_components_reach_the_closed_form_maximum(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(4000, 2)) @ np.array([[2.0, 0.7], [0.0, 0.6]]) + np.array([1.0, -0.5])
    spec = override(dgmspec.load(SPECS / "ppca.dgm"), {"train.steps": "6_000"})
    run = dgmspec.train(spec, data={"x": x}, out=tmp_path / "run")
    model, rows = run.model.double(), torch.tensor(x)
    own = dict(model.named_parameters())
    s = nn.functional.softplus(own["PPCA/s"])
    covariance = own["PPCA/W"] @ own["PPCA/W"].T + s**2 * torch.eye(2, dtype=DOUBLE)
    reached = reference.MultivariateNormal(own["PPCA/m"], covariance).log_prob(rows).mean().item()
    best = reference.MultivariateNormal(rows.mean(0), torch.cov(rows.T, correction=0)).log_prob(rows).mean().item()
    bound = model.log_prob(rows, seed=0).mean().item()
    print(f"\nppca: log-likelihood {reached:.5f}, bound {bound:.5f}, closed form {best:.5f}")
    assert best - 1e-3 < reached <= best + 1e-9 and bound == pytest.approx(reached, abs=1e-3)


def test_a_run_reports_what_its_latent_variables_tell(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 2, size=(300, 64))
    spec = override(dgmspec.load(SPECS / "hvae.dgm"), {"train.steps": "3"})
    run = dgmspec.train(spec, data={"x": x}, out=tmp_path / "run")
    test = run.report["test"]
    assert set(test["divergences_nats"]) == {"z", "top"} and run.report["density"] == "lower bound"
    assert "divergence of `z` from its law" in run.summary()
    figures = evaluate(tmp_path / "run", data={"x": x}, samples=20)
    assert figures["importance"]["nll_nats"] < figures["nll_nats"]


def test_a_collapsed_posterior_is_named() -> None:
    assert collapsed({"z": 0.001, "top": 3.0}) == ["z"]


UNMEANT = {
    "whole numbers": ("latent z : binary[20] ~ bernoulli(0.5)", "infer z | x ~ bernoulli(mlp(4))", "bernoulli(mlp(4))"),
    "an autoregressive posterior": (
        "latent z : real[3] ~ normal(0, 1)",
        "infer z | x ~ autoregressive(normal, net = made(4))",
        "bernoulli(mlp(4))",
    ),
    "an autoregressive decoder": (
        "latent z : real[3] ~ normal(0, 1)",
        "infer z | x ~ normal(mlp(4))",
        "autoregressive(bernoulli, net = transformer(4, depth = 1))",
    ),
}


@pytest.mark.parametrize("name", UNMEANT)
def test_where_a_law_has_no_mean_that_is_a_value_there_is_a_draw(name: str) -> None:
    prior, posterior, decoder = UNMEANT[name]
    model = build("observe x : binary[4]", prior, f"generate x | z ~ {decoder}", posterior, "loss = elbo(samples = 2)")
    codes = model.encode(torch.ones(5, 4, dtype=DOUBLE), seed=0, mean=True)
    back = model.decode(codes, seed=0, mean=True)
    assert back.shape == (5, 4) and bool(((back >= 0) & (back <= 1)).all())


def test_a_run_leaves_reconstructions_and_the_plane_of_codes(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 2, size=(120, 64))
    spec = override(dgmspec.load(SPECS / "vae.dgm"), {"train.steps": "2"})
    run = dgmspec.train(spec, data={"x": x}, out=tmp_path / "run")
    assert (run.path / "reconstructions.png").stat().st_size > 1000 and (run.path / "codes.png").stat().st_size > 1000
    assert "codes.png" in run.summary() and "draws of the posterior" in run.summary()


def test_what_a_named_net_gives_stays_in_its_type() -> None:
    model = build(
        "given c : real[3]",
        "observe x : real[2]",
        "net m(c) : interval(-1, 3)[2] = mlp(4)",
        "net s(c) : positive[2] = mlp(4)",
        "net w(c) : simplex[2] = mlp(4)",
        "generate x | c ~ mixture(normal(m(c), s(c)), normal(0, 1), weights = w(c))",
    )
    randomise(model, scale=2.0)
    c, x = (torch.randn(5, n, generator=torch.Generator().manual_seed(n), dtype=DOUBLE) for n in (3, 2))

    def raw(net: str) -> Tensor:
        p = {name: model.get_parameter(f"M/{net}/{name}") for name in ("0/weight", "0/bias", "1/weight", "1/bias")}
        hidden = nn.functional.silu(c @ p["0/weight"].T + p["0/bias"])
        return hidden @ p["1/weight"].T + p["1/bias"]

    first = reference.Normal(-1 + 4 * torch.sigmoid(raw("m")), nn.functional.softplus(raw("s"))).log_prob(x).sum(1)
    both = torch.stack([first, reference.Normal(0.0, 1.0).log_prob(x).sum(1)], 1)
    expected = torch.logsumexp(both + torch.log_softmax(raw("w"), 1), 1)
    torch.testing.assert_close(model.log_prob(x, given={"c": c}), expected)


def test_flows_behind_a_label_that_is_summed_over_start_from_data() -> None:
    model = build(
        "observe x : real[2]",
        "latent k : category(3)",
        "latent e : real[2] ~ normal(0, 1)",
        "learn w : simplex[3]",
        "generate k ~ categorical(w)",
        "flow x -> e | k { actnorm; elementwise(affine) }",
        "loss = nll",
    )
    x = 3 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE) + 1
    model.initialise(x)
    shift, log_scale = (model.get_parameter(f"M/x->e/0/{name}") for name in ("shift", "log_scale"))
    started = x * log_scale.exp() + shift
    torch.testing.assert_close(started.mean(0), torch.zeros(2, dtype=DOUBLE))
    torch.testing.assert_close(started.std(0, correction=0), torch.ones(2, dtype=DOUBLE))


def test_a_sum_over_labels_is_no_divergence_of_theirs(tmp_path: Path) -> None:
    spec = dgmspec.parse("""dgm 1
model Two {
    observe x : binary[3]
    latent y : category(2) ~ categorical(1)
    generate x | y ~ bernoulli(mlp(4))
    infer y | x ~ categorical(mlp(4))
    loss = elbo
}
train Two { steps = 2; batch = 8; validate = holdout(0.2, every = 2) }
""")
    rows = torch.randint(2, (60, 3), generator=torch.Generator().manual_seed(0))
    test = dgmspec.train(spec, data={"x": rows}, out=tmp_path / "run", seed=0).report["test"]
    assert test["nll_nats"] > 1 and "divergences_nats" not in test
