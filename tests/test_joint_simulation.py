"""An `sde` over several variables, or one whose coordinates mix, that runs forwards or has no formula: simulated."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import solve_ivp
from torch import Tensor
from torch.distributions import MultivariateNormal

import dgmspec
from dgmspec import lang
from dgmspec.algebra.paths.affine import Times
from dgmspec.algebra.paths.slopes import own_slope
from dgmspec.checks.explain import explain
from dgmspec.modules.asked import asked_sampler
from dgmspec.modules.compiled import CompiledModel, UnavailableError
from dgmspec.modules.paths.process import field_of
from dgmspec.modules.paths.unsolved import Reversed, run_back
from dgmspec.ops.paths.simulation import Simulation
from dgmspec.ops.paths.unsolved import Unsolved
from tests.orders import FINE, end, order, scheme_of
from tests.paths import formula

SPECS = Path(__file__).parent.parent / "specs"


def text(
    drift: str, diffusion: str, rest: str = "", size: str = "real", priors: tuple[str, str] = ("normal(0, 1)",) * 2
) -> str:
    head = "diffusion(a, b, t)" if {"a", "b"} & {*diffusion} else "diffusion(t)"
    return (
        f"dgm 1\nmodel M {{\n latent a0 : {size} ~ {priors[0]}\n latent b0 : {size} ~ {priors[1]}\n"
        f" observe a : {size}\n observe b : {size}\n sde [a0, b0] -> [a, b] over t in 0..1 {{\n"
        f"  drift(a, b, t) = {drift}; {head} = {diffusion}{'; ' * bool(rest)}{rest}\n }}\n}}\n"
    )


def model(drift: str, diffusion: str, rest: str = "", **options: Any) -> CompiledModel:
    return dgmspec.compile(dgmspec.parse(text(drift, diffusion, rest, **options)), dtype=torch.float64)


def vector(drift: str, diffusion: str, rest: str = "", prior: str = "normal([1, -1], [0.3, 0.5])") -> CompiledModel:
    """One whose coordinates mix."""
    body = f"drift(x, t) = {drift}; diffusion(t) = {diffusion}{'; ' * bool(rest)}{rest}"
    ends = f"latent x0 : real[2] ~ {prior}; observe x : real[2]"
    return dgmspec.compile(
        dgmspec.parse(f"dgm 1\nmodel M {{ {ends}; sde x0 -> x over t in 0..1 {{ {body} }} }}\n"), dtype=torch.float64
    )


def step_of(found: CompiledModel) -> Simulation:
    op = found.simulation().op
    assert isinstance(op, Simulation)
    return op


def slow(*values: Any) -> Any:
    """A case of the slow run."""
    return pytest.param(*values, marks=pytest.mark.slow)


# ---- schemes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "expected"), [slow("euler_maruyama", 1.0), slow("heun", 1.0), ("srk", 1.5)])
def test_strong_orders_with_additive_noise(name: str, expected: float) -> None:
    """A pendulum with noise of its own in both parts, against a fine path of the same motion."""
    op, start = step_of(model("[b, sin(4 * a) - b]", "[0.8, 0.5 + t]")), (1.0, -0.5)
    exact = end(op, scheme_of("srk"), FINE, start)
    assert order(op, scheme_of(name), exact, start) == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize("calculus", ["ito", slow("stratonovich")])
@pytest.mark.parametrize(("name", "expected"), [slow("euler_maruyama", 0.5), ("milstein", 1.0), slow("heun", 1.0)])
def test_strong_orders_with_diagonal_noise(name: str, expected: float, calculus: str) -> None:
    """Hares and lynxes."""
    law = ("[a * (1 - b) / 2, b * (a - 1) / 2]", "[0.8 * a, 0.9 * b]", f"calculus = {calculus}")
    op, start = step_of(model(*law)), (1.0, 1.5)
    exact = end(op, scheme_of("milstein"), FINE, start)
    assert order(op, scheme_of(name), exact, start, (4, 8, 16, 32)) == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize(("name", "expected"), [slow("euler_maruyama", 1.0), slow("heun", 1.0), ("srk", 1.5)])
def test_strong_orders_with_a_matrix_of_noise(name: str, expected: float) -> None:
    found = vector("[sin(3 * x[1]), -sin(3 * x[0])]", "[[0.8, 0.3 * t], [0.3, 0.7]]")
    op, start = step_of(found), (1.0, -0.5)
    exact = end(op, scheme_of("srk"), FINE, start)
    assert order(op, scheme_of(name), exact, start) == pytest.approx(expected, abs=0.2)


PAIR = (("a", (2,)), ("b", ()))


@pytest.mark.parametrize(
    "written", ["[0.3 * a * b, tanh(b)]", "[[a[0]^2, a[0] * a[1]], sin(b) + sum(a)]", "[1, 2 + t]"]
)
def test_the_slope_of_a_list_is_that_of_autograd(written: str) -> None:
    law, x = formula(written, "a, b, t"), torch.randn(7, 3, dtype=torch.float64)
    found = own_slope(law, PAIR, Times("t", 0.0, 1.0))
    jacobian = torch.func.vmap(torch.func.jacrev(lambda one: field_of(law, PAIR, "t")(one[None], 0.3)[0]))(x)
    torch.testing.assert_close(field_of(found.formula, PAIR, "t")(x, 0.3), torch.diagonal(jacobian, dim1=1, dim2=2))
    others = jacobian - torch.diag_embed(torch.diagonal(jacobian, dim1=1, dim2=2))
    assert not found.own or not others.any()


def test_the_gradient_by_a_part_is_derived() -> None:
    found = model("[b, -grad(a^4 / 4 + a * b^2, a) - b]", "[0, 1]")
    op = step_of(found)
    x = torch.tensor([[2.0, 3.0]], dtype=torch.float64)
    assert field_of(op.drift, op.parts, "t")(x, 0.0).tolist() == [[3.0, -8.0 - 9.0 - 3.0]]


# ---- laws -----------------------------------------------------------------------------------------------------------


def moments(a: np.ndarray, b: np.ndarray, g: np.ndarray, mean: np.ndarray, cov: np.ndarray, t: float) -> Any:
    """Those of dx = (A x + b) dt + G dW, by another solver."""
    d = len(b)

    def slope(_: float, y: np.ndarray) -> np.ndarray:
        spread = a @ y[d:].reshape(d, d)
        return np.concatenate([a @ y[:d] + b, (spread + spread.T + g @ g.T).ravel()])

    y = solve_ivp(slope, (0, t), np.concatenate([mean, cov.ravel()]), "DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    return torch.tensor(y[:d]), torch.tensor(y[d:].reshape(d, d))


@cache
def oscillator(solver: str = "") -> CompiledModel:
    """Damped, driven, and shaken in its velocity alone; two of them, from unlike starts."""
    priors = ("normal([1, -1], 0.3)", "normal(0, [0.2, 0.4])")
    return model("[b, -4 * a - b + [0, 1]]", "[0, 0.8]", solver, size="real[2]", priors=priors)


@pytest.mark.parametrize("t", [0.0, 0.4, 1.0])
def test_the_law_of_an_affine_process_is_derived(t: float) -> None:
    found, generator = oscillator(), torch.Generator().manual_seed(0)
    assert found.density == "exact" and step_of(found).settings.solver is not None
    x = {name: torch.randn(6, 2, generator=generator, dtype=torch.float64) for name in ("a", "b")}
    expected = torch.zeros(6, dtype=torch.float64)
    for i, (loc, scale, push) in enumerate(((1, 0.2, 0), (-1, 0.4, 1))):
        law = (np.array([[0, 1], [-4, -1]]), np.array([0, push]), np.diag([0, 0.8]))
        mean, cov = moments(*law, np.array([loc, 0]), np.diag([0.09, scale**2]), t)
        expected += MultivariateNormal(mean, cov).log_prob(torch.stack((x["a"][:, i], x["b"][:, i]), 1))
    torch.testing.assert_close(found.log_prob(x, t=t), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("solver", [slow(""), "solver = exact(steps = 3)", slow("solver = srk(steps = 30)")])
def test_simulation_has_the_derived_moments(solver: str) -> None:
    found, law = oscillator(solver), (np.array([[0, 1], [-4, -1]]), np.array([0, 1]), np.diag([0, 0.8]))
    for t in (0.4, 1.0):
        drawn = found.sample(20_000, seed=1, t=t)
        x = torch.stack((drawn["a"][:, 1], drawn["b"][:, 1]), 1)
        mean, cov = moments(*law, np.array([-1, 0]), np.diag([0.09, 0.16]), t)
        torch.testing.assert_close(x.mean(0), mean, atol=0.02, rtol=0)
        torch.testing.assert_close(x.T.cov(), cov, atol=0.015, rtol=0)


@pytest.mark.parametrize("solver", ["", slow("solver = heun(steps = 60)")])
def test_noise_may_be_shared_by_the_coordinates_of_a_vector(solver: str) -> None:
    found = vector("[[-2, 1], [0, -1]] @ x + [0, 1]", "[[0.5, 0.2], [0, 0.7]]", solver)
    law = (np.array([[-2, 1], [0, -1]]), np.array([0, 1]), np.array([[0.5, 0.2], [0, 0.7]]))
    mean, cov = moments(*law, np.array([1, -1]), np.diag([0.09, 0.25]), 1.0)
    x = torch.randn(5, 2, dtype=torch.float64)
    torch.testing.assert_close(found.log_prob(x), MultivariateNormal(mean, cov).log_prob(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.sample(20_000, seed=0).T.cov(), cov, atol=0.015, rtol=0)


def test_the_scheme_follows_the_law() -> None:
    laws = {
        "exact": ("[b, -a]", "[0, 1]"),
        "srk": ("[b, -a^3]", "[0, 1]"),
        "milstein": ("[a - a * b, a * b - b]", "[0.1 * a, 0.1 * b]"),
        "euler_maruyama": ("[a, b]", "[b, a]"),
    }
    for name, law in laws.items():
        found = model(*law)
        solver = step_of(found).settings.solver
        assert solver is not None and solver.name == name
        assert f"log_prob {'exact' if name == 'exact' else 'none'}" in explain(found.graph)
    still = model("[-a, -b]", "[0, 1]")  # no noise reaches a, whose law given its start is a point
    assert still.density == "none" and still.sample(3, seed=0)["a"].shape == (3,)


def test_samples_are_the_same_in_any_batch_and_on_their_paths() -> None:
    found = model("[b, -a^3 - b]", "[0, 0.5 + 0.1 * tanh(a)]", "solver = euler_maruyama(steps = 20)", size="real[2]")
    whole, part = found.sample(600, seed=3), found.sample(100, seed=3, start=300)
    for name in ("a", "b"):
        torch.testing.assert_close(part[name], whole[name][300:400], rtol=0, atol=0)
    times, states = found.paths(5, seed=3)
    assert states.shape == (21, 5, 4) and float(times[-1]) == 1.0
    torch.testing.assert_close(states[-1, :, :2], whole["a"][:5])
    torch.testing.assert_close(states[-1, :, 2:], whole["b"][:5])


@pytest.mark.parametrize("solver", [slow("exact(steps = 2)"), slow("milstein(steps = 3)")])
def test_the_program_compiles_to_one_graph(solver: str) -> None:
    law = ("[b, -a]", "[0, 1]") if "exact" in solver else ("[b, -a^3]", "[0.1 * a, 1]")
    found = model(*law, f"solver = {solver}")
    compiled = found.compiled(fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled.sample(5, seed=0), found.sample(5, seed=0))


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("drift(a, b, t)", "drift(a, t)", "DGM675"),
        ("[b, -a]", "b", "DGM675"),
        ("[b, -a]", "[[1, 2], -a]", "DGM310"),
        ("b0 : real ~ normal(0, 1)", "b0 : real ~ laplace(0, 1)", "DGM674"),
        ("b0 : real ~ normal(0, 1)", "b0 : real", "DGM674"),
        ("observe b : real", "latent b : real ~ normal(0, 1)", "DGM642"),
        ("[b, -a]", "[grad(a * b, t), -a]", "DGM647"),
        ("[0, 1]", "[0, 0]", "DGM644"),
        ("[b, -a]", "[b, -a^3]; solver = exact", "DGM654"),
        ("diffusion(t) = [0, 1]", "diffusion(a, b, t) = [b, a]; solver = milstein", "DGM654"),
    ],
)
def test_mistakes_are_told(old: str, new: str, code: str) -> None:
    whole = text("[b, -a]", "[0, 1]")
    assert old in whole
    found = dgmspec.diagnose(whole.replace(old, new)).diagnostics
    assert code in {d.code for d in found}, [str(d) for d in found]


@pytest.mark.parametrize("head", ["markov", "perturb"])
def test_steps_and_kernels_over_several_variables_are_refused(head: str) -> None:
    ends = "observe a : real; observe b : real; latent z : real[2] ~ normal(0, 1)"
    laws = {
        "markov": "t in 1..9 { step(a, t) ~ normal(0.9 * a, 0.4) }",
        "perturb": "t in 0..1 { kernel(a, t) ~ normal(a, t) }",
    }
    (found,) = dgmspec.diagnose(f"dgm 1\nmodel M {{ {ends}; {head} [a, b] -> z over {laws[head]} }}\n").diagnostics
    assert found.code == "DGM676" and "`a` and `b`" in found.help[0] and "`sde`" in found.help[2]


# ---- noising by laws that are not affine ----------------------------------------------------------------------------

BENT = """dgm 1
model M {
    observe x : real
    observe v : real
    latent xT : real ~ normal(0, 1)
    latent vT : real ~ normal(0, 1)
    sde [x, v] -> [xT, vT] over t in 0..3 {
        drift(x, v, t) = [v, -grad(x^4 / 4 - x^2 / 2, x) - 2 * v]
        diffusion(t) = [0, 2]
        learn score(x, v, t) = mlp(8)
        t_eps = 0.01
    }
    loss = LOSS
}
"""
"""Underdamped Langevin dynamics between two wells, whose stationary law is exp(-V(x) - v²/2)."""


@pytest.mark.parametrize("loss", ["ism", slow("ssm")])
def test_a_joint_law_that_bends_is_learned_by_simulated_states(loss: str) -> None:
    found = dgmspec.compile(dgmspec.parse(BENT.replace("LOSS", loss)), seed=0, dtype=torch.float64)
    x = {name: torch.randn(6, dtype=torch.float64) for name in ("x", "v")}
    found.loss(x, seed=0).total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in found.parameters())
    assert found.density == "exact"
    drawn = found.sample(4, seed=0, method=lang.reverse_sde(steps=5))
    assert drawn["x"].shape == (4,) and drawn["v"].isfinite().all()
    with pytest.raises(UnavailableError, match="own are learned, not that of `x`"):
        found.score(torch.zeros(1, 2, dtype=torch.float64), 0.5)


def test_dsm_along_a_joint_law_that_bends_is_refused() -> None:
    assert "DGM647" in {d.code for d in dgmspec.diagnose(BENT.replace("LOSS", "dsm")).diagnostics}
    drawn = BENT.replace("observe v : real", "latent v : real\n    infer v ~ normal(0, 1)").replace("LOSS", "ism")
    assert dgmspec.compile(dgmspec.parse(drawn), seed=0).density == "lower bound"


class Known(Reversed):
    """The exact score of the velocities at stationarity; what the others' is plays no part."""

    def score(self, x: Tensor, t: Any) -> Tensor:
        return torch.stack((torch.full_like(x[:, 0], 7.0), -x[:, 1]), 1)


def test_the_reverse_process_leaves_the_stationary_law() -> None:
    """Started at exp(-V(x) - v²/2), with the score of v alone."""
    found = dgmspec.compile(dgmspec.parse(BENT.replace("LOSS", "ism")), seed=0, dtype=torch.float64)
    net = found.process
    assert isinstance(net.op, Unsolved) and net.op.silent((2,)) == ("x",)
    fine = np.linspace(-3, 3, 6001)
    mass = np.exp(-(fine**4) / 4 + fine**2 / 2)
    cdf = np.cumsum(mass) / mass.sum()
    generator = torch.Generator().manual_seed(0)
    x = torch.tensor(np.interp(torch.rand(3000, generator=generator, dtype=torch.float64).numpy(), cdf, fine))
    start = torch.stack((x, torch.randn(3000, generator=generator, dtype=torch.float64)), 1)
    known = Known(**{name: getattr(net, name) for name in net.__dataclass_fields__})

    def noise() -> Tensor:
        return torch.randn(3000, 2, generator=generator, dtype=torch.float64)

    sampler = asked_sampler(lang.reverse_sde(steps=150, spacing=lang.sym("uniform")))
    back = run_back(sampler, known, start, noise)  # type: ignore[arg-type]  # it runs along paths
    assert stats.kstest(back[:, 0].numpy(), lambda at: np.interp(at, fine, cdf)).pvalue > 1e-3
    assert stats.kstest(back[:, 1].numpy(), stats.norm.cdf).pvalue > 1e-3
    assert float((back - start).abs().mean()) > 0.3


# ---- the spec -------------------------------------------------------------------------------------------------------


def test_what_lotka_and_volterra_conserve_grows_by_the_noise() -> None:
    """E[δ h - γ log h + β l - α log l] grows by (α + γ) σ² / 2 a unit of time, in Itô's calculus."""
    found = dgmspec.compile(dgmspec.load(SPECS / "lotka_volterra.dgm"), dtype=torch.float64)
    values = []
    for t in (0.0, 5.0):
        drawn = found.sample(2000, seed=0, t=t)
        prey, hunters = drawn["hares"], drawn["lynxes"]
        values.append(0.1 * prey - 0.6 * prey.log() + 0.2 * hunters - hunters.log())
    grown = values[1] - values[0]
    expected = (1 + 0.6) * 0.1**2 / 2 * 5
    assert float(grown.mean()) == pytest.approx(expected, abs=4 * float(grown.std()) / 2000**0.5 + 2e-3)
