"""Hamiltonian Monte Carlo: what keeps its law right, what its warm-up finds, and posteriors drawn by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import dgmspec
from dgmspec import cli, lang
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.convergence import effective_size, split_r_hat
from dgmspec.modules.hamiltonian import DualAveraging, leapfrog, look, transition, windows
from dgmspec.ops.hamiltonian import Hmc

SPEC = Path(__file__).parent.parent / "specs" / "langevin.dgm"


def model(members: str) -> CompiledModel:
    return dgmspec.compile(dgmspec.parse(f"dgm 1\nmodel M {{\n{members}\n}}\n"), seed=0, dtype=torch.float64)


def slope(log_density: Callable[[Tensor], Tensor]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The field of a log-density, differentiable again."""
    return lambda x: (log_density(x), torch.func.grad(lambda y: log_density(y).sum())(x))


def banana(x: Tensor) -> Tensor:
    return -(x[:, 0] ** 2) / 2 - 2 * (x[:, 1] - x[:, 0] ** 2 / 2) ** 2


# ---- the leapfrog ---------------------------------------------------------------------------------------------------


def orbit(x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """Seven steps with masses that differ by coordinate."""
    field, inverse_mass = slope(banana), torch.tensor([[0.5, 2.0]], dtype=torch.float64)
    there, end = leapfrog(field, look(field, x), p, torch.full((len(x), 1), 0.2, dtype=x.dtype), inverse_mass, 7)
    return there.x, end


def test_the_leapfrog_runs_backwards() -> None:
    torch.manual_seed(0)
    x, p = torch.randn(64, 2, dtype=torch.float64), torch.randn(64, 2, dtype=torch.float64)
    there, end = orbit(x, p)
    assert float((there - x).abs().mean()) > 0.3
    back, start = orbit(there, -end)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-12)
    torch.testing.assert_close(-start, p, rtol=0, atol=1e-12)


def test_the_leapfrog_keeps_volume() -> None:
    torch.manual_seed(1)

    def flow(state: Tensor) -> Tensor:
        return torch.cat([part.squeeze(0) for part in orbit(state[None, :2], state[None, 2:])])

    for state in torch.randn(5, 4, dtype=torch.float64):
        jacobian: Any = torch.func.jacrev(flow)(state)
        assert abs(float(torch.linalg.slogdet(jacobian).logabsdet)) < 1e-11


def test_the_leapfrog_keeps_energy_to_second_order() -> None:
    """Half the step, a quarter of the error."""
    x, p = torch.full((1, 2), 0.7, dtype=torch.float64), torch.full((1, 2), 0.4, dtype=torch.float64)
    field, ones, errors = slope(banana), torch.ones(1, 2, dtype=torch.float64), []
    for halvings in range(3):
        step, count = 0.1 / 2**halvings, 8 * 2**halvings
        there, end = leapfrog(field, look(field, x), p, torch.full((1, 1), step, dtype=torch.float64), ones, count)
        gained = (end.square().sum() / 2 - there.value) - (p.square().sum() / 2 - banana(x))
        errors.append(abs(float(gained)))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15) and errors[1] / errors[2] == pytest.approx(4, rel=0.05)


# ---- the accepted step ----------------------------------------------------------------------------------------------


def moved(log_density: Callable[[Tensor], Tensor], x: Tensor, step: float, count: int) -> tuple[Tensor, float]:
    """One step of chains from `x`, and the share that was taken."""
    generator, field = torch.Generator().manual_seed(5), slope(log_density)
    op = Hmc(steps=1, step_size=step, leapfrog=count)
    kept, _, taken, _ = transition(
        op,
        field,
        look(field, x),
        torch.full((len(x),), step, dtype=x.dtype),
        torch.ones_like(x),
        lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype),
        lambda: torch.rand(len(x), generator=generator, dtype=x.dtype),
    )
    return kept.x, float(taken.double().mean())


def test_a_step_is_in_detailed_balance() -> None:
    """From draws of p, (x, x') and (x', x) have one law: E f(x) g(x') = E g(x) f(x'); and x' has the law of x."""
    generator = torch.Generator().manual_seed(2)
    x = torch._standard_gamma(torch.full((200_000, 1), 3.0, dtype=torch.float64), generator=generator).log()

    def density(u: Tensor) -> Tensor:
        return (3 * u - u.exp()).sum(1)  # the logarithm of a gamma law

    y, taken = moved(density, x, 1.1, 3)
    assert 0.2 < taken < 0.9  # so that what is not taken matters
    tests: list[tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = [
        (lambda u: u, lambda u: u**2),
        (lambda u: u, lambda u: (u > 1).double()),
        (lambda u: u.cos(), lambda u: u.exp()),
    ]
    for f, g in tests:
        off = f(x) * g(y) - g(x) * f(y)
        assert abs(float(off.mean() / (off.std() / len(x) ** 0.5))) < 4
    for f in (lambda u: u, lambda u: u**2, lambda u: u.exp()):
        off = f(y) - f(x)
        assert abs(float(off.mean() / (off.std() / len(x) ** 0.5))) < 4


@pytest.mark.parametrize("warmup", [0, 15, 60])
def test_a_normal_law_is_stationary(warmup: int) -> None:
    """z-tests of means, variances and the correlation 0.6, of chains whose steps are large or found in the warm-up."""
    tilted = model("observe x : real[2] ~ exp(-(x[0]^2 - 1.2 * x[0] * x[1] + x[1]^2) / 1.28)")
    n = 3000
    found = tilted.chains(n, lang.hmc(steps=30, step_size=0.9, leapfrog=3, warmup=warmup), seed=3)
    x = found.values
    assert float(found.acceptance.mean()) < 0.995
    for values, mean, variance in (
        (x[:, 0], 0.0, 1.0), (x[:, 1], 0.0, 1.0), (x[:, 0] ** 2, 1.0, 2.0), (x[:, 0] * x[:, 1], 0.6, 1.36)
    ):  # fmt: skip
        assert abs(float(values.mean()) - mean) < 4 * (variance / n) ** 0.5


def test_chains_that_never_move_are_caught_by_r_hat() -> None:
    found = model("observe x : real ~ exp(-x^2 / 2)").chains(200, lang.hmc(20, 1e-6, warmup=0), seed=0)
    assert found.r_hat is not None and float(found.r_hat) > 5
    good = model("observe x : real ~ exp(-x^2 / 2)").chains(200, lang.hmc(60, 0.3, warmup=40), seed=0)
    assert good.r_hat is not None and float(good.r_hat) < 1.1


# ---- the warm-up ----------------------------------------------------------------------------------------------------


def test_the_warm_up_finds_scales_and_a_step_size() -> None:
    """Standard deviations of 0.01 and 10, from a step size that is wrong for both."""
    wide = model("observe x : real[2] ~ exp(-(x[0] / 0.01)^2 / 2 - (x[1] / 10)^2 / 2)")
    found = wide.chains(800, lang.hmc(steps=60, step_size=1.0, warmup=250), seed=1)
    x = found.values
    assert stats.kstest(x[:, 0].numpy(), stats.norm(0, 0.01).cdf).pvalue > 1e-3
    assert stats.kstest(x[:, 1].numpy(), stats.norm(0, 10).cdf).pvalue > 1e-3
    assert found.step_size is not None and 0.2 < float(found.step_size.median()) < 2
    assert 0.7 < float(found.acceptance.mean()) < 0.999


def test_dual_averaging_comes_to_its_target() -> None:
    """Chances that fall with the step size as exp(-ε) have the mean 0.8 at ε = -log 0.8."""
    tuned = DualAveraging(torch.full((3,), 1e-4, dtype=torch.float64), 0.8)
    for _ in range(1000):
        tuned.update((-tuned.log_step.exp()).exp())
    torch.testing.assert_close(tuned.final, torch.full((3,), -np.log(0.8)), rtol=0.05, atol=0, check_dtype=False)


def test_windows_double() -> None:
    assert windows(19) == () and windows(20) == (3, 14)
    assert windows(100) == (15, 70)
    assert windows(1000) == (75, 100, 150, 250, 450, 950)


# ---- convergence ----------------------------------------------------------------------------------------------------


def test_effective_draws_of_a_known_chain() -> None:
    """x_t = φ x_{t-1} + √(1 - φ²) z is worth (1 - φ) / (1 + φ) draws a step."""
    rng = np.random.default_rng(0)
    for phi in (0.0, 0.6, -0.4):
        x = np.empty((2000, 8, 1))
        x[0] = rng.normal(size=(8, 1))
        for t in range(1, 2000):
            x[t] = phi * x[t - 1] + (1 - phi**2) ** 0.5 * rng.normal(size=(8, 1))
        values = torch.from_numpy(x)
        assert float(effective_size(values)) / 16_000 == pytest.approx((1 - phi) / (1 + phi), rel=0.15)
        assert float(split_r_hat(values)) < 1.02
    shifted = torch.from_numpy(x + np.arange(8)[:, None])
    assert float(split_r_hat(shifted)) > 2 and float(effective_size(shifted)) < 20


# ---- supports and posteriors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "cdf"),
    [
        pytest.param("observe x : positive ~ exp(2 * log(x) - 3 * x)", stats.gamma(3, scale=1 / 3).cdf, id="gamma"),
        pytest.param("observe x : unit ~ exp(log(x) + 2 * log(1 - x))", stats.beta(2, 3).cdf, id="beta"),
        pytest.param("observe x : interval(-1, 3) ~ uniform(-1, 3)", stats.uniform(-1, 4).cdf, id="uniform"),
    ],
)
def test_variables_on_intervals(members: str, cdf: Callable[..., Any]) -> None:
    """As numbers of ℝ, with the slope of the map: without it the law is another."""
    found = model(members).chains(1500, lang.hmc(steps=20, step_size=0.4, leapfrog=4, warmup=20), seed=2)
    assert stats.kstest(found.values.numpy(), cdf).pvalue > 1e-3
    mala = model(members).sample(1500, seed=2, method=lang.mala(60, 0.8))
    assert stats.kstest(mala.numpy(), cdf).pvalue > 1e-3
    at = model(members).log_density(found.values)
    torch.testing.assert_close(found.log_density, at)


def test_a_posterior_in_closed_form() -> None:
    """x = W θ + 0.5 z as a flow conditioned by θ: θ | x is normal with precision S⁻¹ + WᵀW / 0.25."""
    found = model(
        "observe theta : real[2] ~ normal([0.5, 0], [1, 2]); observe x : real[3]\n"
        "net m(theta) : real[3] = mlp(); generate x | theta ~ normal(m(theta), 0.5)\nloss = nll(x)"
    )
    w = torch.tensor([[1.0, -0.5], [0.3, 0.8], [0.0, 1.0]], dtype=torch.float64)
    b = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    with torch.no_grad():
        found.get_parameter("M/m/0/weight").copy_(w)
        found.get_parameter("M/m/0/bias").copy_(b)
    x = torch.tensor([[1.0, -0.5, 2.0], [0.0, 3.0, 0.5]], dtype=torch.float64)
    chains = found.chains(1500, lang.hmc(steps=30, step_size=0.2, leapfrog=5, warmup=40), {"x": x}, seed=4)
    assert chains.values.shape == (1500, 2, 2) and chains.acceptance.shape == (1500, 2)
    start = torch.tensor([[1.0, 0.0], [0.0, 0.25]], dtype=torch.float64)
    covariance = torch.linalg.inv(start + w.T @ w / 0.25)
    for row in range(2):
        shift = start @ torch.tensor([0.5, 0.0], dtype=torch.float64) + w.T @ (x[row] - b) / 0.25
        mean, values = covariance @ shift, chains.values[:, row]
        z = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), (values - mean).T, upper=False)
        for coordinate in z.numpy():
            assert stats.kstest(coordinate, stats.norm.cdf).pvalue > 1e-3
        assert abs(float((z[0] * z[1]).mean())) < 4 / 1500**0.5


def test_samples_depend_on_seed_and_index_alone() -> None:
    found, method = model("observe x : real[2] ~ exp(-dot(x, x)^2)"), lang.hmc(5, 0.2, leapfrog=3, warmup=25)
    whole = found.sample(300, seed=3, method=method)
    parts = [found.sample(n, seed=3, start=start, method=method) for start, n in ((0, 100), (100, 7), (107, 193))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-9, atol=1e-9)
    assert found.sample(0, seed=3, method=method).shape == (0, 2)


def test_the_command_line_draws_from_a_spec_that_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.npy"
    command = ["sample", str(SPEC), "-n", "40", "--sampler", "hmc(30, 0.2, warmup = 30)", "-o", str(out)]
    assert cli.run(command) == 0
    said = capsys.readouterr().err
    assert "after the warm-up" in said and "R-hat" in said and np.load(out).shape == (40, 2)
    assert cli.run([*command[:-2], "--json"]) == 0
    assert {"acceptance", "r_hat", "effective_draws"} <= json.loads(capsys.readouterr().out)["result"].keys()
    for wrong, words in (("hcm(1, 1)", "did you mean `hmc`"), ("hmc(", "no expression"), ("hmc(0, 1)", "steps")):
        assert cli.run(["sample", str(SPEC), "--sampler", wrong]) == 2
        assert words in capsys.readouterr().err
    assert cli.run(["sample", str(SPEC.parent / "realnvp.dgm")]) == 2
    assert "dgmspec train" in capsys.readouterr().err


def test_the_command_line_draws_a_posterior(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "dgm 1\nmodel P {\n observe a : positive ~ gamma(2, 1)\n observe x : real[2]\n generate x | a ~ normal(a, 1)\n"
        "}\nsample P { method = hmc(10, 0.3, warmup = 20) }\n"
    )
    spec, table = tmp_path / "p.dgm", tmp_path / "x.csv"
    spec.write_text(text)
    table.write_text("x[0],x[1]\n3,2.5\n")
    for given in ("x=3,2.5", str(table)):
        assert cli.run(["sample", str(spec), "-n", "20", "--given", given]) == 0
        header, *rows = capsys.readouterr().out.splitlines()
        assert header == "a" and len(rows) == 20 and all(float(row) > 0 for row in rows)
    table.write_text("x[0],x[1]\n3,2.5\n1,1\n")
    for given, words in ((str(table), "2 rows"), ("y=1", "given variable `y`"), ("x=1", "2 numbers")):
        assert cli.run(["sample", str(spec), "--given", given]) == 2
        assert words in capsys.readouterr().err
