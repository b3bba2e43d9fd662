"""Samplers that need a log-density alone: their stationary laws, what they refuse, and samples whatever the batch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import dgmspec
from dgmspec import cli, lang
from dgmspec.modules.compiled import CompiledModel, UnavailableError

SPEC = Path(__file__).parent.parent / "specs" / "langevin.dgm"


def model(members: str) -> CompiledModel:
    return dgmspec.compile(dgmspec.parse(f"dgm 1\nmodel M {{\n{members}\n}}\n"), seed=0, dtype=torch.float64)


NORMAL = "observe x : real ~ exp(-x^2 / 2)"
MODES = "energy E(x) = -log(0.3 * exp(-(x + 1.5)^2 / 0.5) + 0.7 * exp(-(x - 1)^2))\nobserve x : real ~ exp(-E(x))"
TILTED = "observe x : real[2] ~ exp(-(x[0]^2 - 1.2 * x[0] * x[1] + x[1]^2) / 1.28)"  # correlation 0.6
FLOW = "observe x : real\nlatent z : real ~ normal(0, 1)\nflow z -> x { shift_scale(1, 2) }"


def modes_cdf(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Weights 0.3 · 0.5 and 0.7 · √½, the integrals of both bells less √(2π)."""
    first, second = 0.3 * 0.5, 0.7 * 0.5**0.5
    total = first * stats.norm.cdf(x, -1.5, 0.5) + second * stats.norm.cdf(x, 1, 0.5**0.5)
    found: np.ndarray[Any, Any] = total / (first + second)
    return found


# ---- stationary laws ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "cdf", "step_size"),
    [
        pytest.param(NORMAL, stats.norm.cdf, 1.5, id="normal"),
        pytest.param(MODES, modes_cdf, 1.5, id="two modes"),
        pytest.param(FLOW, stats.norm(1, 2).cdf, 6.0, id="a flow's log_prob"),
    ],
)
def test_mala_draws_from_the_density(members: str, cdf: Callable[..., Any], step_size: float) -> None:
    """Steps so large that the same ones, all taken, have visibly another law."""
    found = model(members).chains(3000, lang.mala(steps=150, step_size=step_size), seed=1)
    assert stats.kstest(found.values.numpy(), cdf).pvalue > 1e-3
    assert 0.3 < float(found.acceptance.mean()) < 0.95
    biased = model(members).sample(3000, seed=1, method=lang.langevin(150, step_size))
    assert stats.kstest(biased.numpy(), cdf).pvalue < 1e-6


def test_mala_in_two_dimensions() -> None:
    x = model(TILTED).sample(3000, seed=2, method=lang.mala(150, 0.8)).numpy()
    for row in (np.array([1.0, 0.0]), np.array([1.0, 1.0]) / 3.2**0.5, np.array([1.0, -1.0]) / 0.8**0.5):
        assert stats.kstest(x @ row, stats.norm.cdf).pvalue > 1e-3


def test_langevin_has_the_law_of_its_steps() -> None:
    """x ← (1 - η/2) x + √η z has variance v = (1 - η/2)² v + η, so v = 1 / (1 - η/4); `mala` has 1."""
    eta = 1.5
    x = model(NORMAL).sample(4000, seed=3, method=lang.langevin(steps=60, step_size=eta)).numpy()
    assert stats.kstest(x, stats.norm(0, (1 - eta / 4) ** -0.5).cdf).pvalue > 1e-3
    assert stats.kstest(x, stats.norm.cdf).pvalue < 1e-6


def test_chains_say_what_they_did() -> None:
    found = model(NORMAL).chains(50, lang.mala(20, 1e-4), seed=0)
    assert float(found.acceptance.mean()) > 0.999
    torch.testing.assert_close(found.log_density, -(found.values**2) / 2)
    free = model(NORMAL).chains(50, lang.langevin(20, 1e-4, start=3), seed=0)
    assert bool((free.acceptance == 1).all()) and 2 < float(free.values.std()) < 4


# ---- models ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [lang.langevin(10, 0.1), lang.mala(10, 1.5)], ids=["langevin", "mala"])
def test_samples_depend_on_seed_and_index_alone(method: Any) -> None:
    found = model(TILTED)
    whole = found.sample(300, seed=3, method=method)
    assert found.sample(0, seed=3, method=method).shape == (0, 2)
    parts = [found.sample(n, seed=3, start=start, method=method) for start, n in ((0, 100), (100, 7), (107, 193))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)
    assert not torch.equal(found.sample(300, seed=4, method=method), whole)


def test_a_context_reaches_the_density() -> None:
    found = model("given c : real\nobserve x : real[2] ~ exp(-dot(x - c, x - c) / 2)")
    given = {"c": torch.tensor([-5.0, 5.0])}
    chains = found.chains(400, lang.mala(60, 1.0), given, seed=0)
    assert chains.values.shape == (400, 2, 2) and chains.acceptance.shape == (400, 2)
    torch.testing.assert_close(chains.values.mean((0, 2)), given["c"].double(), rtol=0, atol=0.2)


def test_a_continuous_flow_has_a_slope_to_follow() -> None:
    found = model(
        "observe x : real[2]\nlatent z : real[2] ~ normal(0, 1)\n"
        "ode x -> z over t in 0..1 { velocity(x) = -x; solver = rk4(steps = 4); trace = exact }"
    )
    x = torch.tensor([[0.5, -1.0]], dtype=torch.float64)
    torch.testing.assert_close(found.score(x), -x * float(np.exp(-2)), rtol=1e-3, atol=1e-3)
    chains = found.chains(20, lang.mala(5, 0.5), seed=0)
    assert bool(chains.values.isfinite().all()) and float(chains.acceptance.mean()) > 0.5


def test_the_score_of_an_energy() -> None:
    found = model("energy E(x) = x[0]^4 / 4 + x[1]^2\nobserve x : real[2] ~ exp(-E(x))")
    x = torch.tensor([[2.0, 3.0]], dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(found.score(x), torch.tensor([[-8.0, -6.0]], dtype=torch.float64))
    torch.testing.assert_close(found.log_density(x), torch.tensor([-13.0], dtype=torch.float64))
    with pytest.raises(UnavailableError, match="mala"):
        found.sample(2)


def test_a_target_beside_an_arrow_is_not_what_chains_follow() -> None:
    found = model(FLOW.replace("x : real\n", "x : real ~ exp(-(x - 50)^2)\n") + "\nloss = reverse_kl")
    x = torch.zeros(1, dtype=torch.float64)
    torch.testing.assert_close(found.score(x), torch.tensor([0.25], dtype=torch.float64))


def test_chains_that_leave_the_numbers_are_no_samples() -> None:
    with pytest.raises(ValueError, match="step_size"):
        model("observe x : real ~ exp(-x^4)").sample(5, seed=0, method=lang.langevin(50, 5.0))


def test_the_command_line_says_what_was_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dgmspec.compile(dgmspec.load(SPEC), seed=0).save(tmp_path / "model")
    assert cli.run(["sample", str(tmp_path / "model"), "-n", "50", "-o", str(tmp_path / "x.npy")]) == 0
    said = capsys.readouterr()
    share = re.search(r"the chains took \d+% of their steps", said.out + said.err)
    assert share is not None and np.load(tmp_path / "x.npy").shape == (50, 2)
    assert cli.run(["sample", str(tmp_path / "model"), "-n", "50", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["result"]
    found = dgmspec.compile(dgmspec.load(SPEC), seed=0).chains(50, lang.mala(300, 0.3), seed=0)
    assert result["acceptance"] == pytest.approx(float(found.acceptance.mean()), abs=1e-6)


# ---- refusals -------------------------------------------------------------------------------------------------------

NET = "velocity(x, t) = mlp(8); solver = rk4(steps = 2); trace = hutchinson"
LACKING = {
    "labels": ("observe x : category(3) ~ categorical(logits = [0, 1, 2])", "leave `method`"),
    "angles": ("observe x : circle ~ von_mises(0, 1)", "leave `method`"),
    "no prior": ("observe x : real[2]; latent z : real[2]; flow x -> z { actnorm }", "exp(-E(x))"),
    "a constant": ("observe x : real[2] ~ exp(-1)", "falls far out"),
    "a bound": (
        "observe x : real[2]; latent z : real[2] ~ normal(0, 1)\ngenerate x | z ~ normal(mlp(4))\n"
        "infer z | x ~ normal(mlp(4))",
        "leave `method`",
    ),
    "an estimate": (
        f"observe x : real[2]; latent z : real[2] ~ normal(0, 1); ode x -> z over t in 0..1 {{ {NET} }}",
        "trace = exact",
    ),
}


@pytest.mark.parametrize("name", LACKING)
def test_a_density_to_follow_is_needed(name: str) -> None:
    members, help_ = LACKING[name]
    text = f"dgm 1\nmodel M {{\n{members}\n}}\nsample M {{ method = mala(10, 0.5) }}\n"
    found = [d for d in dgmspec.diagnose(text).diagnostics if d.code == "DGM715"]
    assert len(found) == 1 and help_ in found[0].help[0]
    with pytest.raises(UnavailableError, match="mala"):
        model(members).sample(2, method=lang.mala(10, 0.5))


def test_of_several_variables_all_but_one_are_known() -> None:
    two = "observe x : real ~ normal(0, 1); observe y : real ~ normal(0, 1)"
    found = model(two)
    with pytest.raises(UnavailableError, match="given="):
        found.sample(2, method=lang.mala(10, 0.5))
    assert found.sample(2, {"y": torch.zeros(3)}, 0, method=lang.mala(10, 0.5)).shape == (2, 3)


@pytest.mark.parametrize("call", ["ddim(5)", "solve(rk4(steps = 3))", "annealed_langevin"])
def test_other_samplers_need_their_arrow(call: str) -> None:
    text = f"dgm 1\nmodel M {{\n{FLOW}\n}}\nsample M {{ method = {call} }}\n"
    assert [d.code for d in dgmspec.diagnose(text).diagnostics] == ["DGM715"]


@pytest.mark.parametrize("call", ["mala(10, 0)", "langevin(10, -1)", "langevin(0, 1)", "mala(10, 1, start = 0)"])
def test_sizes_are_positive(call: str) -> None:
    text = f"dgm 1\nmodel M {{\n{NORMAL}\n}}\nsample M {{ method = {call} }}\n"
    assert [d.severity for d in dgmspec.diagnose(text).diagnostics] == ["error"]
