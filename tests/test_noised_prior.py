"""A noising arrow as the prior of a latent variable: its bound in the ELBO, samples along it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import dgmspec
from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.evaluate import evaluate
from dgmspec.runtime.rundir import RunError
from tests.test_latent import DOUBLE, build, gradients, text

VAE = (
    "observe x : binary[4]",
    "latent z : real[2]",
    "latent w : real[2] ~ normal(0, 1)",
    "generate x | z ~ bernoulli(mlp(4))",
    "infer z | x ~ normal(mlp(4))",
)
CHAIN = "markov z -> w over t in 1..8 { step(z, t) ~ normal(0.7 * z, 0.7); learn noise(z, t) = mlp(8) }"
SDE = "sde z -> w over t in 0..1 { drift(z, t) = -3 * z; diffusion(t) = sqrt(6); learn noise(z, t) = mlp(8) }"


def alone(model: CompiledModel, arrow: str) -> CompiledModel:
    """The arrow as a model of its own, that observes z, with the same weights."""
    members = ("observe z : real[2]", "latent w : real[2] ~ normal(0, 1)", arrow)
    other = dgmspec.compile(dgmspec.parse(text(*members)), dtype=DOUBLE)
    known = dict(model.named_parameters())
    with torch.no_grad():
        for key, parameter in other.named_parameters():
            parameter.copy_(known[key])
    return other


@pytest.mark.parametrize("arrow", [CHAIN, SDE], ids=["markov", "sde"])
def test_the_prior_of_a_code_is_the_density_of_its_arrow(arrow: str) -> None:
    model = build(*VAE, arrow, "loss = elbo")
    x = torch.tensor([[0.0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 1]], dtype=DOUBLE)
    z, ledger = model.encode(x, seed=3), model.ledger(x, seed=3)
    assert model.density == "lower bound" and [s.group for s in ledger] == ["x", "z", "z", "z"]
    prior = sum(s.sign * s.logdet for s in ledger if "z | x" not in s.name and s.group == "z")
    torch.testing.assert_close(prior, alone(model, arrow).log_prob(z, seed=3))
    entropy = next(s for s in ledger if "z | x" in s.name)
    assert entropy.sign == -1
    value, of_loss = model.loss_ledger(x, seed=3)
    torch.testing.assert_close(-of_loss.total.mean(), value.total)
    found = gradients(model, value.total)
    assert all(bool(g.abs().sum() > 0) for name, g in found.items() if "0/weight" not in name)


def test_samples_run_the_chain_backwards_and_decode() -> None:
    model = build(*VAE, CHAIN, "loss = elbo")
    x = model.sample(4000, seed=0)
    again = model.sample(10, seed=0)
    assert bool(((x == 0) | (x == 1)).all()) and torch.equal(again, x[:10])
    z = alone(model, CHAIN).sample(4000, seed=1)
    decoded = model.decode(z, mean=True)
    torch.testing.assert_close(x.mean(0), decoded.mean(0), atol=0.04, rtol=0)


def test_draws_of_a_bound_are_averaged_and_make_no_weights(tmp_path: Path) -> None:
    model = build(*VAE, CHAIN, "loss = elbo")
    x = torch.ones(2, 4, dtype=DOUBLE)
    draws = torch.stack([model.log_prob(x, seed=s) for s in range(400)])
    many = torch.stack([model.log_prob(x, samples=20, seed=s) for s in range(20)])
    error = (draws.var(0) / 400 + many.var(0) / 20).sqrt()
    assert bool(((draws.mean(0) - many.mean(0)).abs() < 5 * error).all())
    for loss in ("iwae(3)", "mc(10)"):
        found = dgmspec.diagnose(text(*VAE, CHAIN, f"loss = {loss}")).diagnostics
        assert [d.code for d in found if d.severity == "error"] == ["DGM735"]
    train = "train M { steps = 2; batch = 8; validate = holdout(0.2, every = 2) }"
    spec = dgmspec.parse(text(*VAE, CHAIN, "loss = elbo") + train)
    run = dgmspec.train(spec, data={"x": torch.ones(40, 4).numpy()}, out=tmp_path / "run")
    assert run.report["density"] == "lower bound" and (tmp_path / "run/samples.png").exists()
    with pytest.raises(RunError, match="no importance weights"):
        evaluate(tmp_path / "run", data={"x": torch.ones(40, 4).numpy()}, samples=5)
