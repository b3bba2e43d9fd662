"""Priors that are the mean of the posteriors at learned pseudo-inputs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec.modules.compiled import CompiledModel
from tests.test_latent import DOUBLE, build, gradients, text

PRIOR, GENERATE = "latent z : real[2] ~ vamp(5)", "generate x | z ~ normal(mlp(4))"
POSTERIORS = {
    "net": ("infer z | x ~ normal(mlp(6))",),
    "formula": ("learn A : real[2, 3]", "infer z | x ~ normal(A @ x, 0.3)"),
    "named net": ("net h(x) : real[4] = mlp(6)", "infer z | h(x) ~ normal(mlp(4))"),
    "net in a formula": ("net h(x) : real[2] = mlp(6)", "infer z | x ~ normal(2 * h(x) + x[0], 0.5)"),
    "trunk": ("net h(x) = mlp(6)", "infer z | x ~ normal(h(x))"),
    "heavy tails": ("infer z | x ~ student_t(5, mlp(6), 1)",),
}


def posterior(model: CompiledModel, members: tuple[str, ...], x: Tensor, z: Tensor) -> Tensor:
    """log q(z | x) by a model that observes z and is given x, with the same weights."""
    written = [member.replace("infer", "generate") for member in members]
    other = dgmspec.compile(dgmspec.parse(text("given x : real[3]", "observe z : real[2]", *written)), dtype=DOUBLE)
    known = dict(model.named_parameters())
    with torch.no_grad():
        for key, parameter in other.named_parameters():
            parameter.copy_(known[key.replace("generate", "infer")])
    return other.log_prob(z, given={"x": x})


@pytest.mark.parametrize("name", POSTERIORS)
def test_the_prior_is_the_mean_of_the_posteriors_at_the_pseudo_inputs(name: str) -> None:
    members = POSTERIORS[name]
    model = build("observe x : real[3]", PRIOR, GENERATE, *members, "loss = elbo")
    x = torch.randn(7, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    z, inputs = model.encode(x, seed=2), model.get_parameter("M/z/prior/pseudo/inputs")
    prior = next(step for step in model.ledger(x, seed=2) if step.name.startswith("z ~ vamp"))
    terms = torch.stack([posterior(model, members, u.expand(7, 3), z) for u in inputs])
    torch.testing.assert_close(prior.logdet, terms.logsumexp(0) - math.log(5))
    found = gradients(model, model.loss(x, seed=3).total)
    assert all(bool(row.abs().sum() > 0) for row in found["M/z/prior/pseudo/inputs"])


def test_draws_come_from_each_posterior_alike() -> None:
    members = ("infer z | x ~ normal(x[0] * [1, -1], 0.1)", "generate x | z ~ normal([z[0], z[1], 0], 0.01)")
    model = build("observe x : real[3]", "latent z : real[2] ~ vamp(4)", *members, "loss = elbo")
    with torch.no_grad():
        model.get_parameter("M/z/prior/pseudo/inputs").copy_(torch.arange(4.0)[:, None].expand(4, 3))
    x = model.sample(4000, seed=0)
    torch.testing.assert_close(x[:, 0], -x[:, 1], atol=0.8, rtol=0)
    counts = torch.bincount(x[:, 0].round().clamp(0, 3).long(), minlength=4)
    assert bool(((counts - 1000).abs() < 5 * math.sqrt(1000 * 0.75)).all())
    centred = x[:, 0] - x[:, 0].round()
    assert centred.std().item() == pytest.approx(math.hypot(0.1, 0.01), rel=0.06)


@pytest.mark.parametrize("kind", ["binary[1, 4, 4]", "integer(2..9)[1, 4, 4]", "positive[1, 4, 4]", "circle[1, 4, 4]"])
def test_pseudo_inputs_are_of_the_datas_type(kind: str) -> None:
    law = {"b": "bernoulli(mlp(4))", "i": "discretized_logistic(mlp(4))", "p": "exponential(mlp(4))"}.get(
        kind[0], "von_mises(mlp(4), 1)"
    )
    net = "mlp(4)" if kind.startswith("circle") else "conv(2)"
    model = build(
        f"observe x : {kind}",
        "latent z : real[1, 4, 4] ~ vamp(3)",
        f"generate x | z ~ {law}",
        f"infer z | x ~ normal({net})",
        "loss = elbo(samples = 2)",
    )
    x = model.sample(6, seed=0)
    value = model.loss(x, seed=0)
    assert bool(value.total.isfinite()) and model.log_prob(x, seed=0).shape == (6,)
    mean = model.decode(model.encode(x, seed=0), mean=True)
    assert mean.shape == x.shape


REFUSED = {
    "no posterior": ("observe x : real[3]", "loss = mc(10)"),
    "a context": ("observe x : real[3]", "given c : real[2]", "infer z | x, c ~ normal(mlp(4))", "loss = elbo"),
    "labels": ("observe x : category(3)[3]", "infer z | x ~ normal(mlp(4))", "loss = elbo"),
    "a latent variable": (
        "observe x : real[3]",
        "latent a : real[2] ~ normal(0, 1)",
        "infer a | x ~ normal(mlp(4))",
        "infer z | a ~ normal(mlp(4))",
        "loss = elbo",
    ),
    "no parameters": ("observe x : real[3]", "infer z | x ~ autoregressive(normal, net = made(4))", "loss = elbo"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_prior_without_such_a_posterior_is_refused(name: str) -> None:
    law = "categorical(mlp(4))" if name == "labels" else "normal(mlp(4))"
    found = dgmspec.diagnose(text(*REFUSED[name][:1], PRIOR, f"generate x | z ~ {law}", *REFUSED[name][1:])).diagnostics
    errors = [d for d in found if d.severity == "error"]
    assert [d.code for d in errors] == ["DGM734"] and errors[0].help


def test_it_stands_alone_as_the_prior_of_a_latent_variable() -> None:
    for law, code in (("vamp(3)", "DGM734"), ("mixture(vamp(3), normal(0, 1))", "DGM234")):
        found = dgmspec.diagnose(text(f"observe x : real[3] ~ {law}", "loss = nll")).diagnostics
        assert [d.code for d in found if d.severity == "error"] == [code]
