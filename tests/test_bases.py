"""Bases of flows and laws of latents: full covariances against torch, learned and given by nets."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, kl_divergence
from torch.distributions import Independent as Joint
from torch.distributions import MultivariateNormal as Reference
from torch.distributions import Normal as Independent

import dgmspec
from dgmspec.algebra.nodes import Name
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import CHOLESKY, REAL, SIMPLEX, Type
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.initial import constrain, initial_learned, unconstrain
from dgmspec.modules.nets import evaluate
from dgmspec.modules.registry import distribution_twin
from dgmspec.modules.runner import UnavailableError
from dgmspec.modules.twin import StepContext
from dgmspec.ops.distributions import MultivariateNormal, Normal, Resampled
from dgmspec.ops.nets import Mlp
from tests.flows import compiled

DOUBLE = torch.float64
SPACE = Type(REAL, (3,))
FACTOR = ((2.0, 0.0, 0.0), (0.5, 1.0, 0.0), (-1.0, 0.3, 0.7))


def matrix(rows: object) -> Tensor:
    return torch.tensor(rows, dtype=DOUBLE)


def test_a_full_covariance_is_torchs() -> None:
    x, covariance = torch.randn(5, 3, dtype=DOUBLE), matrix(FACTOR) @ matrix(FACTOR).T
    exact = tuple(tuple(row) for row in ((covariance + covariance.T) / 2).tolist())
    precision = torch.linalg.inv(matrix(exact))
    inverse = tuple(tuple(row) for row in ((precision + precision.T) / 2).tolist())
    for op in (
        MultivariateNormal(loc=(1, 2, 3), scale_tril=FACTOR),
        MultivariateNormal(loc=(1, 2, 3), covariance_matrix=exact),
        MultivariateNormal(loc=(1, 2, 3), precision_matrix=inverse),
    ):
        law = Reference(matrix([1, 2, 3]), covariance)
        twin = distribution_twin(op)
        torch.testing.assert_close(twin.log_prob(op, {}, x, StepContext(SPACE)), law.log_prob(x))
        noise = torch.randn(20_000, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
        drawn = twin.draw(op, {}, StepContext(SPACE, noise={"noise": noise}), 20_000)
        torch.testing.assert_close(torch.cov(drawn.T), covariance, atol=0.15, rtol=0)
        torch.testing.assert_close(drawn.mean(0), matrix([1, 2, 3]), atol=0.1, rtol=0)


def test_divergences_are_torchs_row_by_row() -> None:
    like, event = torch.zeros(4, 3, dtype=DOUBLE), StepContext(SPACE)
    q = MultivariateNormal(scale_tril=FACTOR)
    factors = constrain(CHOLESKY, torch.randn(4, 3, 3, dtype=DOUBLE))
    locs = torch.randn(4, 3, dtype=DOUBLE)
    ours = {"loc": locs, "scale_tril": factors}
    divergence = distribution_twin(q).divergence
    assert divergence is not None
    law = Reference(locs, scale_tril=factors)
    found = divergence(q, ours, MultivariateNormal(loc=(0, 1, 0), scale_tril=FACTOR), {}, event, like)
    torch.testing.assert_close(found, kl_divergence(law, Reference(matrix([0, 1, 0]), scale_tril=matrix(FACTOR))))
    found = divergence(q, ours, Normal(loc=1, scale=2), {}, event, like)
    other = Reference(torch.ones(3, dtype=DOUBLE), 4 * torch.eye(3, dtype=DOUBLE))
    torch.testing.assert_close(found, kl_divergence(law, other))
    assert q.has_divergence(Normal()) and q.has_divergence(q)
    assert Independent(0.0, 1.0).mean == 0


def test_learned_factors_start_at_the_identity_or_where_they_are_told() -> None:
    type_ = Type(CHOLESKY, (3, 3))
    raw = initial_learned(type_, None, 0, "L")
    torch.testing.assert_close(constrain(CHOLESKY, raw), torch.eye(3, dtype=DOUBLE))
    flat = tuple(value for row in FACTOR for value in row)
    torch.testing.assert_close(constrain(CHOLESKY, initial_learned(type_, flat, 0, "L")), matrix(FACTOR))
    torch.testing.assert_close(unconstrain(CHOLESKY, constrain(CHOLESKY, raw)), raw)


def test_learned_shares_are_positive_and_sum_to_one() -> None:
    type_ = Type(SIMPLEX, (3,))
    shares = constrain(SIMPLEX, initial_learned(type_, None, 0, "w"))
    assert (shares > 0).all() and float(shares.sum()) == pytest.approx(1)
    told = constrain(SIMPLEX, initial_learned(type_, (0.2, 0.3, 0.5), 0, "w"))
    torch.testing.assert_close(told, matrix([0.2, 0.3, 0.5]))


def test_a_learned_covariance_is_fitted_and_sampled() -> None:
    model = compiled("""dgm 1
    model M {
        learn L : cholesky[2, 2]
        learn μ : real[2]
        observe x : real[2] ~ multivariate_normal(μ, scale_tril = L)
        loss = nll
    }
    """)
    x = torch.randn(2000, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)) @ matrix([[1, 0.8], [0, 0.6]])
    optimizer = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe", max_iter=60)

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = model.loss(x).total
        total.backward()
        return total

    optimizer.step(closure)
    drawn = model.sample(20_000, seed=0)
    torch.testing.assert_close(torch.cov(drawn.T), torch.cov(x.T), atol=0.05, rtol=0)
    torch.testing.assert_close(
        model.log_prob(x).mean(), Reference(x.mean(0), torch.cov(x.T)).log_prob(x).mean(), atol=1e-3, rtol=0
    )


def test_a_net_gives_a_full_covariance() -> None:
    model = compiled("""dgm 1
    model V {
        observe x : real[4]
        latent z : real[2] ~ normal(0, 1)
        generate x | z ~ normal(mlp(8), 0.5)
        infer z | x ~ multivariate_normal(mlp(8))
        loss = elbo
    }
    """)
    loss = model.loss(torch.randn(16, 4, dtype=DOUBLE)).total
    loss.backward()
    assert torch.isfinite(loss) and all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    "arguments",
    [
        {"scale_tril": ((1, 2), (0, 1))},
        {"scale_tril": ((1, 0), (0, -1))},
        {"scale_tril": ((1, 0),)},
        {"covariance_matrix": ((1, 2), (2, 1))},
        {"covariance_matrix": ((1, 0.5), (0, 1))},
        {"precision_matrix": ((1, 2), (2, 1))},
        {"covariance_matrix": ((1, 0), (0, 1)), "scale_tril": ((1, 0), (0, 1))},
        {},
    ],
)
def test_matrices_that_are_no_covariance_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(Refusal, match=r"multivariate_normal|scale_tril|covariance_matrix|precision_matrix"):
        MultivariateNormal(**arguments)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ("latent z : real[3] ~ multivariate_normal(scale_tril = [[1, 0], [0, 1]])", "DGM310"),
        ("learn L : cholesky[2, 2]; latent z : real[3] ~ multivariate_normal(scale_tril = L)", "DGM310"),
        ("learn L : real[3, 3]; latent z : real[3] ~ multivariate_normal(scale_tril = L)", "DGM470"),
        ("learn L : cholesky[3, 3]; latent z : real[3] ~ multivariate_normal(scale_tril = 2 * L)", "DGM470"),
        ("learn L : cholesky[3]; latent z : real[3] ~ multivariate_normal(scale_tril = L)", "DGM309"),
        ("learn L : cholesky[3, 3] = [[1, 1, 0], [0, 1, 0], [0, 0, 1]]; latent z : real[3] ~ normal(0, 1)", "DGM234"),
        ("latent z : cholesky[3, 3]", "DGM309"),
    ],
)
def test_covariances_that_do_not_fit_are_reported(members: str, code: str) -> None:
    text = f"dgm 1\nmodel M {{ observe x : real[3]; {members}\n flow x -> z {{ actnorm }} }}"
    assert code in {d.code for d in dgmspec.diagnose(text).diagnostics}


# ---- mixtures with weights by a formula ------------------------------------------------------------------------------

LEARNED = """dgm 1
model M {
    learn w : simplex[3] = [0.2, 0.3, 0.5]
    learn m : real[2] = [1, -1]
    observe x : real[2] ~ mixture(normal(m, 0.5), normal(0, 1), normal(-2, 0.7), weights = w)
    loss = nll
}
"""


def three(logits: Tensor, m: Tensor) -> MixtureSameFamily:
    """The same law by torch."""
    locs = torch.stack([m, torch.zeros_like(m), torch.full_like(m, -2)])
    scales = matrix([0.5, 1, 0.7]).unsqueeze(1).expand(3, 2)
    return MixtureSameFamily(Categorical(logits=logits), Joint(Independent(locs, scales), 1))


def test_a_learned_mixture_is_torchs_with_its_gradients() -> None:
    model = compiled(LEARNED)
    own = {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}
    law, x = three(own["M/w"], own["M/m"]), 2 * torch.randn(40, 2, dtype=DOUBLE)
    torch.testing.assert_close(model.log_prob(x), law.log_prob(x))
    model.loss(x).total.backward()
    (-law.log_prob(x).mean()).backward()
    for name, value in model.named_parameters():
        torch.testing.assert_close(value.grad, own[name].grad)
    assert bool((own["M/w"].grad != 0).all())
    points, cell = grid()
    assert float(model.log_prob(points).detach().exp().sum() * cell) == pytest.approx(1, abs=1e-6)


def test_draws_of_a_learned_mixture_have_its_moments() -> None:
    model = compiled(LEARNED)
    with torch.no_grad():
        own = dict(model.named_parameters())
        law, x = three(own["M/w"], own["M/m"]), model.sample(20_000, seed=0)
    assert bool(((x.mean(0) - law.mean).abs() < 4.5 * law.variance.sqrt() / 20_000**0.5).all())
    torch.testing.assert_close(x.var(0), law.variance, rtol=0.05, atol=0)
    op, like = model.graph.variables["x"].prior.op, torch.zeros(2, 2, dtype=DOUBLE)
    given = {"weights": matrix([[2, 3, 5], [1, 1, 0]]), "components/0/loc": matrix([[1, -1]])}
    mean = distribution_twin(op).mean(op, given, StepContext(Type(REAL, (2,))), like)
    torch.testing.assert_close(mean, matrix([[-0.8, -1.2], [0.5, -0.5]]))


def test_weights_of_each_row_follow_what_is_given() -> None:
    model = compiled(
        """dgm 1
    model M {
        given c : real
        learn a : positive = 3
        observe x : real[2] ~ mixture(normal(-4, 1), mixture(normal(4, 1), normal(9, 1), weights = [a, 1]),
                                      weights = [exp(c), 1])
        loss = nll
    }
    """,
        scale=0,
    )
    c = matrix([-40, 0, 40])
    with torch.no_grad():
        drawn = model.sample(4000, given={"c": c}, seed=0)[:, :, 0]
        shares = torch.stack([(drawn < 0), (drawn > 0) & (drawn < 6.5), drawn > 6.5]).double().mean(1)
        torch.testing.assert_close(shares, matrix([[0, 0.5, 1], [0.75, 0.375, 0], [0.25, 0.125, 0]]), atol=0.03, rtol=0)
        at = matrix([[4, 4]]).expand(3, 2)
        peak = -math.log(2 * math.pi)
        found = model.log_prob(at, {"c": c})[:2]
        torch.testing.assert_close(found, peak + matrix([0.75, 0.375]).log(), atol=1e-6, rtol=0)


def test_a_weight_too_small_for_a_float_leaves_gradients_finite() -> None:
    model = dgmspec.compile(dgmspec.parse(LEARNED))
    with torch.no_grad():
        dict(model.named_parameters())["M/w"].copy_(torch.tensor([0.0, -200.0, 200.0]))
    loss = model.loss(torch.randn(8, 2)).total
    loss.backward()
    assert loss.isfinite() and all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("weights", "code"),
    [
        ("simplex[3]", "DGM472"),
        ("positive", "DGM472"),
        ("positive[1]", "DGM472"),
        ("real[2]", "DGM470"),
        ("interval(-1, 1)[2]", "DGM470"),
        ("simplex[2]", None),
        ("positive[2]", None),
    ],
)
@pytest.mark.parametrize("law", ["{}", "mixture({}, normal(1, 1), weights = [1, 3])"])
def test_weights_are_positive_with_one_for_each_component(weights: str, code: str | None, law: str) -> None:
    law = law.format("mixture(normal(-2, 1), normal(2, 1), weights = w)")
    text = f"dgm 1\nmodel M {{ learn w : {weights}; observe x : real[2] ~ {law}; loss = nll }}"
    found = [d.code for d in dgmspec.diagnose(text).diagnostics if d.severity == "error"]
    assert found == ([] if code is None else [code])


# ---- resampled ------------------------------------------------------------------------------------------------------

RESAMPLED = """dgm 1
model M {{
    observe x : real[2]
    latent z : real[2] ~ resampled(mlp(8, activation = tanh), truncate = {truncate}, draws = {draws})
    flow x -> z {{ permute(reverse) }}
    loss = nll
}}
"""


def resampled(truncate: int = 4, draws: int = 4096, scale: float = 1.5) -> CompiledModel:
    return compiled(RESAMPLED.format(truncate=truncate, draws=draws), scale=scale)


def grid(low: float = -9.0, high: float = 9.0, points: int = 300) -> tuple[Tensor, float]:
    """Midpoints of a square, and the area of a cell."""
    shares = (torch.arange(points, dtype=DOUBLE) + 0.5) / points
    return low + (high - low) * torch.cartesian_prod(shares, shares), ((high - low) / points) ** 2


def exact_log_prob(model: CompiledModel, z: Tensor) -> Tensor:
    """The law's log-density with Z by quadrature in place of draws."""
    prior = model.graph.variables["z"].prior
    assert prior is not None and isinstance(prior.op, Resampled)
    own = {k.removeprefix("M/z/prior/net/"): v for k, v in model.named_parameters() if k.startswith("M/z/prior/net/")}
    base = Independent(torch.zeros(2, dtype=DOUBLE), 1.0)

    def chance(points: Tensor) -> Tensor:
        return torch.sigmoid(evaluate(prior.op.net, own, (points,), None, False)[:, 0])

    points, cell = grid()
    share = (base.log_prob(points).sum(1).exp() * chance(points)).sum() * cell
    forced = (1 - share) ** (prior.op.truncate - 1)
    return base.log_prob(z).sum(1) + torch.log((1 - forced) * chance(z) / share + forced)


@pytest.mark.parametrize("truncate", [1, 2, 50])
def test_a_resampled_density_is_the_formulas_with_its_share_estimated(truncate: int) -> None:
    with torch.no_grad():
        model = resampled(truncate)
        points, cell = grid()
        exact = exact_log_prob(model, points.flip(1))
        assert float(exact.exp().sum() * cell) == pytest.approx(1, abs=1e-4)
        found = torch.stack([model.log_prob(points[::1111], seed=seed) for seed in range(40)])
        allowed = 5 * float(found.std(0).max()) / 40**0.5 + 1e-4
        assert (found.mean(0) - exact[::1111]).abs().max() < allowed < 0.02
        assert model.density == "estimate"


def test_resampled_draws_follow_their_density() -> None:
    with torch.no_grad():
        model = resampled(truncate=8)
        x = model.sample(20_000, seed=0)
        points, cell = grid()
        exact = exact_log_prob(model, points.flip(1))
        mean = (exact.exp()[:, None] * points).sum(0) * cell
        deviation = ((exact.exp()[:, None] * points**2).sum(0) * cell - mean**2).sqrt()
        assert ((x.mean(0) - mean).abs() < 4.5 * deviation / 20_000**0.5).all()
        entropy, log_p = -(exact.exp() * exact).sum() * cell, exact_log_prob(model, x.flip(1))
        assert abs(float(log_p.mean() + entropy)) < 4.5 * float(log_p.std()) / 20_000**0.5


def test_a_resampled_base_is_the_base_at_the_start_and_trains_towards_two_modes() -> None:
    model = dgmspec.compile(dgmspec.parse(RESAMPLED.format(truncate=100, draws=512)), dtype=DOUBLE)
    x = torch.randn(64, 2, dtype=DOUBLE)
    torch.testing.assert_close(model.log_prob(x, seed=0), Independent(0.0, 1.0).log_prob(x).sum(1))
    rows = model.log_prob(x[10:20], seed=0)
    torch.testing.assert_close(rows, model.log_prob(x, seed=0)[10:20])
    torch.manual_seed(0)
    side = torch.randint(0, 2, (512, 1)).double() * 2 - 1
    data = torch.cat([1.2 * side + 0.15 * torch.randn(512, 1), torch.randn(512, 1)], 1).double()
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    before = model.loss(data, seed=0).total.detach()
    for step in range(150):
        optimizer.zero_grad()
        model.loss(data, seed=0, step=step).total.backward()
        optimizer.step()
    assert model.loss(data, seed=0).total < before - 0.2
    drawn = model.sample(2000, seed=0)[:, 0]
    assert (drawn.abs() < 0.5).double().mean() < 0.5 * (torch.randn(2000).abs() < 0.5).double().mean()


def test_what_an_estimated_base_cannot_do_is_said() -> None:
    model = resampled()
    with pytest.raises(UnavailableError, match="no gradient passes a choice by a learned law"):
        model.rsample(3)
    x, log_prob = model.sample_and_log_prob(8, seed=0)
    torch.testing.assert_close(log_prob, model.log_prob(x, seed=0))
    text = RESAMPLED.format(truncate=4, draws=64).replace("x : real[2]", "x : real[2] ~ exp(-dot(x, x))")
    found = [d for d in dgmspec.diagnose(text.replace("nll", "reverse_kl")).diagnostics if d.severity == "error"]
    assert found, "reverse_kl needs the density of its own samples"
    with pytest.raises(Refusal, match="parameters are formulas or nets"):
        Resampled(net=Mlp(hidden=(4,)), base=Normal(loc=Name(id="m")))
