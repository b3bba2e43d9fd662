"""How far noising arrows end from their priors, measured: normal data, for which it has a formula; where it is said."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import dgmspec
from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.mismatch import Mismatch, mismatches
from dgmspec.runtime.verify import verify

BODY = (
    "sde x -> z over t in 0..1 { drift(x, t) = -x; DIFFUSION; learn score(x, t) = mlp(4); "
    "likelihood = pf_ode(solver = rk4(steps = 1)) }"
)
LAWS = {
    "kernel": BODY.replace("DIFFUSION", "diffusion(t) = sqrt(2)"),
    # 0 * x keeps the law from being read as affine.
    "simulated": BODY.replace("DIFFUSION", "diffusion(x, t) = sqrt(2) + 0 * x"),
    "chain": "markov x -> z over t in 1..20 { step(x, t) ~ normal(exp(-0.05) * x, sqrt(1 - exp(-0.1))); "
    "learn noise(x, t) = mlp(4) }",
}
"""The Ornstein-Uhlenbeck process to t = 1 by three ways to x_T."""


def text(law: str, prior: str = "normal(0, 1)", shape: str = "[2]", loss: str = "ism") -> str:
    return f"dgm 1\nmodel M {{ observe x : real{shape}\n latent z : real{shape} ~ {prior}\n {law}\n loss = {loss} }}\n"


def model(*args: str, **options: str) -> CompiledModel:
    return dgmspec.compile(dgmspec.parse(text(*args, **options)), dtype=torch.float64).eval()


def measured(of: CompiledModel, rows: torch.Tensor | None) -> Mismatch:
    (found,) = mismatches(of, None if rows is None else {"x": rows}, 0)
    return found


@pytest.mark.parametrize("law", LAWS)
def test_normal_data_are_as_far_from_the_prior_as_the_formula_says(law: str) -> None:
    """x_0 ~ N(2, 0.5²): x_T is normal, its mean α 2 and its variance α² 0.25 + 1 - α², α = 1/e."""
    rows = 2 + 0.5 * torch.randn(3000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mean, variance = 2 / math.e, 1 - 0.75 / math.e**2
    expected = (variance + mean**2 - 1 - math.log(variance)) / 2
    found = measured(model(LAWS[law]), rows)
    assert found.nats == pytest.approx(expected, abs=max(4 * found.error, 0.02)) and found.error < 0.03
    assert found.notable and "let the arrow run longer" in str(found)


def test_a_law_that_keeps_its_prior_is_not_worth_a_warning() -> None:
    for law in ("kernel", "simulated"):
        found = measured(model(LAWS[law]), None)
        assert abs(found.nats) < 0.01 and not found.notable and "mean square 1" in str(found)


def test_priors_of_any_law_have_a_figure_and_those_of_no_numbers_have_none() -> None:
    mixed = model(LAWS["simulated"], "mixture(normal(-1, 1), normal(1, 1))", shape="")
    # KL(N(0, 1) ‖ ½ N(-1, 1) + ½ N(1, 1)) by quadrature.
    x = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    log_p = -(x**2) / 2 - math.log(2 * math.pi) / 2
    log_q = torch.logaddexp(log_p - x - 0.5, log_p + x - 0.5) - math.log(2)
    expected = float(torch.trapezoid(log_p.exp() * (log_p - log_q), x))
    found = measured(mixed, None)
    assert found.nats == pytest.approx(expected, abs=max(4 * found.error, 0.02))
    assert not list(mismatches(model(LAWS["kernel"], shape="[20]"), None, 0))
    learned = (
        "dgm 1\nmodel M { learn m : real = 0\n observe x : real\n latent z : real ~ normal(m, 1)\n LAW\n loss = ism }"
    )
    compiled = dgmspec.compile(dgmspec.parse(learned.replace("LAW", LAWS["kernel"])), dtype=torch.float64)
    assert not list(mismatches(compiled, None, 0))


def test_verification_and_training_say_it(tmp_path: Path) -> None:
    found = verify(model(LAWS["chain"], shape=""))
    (figure,) = found.data()["measured"]
    assert " measured   M/x->z (markov): x at t = 20 is " in found.text() and figure["nats_per_dim"] < 0.01
    spec = dgmspec.parse(text(LAWS["simulated"], shape="") + "train M { steps = 2; batch = 8 }")
    run = dgmspec.train(spec, data={"x": (3 + torch.randn(64)).numpy()}, out=tmp_path / "run")
    assert run.report["prior_mismatch"][0]["nats_per_dim"] > 0.2
    assert "nats per dimension away from its prior" in run.summary()
