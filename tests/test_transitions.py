"""Markov transitions as steps: the law that they keep, the weights that they give, their gradients, what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

import dgmspec
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.registry import step_twin
from dgmspec.modules.twin import StepContext, StepTwin
from dgmspec.ops.transitions import Metropolis
from dgmspec.runtime.selfcheck import self_check
from tests.flows import compiled

DOUBLE = torch.float64
WELLS = "energy E(x) = (x[0]^2 - 4)^2 / 4 + 2 * x[1]^2; energy U(x, λ) = (1 - λ) * dot(x, x) / 2 + λ * E(x)"
MOVES = {
    "metropolis": "metropolis({}, scale = 0.8, steps = 4)",
    "hmc": "hmc({}, step_size = 0.3, leapfrog = 3)",
}
each_kind = pytest.mark.parametrize("kind", MOVES)


def annealed(kind: str, arrow: str = "z -> x", tail: str = "") -> str:
    """A flow from noise to two wells, or the same written the other way round."""
    steps = f"repeat 6 as k {{ shift_scale([0.05, -0.1], 1.05); {MOVES[kind].format('U(_, (k + 1) / 6)')} }}"
    if arrow == "x -> z":
        steps = f"inverse {{ {steps} }}"
    return (
        f"dgm 1\nmodel M {{ {WELLS}; observe x : real[2] ~ exp(-E(x)); latent z : real[2] ~ normal(0, 1)\n"
        f"flow {arrow} {{ {steps} }}\n{tail} }}"
    )


def normaliser() -> float:
    """∫ exp(-E) of the wells."""
    x = torch.linspace(-6, 6, 4001, dtype=DOUBLE)
    return float(torch.trapezoid(torch.exp(-((x**2 - 4) ** 2) / 4), x)) * math.sqrt(math.pi / 2)


def energy(x: Tensor) -> Tensor:
    return (x[:, 0] ** 2 - 4) ** 2 / 4 + 2 * x[:, 1] ** 2


def deviations(values: Tensor, expected: float) -> float:
    """How far a mean is from what it should be, in standard errors."""
    return float((values.mean() - expected).abs() / (values.std() / math.sqrt(len(values))))


# ---- weights --------------------------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("arrow", ["z -> x", "x -> z"])
@torch.no_grad()
def test_weights_of_samples_give_the_normaliser_and_means_of_the_target(kind: str, arrow: str) -> None:
    model = compiled(annealed(kind, arrow))
    x, log_q = model.sample_and_log_prob(10_000, seed=0)
    weights = torch.exp(-energy(x) - log_q) / normaliser()
    assert 0.1 < float(weights.std()) < 5
    assert deviations(weights, 1) < 4.5
    assert deviations(weights * (x[:, 1] ** 2 - 0.25), 0) < 4.5
    assert deviations(weights * torch.tanh(x[:, 0]), 0) < 4.5


@each_kind
@torch.no_grad()
def test_draws_of_the_density_average_to_that_of_the_samples(kind: str) -> None:
    """∫ q = 1 and ∫ q f is the mean of f over samples, q the mean of exp over draws of `log_prob`, by points of a wider
    law."""
    model = compiled(annealed(kind))
    wide = Normal(0.0, torch.tensor([2.0, 1.0], dtype=DOUBLE))
    points = wide.scale * torch.randn(20_000, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    ratios = torch.exp(model.log_prob(points, seed=1) - wide.log_prob(points).sum(1))
    assert model.density == "lower bound"
    assert deviations(ratios, 1) < 4.5
    samples = model.sample(20_000, seed=2)
    for f in (lambda x: torch.cos(x[:, 0]), lambda x: torch.tanh(x[:, 1] ** 2), lambda x: (x[:, 0] > 1).double()):
        one, other = ratios * f(points), f(samples)
        error = math.sqrt(float(one.var() / len(one) + other.var() / len(other)))
        assert abs(float(one.mean() - other.mean())) < 4.5 * error


@pytest.mark.parametrize("step", ["metropolis(dot(_, _) / 2, 0.9, steps = 3)", "hmc(dot(_, _) / 2, 0.4, steps = 2)"])
@torch.no_grad()
def test_moves_that_keep_the_prior_leave_its_density_exact(step: str) -> None:
    text = f"dgm 1\nmodel M {{ observe x : real[3]; latent z : real[3] ~ normal(0, 1)\nflow x -> z {{ {step} }} }}"
    model = compiled(text)
    x, log_q = model.sample_and_log_prob(2_000, seed=0)
    expected = Normal(0.0, 1.0).log_prob(x).sum(1)
    torch.testing.assert_close(log_q, expected)
    torch.testing.assert_close(model.log_prob(x, seed=5), expected)
    assert deviations(x.square().sum(1), 3) < 4.5
    z = model.encode(x, seed=1)
    assert bool((z != x).any(1).double().mean() > 0.5)
    assert torch.equal(model.sample(300, seed=0), x[:300])
    assert torch.equal(model.sample(50, seed=0, start=250), x[250:300])


@torch.no_grad()
def test_more_draws_tighten_the_bound() -> None:
    model = compiled(annealed("metropolis"))
    x = model.sample(400, seed=0)
    one, many = (model.log_prob(x, samples=n, seed=1).mean() for n in (1, 12))
    assert float(one) + 0.01 < float(many)


@torch.no_grad()
def test_states_without_an_energy_stay_and_cost_nothing() -> None:
    text = (
        "dgm 1\nmodel M { observe x : real[1]; latent z : real[1] ~ normal(0, 1)\n"
        "flow x -> z { metropolis(sum(log(_)^2), 0.5, steps = 3); hmc(sum(log(_)^2), 0.3, steps = 2) } }"
    )
    model = compiled(text)
    x = torch.tensor([[-1.0], [2.0]], dtype=DOUBLE).repeat(50, 1)
    z = model.encode(x, seed=0)
    assert torch.equal(z[::2], x[::2]) and bool((z[1::2] > 0).all()) and bool((z[1::2] != x[1::2]).any())
    torch.testing.assert_close(model.log_prob(x, seed=0)[::2], Normal(0.0, 1.0).log_prob(x[::2, 0]))


# ---- what else an energy reads --------------------------------------------------------------------------------------


@torch.no_grad()
def test_an_energy_reads_the_context_and_learned_numbers() -> None:
    text = (
        "dgm 1\nmodel M { learn a : positive = 2; given k : category(3); given c : real[2]\n"
        "observe x : real[2]; latent z : real[2] ~ normal(0, 1)\n"
        "flow z -> x | k, c { metropolis(a * dot(_ - c, _ - c) / 2, 0.6, steps = 100) } }"
    )
    model = dgmspec.compile(dgmspec.parse(text), dtype=DOUBLE)
    given = {"k": torch.tensor([0, 2]), "c": torch.tensor([[1.0, 0.0], [-1.0, 2.0]], dtype=DOUBLE)}
    x = model.sample(3_000, given=given, seed=0)
    assert bool((x.mean(0) - given["c"]).abs().max() < 0.08)
    assert bool((x.var(0) - 0.5).abs().max() < 0.06)
    assert list(model.state_dict()) == ["M/a"]


def test_gradients_are_those_of_the_taken_moves() -> None:
    for kind in MOVES:
        steps = f"elementwise(affine); {MOVES[kind].format('a * E(_) + f(_)')}; elementwise(affine)"
        model = compiled(
            f"dgm 1\nmodel M {{ learn a : positive = 0.7; net f(y) : real = mlp(4)\n"
            f"{WELLS.partition(';')[0]}; observe x : real[2] ~ exp(-E(x))\n"
            f"latent z : real[2] ~ normal(0, 1)\nflow z -> x {{ {steps} }}\nloss = reverse_kl }}"
        )
        loss = model.loss({}, count=16, seed=3).total
        found = torch.autograd.grad(loss, list(model.parameters()))
        for parameter, gradient in zip(model.parameters(), found, strict=True):
            index = (0,) * parameter.dim()
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter[index] += sign * 1e-6
                    ends.append(float(model.loss({}, count=16, seed=3).total))
                    parameter[index] -= sign * 1e-6
            slope = (ends[0] - ends[1]) / 2e-6
            assert float(gradient[index]) == pytest.approx(slope, rel=1e-5, abs=1e-6), kind


def test_gradients_stay_finite_where_orbits_are_lost() -> None:
    steps = "elementwise(affine); hmc(sum(_^4), 1.5, leapfrog = 8, steps = 3); metropolis(sum(exp(_^2)), 30, steps = 3)"
    text = (
        f"dgm 1\nmodel M {{ observe x : real[2] ~ exp(-dot(x, x)); latent z : real[2] ~ normal(0, 1)\n"
        f"flow z -> x {{ {steps} }}\nloss = reverse_kl }}"
    )
    model = dgmspec.compile(dgmspec.parse(text))
    loss = model.loss({}, count=512, seed=0).total
    loss.backward()
    assert bool(torch.isfinite(loss)) and all(bool(torch.isfinite(p.grad).all()) for p in model.parameters())


@pytest.mark.slow
@each_kind
def test_a_compiled_graph_has_the_same_gradients(kind: str) -> None:
    steps = f"elementwise(affine); {MOVES[kind].format('E')}; elementwise(affine)"
    model = compiled(annealed(kind, tail="loss = reverse_kl").replace("repeat 6", f"{steps}; repeat 1", 1))
    found = []
    for one in (model, model.compiled(backend="aot_eager")):
        one.zero_grad()
        total = one.pull({}, count=32, seed=1, step=0)
        found.append([total, *(p.grad.clone() for p in one.parameters())])
        one.zero_grad()
        one.loss({}, count=32, seed=1, step=0).total.backward()
        found.append([total, *(p.grad.clone() for p in one.parameters())])
    assert all(bool(g.abs().sum() > 0) for g in found[0])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


# ---- training -------------------------------------------------------------------------------------------------------


def trained(steps: str) -> CompiledModel:
    """A flow in one dimension fitted to two modes far apart, equally long whatever its steps."""
    text = (
        "dgm 1\nmodel M {\nenergy E(x) = -logsumexp([-8 * (x - 1.5)^2, -8 * (x + 1.5)^2])\n"
        "energy U(x, λ) = (1 - λ) * x^2 / 2 + λ * E(x)\n"
        "observe x : real ~ exp(-E(x)); latent z : real ~ normal(0, 1)\n"
        f"flow z -> x {{ {steps} }}\nloss = reverse_kl }}"
    )
    torch.manual_seed(0)
    model = dgmspec.compile(dgmspec.parse(text), dtype=DOUBLE)
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    for step in range(60):
        optimizer.zero_grad()
        model.loss({}, count=128, seed=0, step=step).total.backward()
        optimizer.step()
    return model


def test_moves_between_maps_bring_the_flow_nearer_to_a_target_of_two_modes() -> None:
    """KL(q, p) in nats, of the whole way where there are moves, which is no less than that of the samples alone."""
    log_z = math.log(2 * math.sqrt(math.pi / 8))
    divergences = []
    for moves in ("", "; metropolis(U(_, (k + 1) / 12), 0.5, steps = 5)"):
        model = trained(f"repeat 12 as k {{ elementwise(affine){moves} }}")
        with torch.no_grad():
            divergences.append(float(model.loss({}, count=4_000, seed=1).total) + log_z)
    assert 0 < divergences[1] < divergences[0] - 0.2


def test_a_posterior_may_move_by_an_energy() -> None:
    """A bound of log p(x) that is known: z ~ N(0, 1), x ~ N(z, 1)."""
    text = (
        "dgm 1\nmodel M { observe x : real[1]; latent z : real[1] ~ normal(0, 1); latent u : real[1]\n"
        "generate x | z ~ normal(z, 1); infer u | x ~ normal(x / 4, 1)\n"
        "flow u -> z | x { metropolis(0.8 * (dot(_, _) + dot(_ - x, _ - x)) / 2, 0.7, steps = 10) }\nloss = elbo }"
    )
    model = dgmspec.compile(dgmspec.parse(text), dtype=DOUBLE)
    x = torch.linspace(-2, 2, 3, dtype=DOUBLE)[:, None]
    with torch.no_grad():
        weights = model.log_prob(x.repeat(8_000, 1), seed=0).reshape(8_000, 3)
    exact = Normal(0.0, math.sqrt(2)).log_prob(x[:, 0])
    assert all(deviations(column, 1) < 4.5 for column in torch.exp(weights - exact).T)
    assert bool((weights.mean(0) < exact - 0.01).all())


# ---- claims ---------------------------------------------------------------------------------------------------------


def test_the_balance_is_checked_and_one_that_fails_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model = compiled(annealed("metropolis"))
    found = [f for f in self_check(model) if f.claim == "balance"]
    assert len(found) == 6 and all(f.holds and f.error for f in found)
    twin = step_twin(next(s.op for s in model.graph.steps.values() if s.op.balances))

    def eager(op: Metropolis, p: dict[str, Tensor], x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
        y, change = twin.forward(op, p, x, ctx)
        return y + 0.3, change

    wrong = StepTwin(eager, eager, plan=twin.plan)
    monkeypatch.setattr("dgmspec.runtime.trials.step_twin", lambda op: wrong if op.balances else step_twin(op))
    assert not all(f.holds for f in self_check(model) if f.claim == "balance")


def test_what_is_proved_is_said() -> None:
    found = dgmspec.diagnose(annealed("hmc"))
    assert not found.diagnostics
    table = found.explain("M")
    assert "none, it draws" in table and "in detailed balance with exp(-E)" in table and "U(_, (0 + 1) / 6)" in table


# ---- what is refused ------------------------------------------------------------------------------------------------


def codes(steps: str, x: str = "real[2]", bar: str = "") -> set[str]:
    text = (
        f"dgm 1\nmodel M {{ observe x : {x}; latent z : real[*] ~ normal(0, 1); given c : real[2]\n"
        "net f(y) : real = mlp(4); net g(y) : real = external\n"
        "energy E(y) = dot(y, y) / 2; energy U(y, a) = a * dot(y, y); energy N(y) = mlp(4)\n"
        f"flow x -> z{bar} {{ {steps} }} }}"
    )
    return {d.code for d in dgmspec.diagnose(text).diagnostics if d.severity == "error"}


def test_what_is_no_energy_of_the_state_is_refused() -> None:
    assert codes("metropolis(E, 1)") == set()
    assert codes("metropolis(U(_, 2), 1)") == set()
    assert codes("metropolis(E(_ - c), 1)", bar=" | c") == set()
    assert codes("metropolis(N, 1)") == set()
    assert codes("hmc(f(_ / 2) + E(_), 1)") == set()
    for energy in ("U", "g", "f(_) + g(_)", "2", "x", "E(x)", "_", "E(_) + c[0]", "_^2"):
        assert codes(f"metropolis({energy}, 1)") == {"DGM458"}, energy
    assert codes("metropolis(Energy, 1)") == {"DGM201"}
    assert codes("hmc(E, 0)") == {"DGM234"}
    assert codes("hmc(E, 0.1, steps = 1_000)") == {"DGM234"}
    assert codes("metropolis(E, 1)", x="positive[2]") == {"DGM303"}
    assert codes("metropolis(E, 1)", x="circle[2]") == {"DGM313"}
    assert codes("metropolis(E, 1)", x="integer(0..3)[2]") == {"DGM311"}
    assert "DGM201" in codes("linear(plu); coupling(rqs(_), mask = half, net = mlp(4))")


def test_an_image_inside_the_priors_support_is_no_less_refused_beside_a_move() -> None:
    assert codes("metropolis(E, 1); sigmoid") == {"DGM302"}
