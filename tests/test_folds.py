"""Steps that take several events to one: densities against closed forms, draws against densities, what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Exponential, Laplace, Normal

import dgmspec
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.runner import UnavailableError
from dgmspec.runtime.selfcheck import self_check
from tests.flows import compiled

DOUBLE = torch.float64
NORMAL = "real[*] ~ normal(0, 1)"


def text(x: str, steps: str, z: str = NORMAL, loss: bool = False) -> str:
    end = "\n loss = nll" if loss else ""
    return f"dgm 1\nmodel M {{ observe x : {x}; latent z : {z}\n flow x -> z {{ {steps} }}{end} }}"


def model_of(x: str, steps: str, z: str = NORMAL, **options: object) -> CompiledModel:
    return compiled(text(x, steps, z), seed=1, **options)


def codes(x: str, steps: str, z: str = NORMAL, loss: bool = False) -> set[str]:
    return {d.code for d in dgmspec.diagnose(text(x, steps, z, loss)).diagnostics if d.severity == "error"}


# ---- densities ------------------------------------------------------------------------------------------------------


def test_magnitudes_that_are_exponential_are_laplace() -> None:
    model = model_of("real[3]", "abs", "positive[*] ~ exponential(2)")
    x = torch.randn(50, 3, dtype=DOUBLE)
    assert model.density == "exact"
    torch.testing.assert_close(model.log_prob(x), Laplace(0.0, 0.5).log_prob(x).sum(1))


def test_sorted_normals_have_the_density_of_the_gaps_over_the_orders() -> None:
    model = model_of("real[4]", "sort")
    x = torch.randn(50, 4, dtype=DOUBLE)
    ordered = x.sort(1).values
    gaps = ordered.diff(dim=1)
    normal = Normal(0.0, 1.0)
    expected = normal.log_prob(ordered[:, 0]) + (normal.log_prob(gaps.log()) - gaps.log()).sum(1) - math.log(24)
    torch.testing.assert_close(model.log_prob(x), expected)
    torch.testing.assert_close(model.log_prob(x[:, [2, 0, 3, 1]]), expected)


def test_a_pooled_image_has_the_density_of_the_largest_and_the_gaps() -> None:
    model = model_of("real[2, 2, 4]", "max_pool(2)", "real[2, 1, 2] ~ normal(0, 1)")
    raw = model.get_parameter("M/x->z/0/raw").detach()
    log_odds, means = raw[:4].log_softmax(0), torch.exp(5 * torch.tanh(raw[4:] / 5))
    x = torch.randn(3, 2, 2, 4, dtype=DOUBLE)
    expected = torch.zeros(3, dtype=DOUBLE)
    for row in range(3):
        for channel in range(2):
            for left in (0, 2):
                window = x[row, channel, :, left : left + 2].flatten()
                top = int(window.argmax())
                expected[row] += Normal(0.0, 1.0).log_prob(window[top]) + log_odds[top, channel]
                for j in set(range(4)) - {top}:
                    expected[row] += Exponential(1 / means[j, channel]).log_prob(window[top] - window[j])
    torch.testing.assert_close(model.log_prob(x), expected)


@pytest.mark.parametrize(
    ("x", "steps", "z"),
    [
        ("real[2]", "abs(net = mlp(8)); inverse exp; linear(plu)", NORMAL),
        ("real[4]", "sort; coupling(affine, mask = half, net = mlp(8))", NORMAL),
        ("real[1, 2, 2]", "max_pool(2, net = conv(4)); actnorm", NORMAL),
        ("real[4]", "max_pool(2); sort; abs(net = mlp(8))", "positive[*] ~ gamma(2, 1)"),
    ],
)
@torch.no_grad()
def test_draws_follow_the_density(x: str, steps: str, z: str) -> None:
    """E_p[q / p] = 1, q the density of a model whose parameters are a little elsewhere."""
    model, other = (model_of(x, steps, z) for _ in range(2))
    for parameter in other.parameters():
        parameter.mul_(0.9)
    drawn, log_p = model.sample_and_log_prob(40_000, seed=0)
    torch.testing.assert_close(model.log_prob(drawn[:200]), log_p[:200], rtol=1e-7, atol=1e-7)
    weights = (other.log_prob(drawn) - log_p).exp()
    assert 1e-3 < float(weights.std()) < 1
    assert abs(float(weights.mean()) - 1) < 4.5 * float(weights.std()) / math.sqrt(len(weights))


@torch.no_grad()
def test_the_sign_is_drawn_as_often_as_its_law_says() -> None:
    model = model_of("real[1]", "abs(net = mlp())", "positive[*] ~ exponential(1)")
    x = model.sample(40_000, seed=0)
    positive = torch.sigmoid(model.log_prob(x.abs()) - model.log_prob(-x.abs()))
    assert float(positive.std()) > 0.01
    odd = ((x[:, 0] > 0).double() - positive).sum() / (positive * (1 - positive)).sum().sqrt()
    assert abs(float(odd)) < 4.5


# ---- the other way round --------------------------------------------------------------------------------------------


def test_all_draws_of_an_order_together_give_the_density_of_sorted_values() -> None:
    model = model_of("real[2]", "inverse sort; linear(triangular)")
    x = torch.randn(5, 2, dtype=DOUBLE)
    assert model.density == "lower bound"
    (name,) = (entry.name for entry in model.program("log_prob").draws)
    orders = torch.tensor([[0.2, 0.8], [0.8, 0.2]], dtype=DOUBLE)
    each = [model.run("log_prob", {"x": x, name: order.expand(5, 2)})["log_prob"] for order in orders]
    exact = torch.logsumexp(torch.stack(each), 0) - math.log(2)
    plain = model_of("real[2]", "linear(triangular)")
    plain.load_state_dict({k.replace("/1/", "/0/"): v for k, v in model.state_dict().items()})
    values = torch.cat((x[:, :1], x[:, 1:].exp()), 1).cumsum(1)
    both = torch.logsumexp(torch.stack([plain.log_prob(values), plain.log_prob(values.flip(1))]), 0)
    torch.testing.assert_close(exact, both + x[:, 1])
    joined = model.log_prob(x, samples=400, seed=0)
    assert bool((joined <= exact + 0.2).all()) and bool((joined >= exact - 0.2).all())


def test_the_density_of_what_was_folded_is_known_to_log_prob_alone() -> None:
    model = model_of("positive[2]", "inverse abs")
    with pytest.raises(UnavailableError, match="only log_prob knows"):
        model.program("sample_and_log_prob")
    assert bool((model.sample(50, seed=0) > 0).all())


def test_an_order_drawn_again_is_not_the_order_that_was() -> None:
    # `sort; inverse sort` draws an order: no pass may take the pair for the identity.
    x = torch.randn(40, 5, dtype=DOUBLE)
    for level in ("O0", "O1"):
        model = model_of("real[5]", "sort; inverse sort", optimize=level)
        z = model.encode(x, seed=0)
        assert not torch.allclose(z, x)
        torch.testing.assert_close(z.sort(1).values, x.sort(1).values)
        assert model.density == "lower bound" and model.freeze().density == "lower bound"


@pytest.mark.parametrize("steps", ["abs(net = mlp(8))", "sort", "max_pool(2, net = mlp(8))"])
def test_every_claim_of_a_fold_is_checked(steps: str) -> None:
    found = self_check(model_of("real[4]", steps, "positive[*]" if "abs" in steps else "real[*]"))
    assert {f.claim for f in found} == {"inverse"} and all(f.holds and f.error is not None for f in found)


def test_ties_and_zeros_stay_finite_with_their_gradients() -> None:
    for steps, z in (("abs; inverse exp", NORMAL), ("sort", NORMAL), ("max_pool(2)", NORMAL)):
        model = model_of("real[4]", steps, z).float()
        x = torch.tensor([[0.0, 0.0, 3.0, 3.0], [-2.0, -2.0, -2.0, -2.0]], requires_grad=True)
        value = model.log_prob(x)
        (slope,) = torch.autograd.grad(value.sum(), x)
        assert bool(torch.isfinite(value).all()) and bool(torch.isfinite(slope).all()), steps


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_what_cannot_be_folded_is_refused() -> None:
    positive = "positive[*] ~ exponential(1)"
    assert codes("interval(-1, 2)[2]", "abs", positive) == {"DGM349"}
    assert codes("integer(0..3)[2]", "abs", positive) == {"DGM349"}
    assert codes("circle[2]", "abs", positive) == {"DGM349"}
    assert codes("interval(1, 2)[2]", "inverse abs") == {"DGM349"}
    assert codes("positive[2]", "sort") == {"DGM303"}
    assert codes("real[2, 2]", "sort") == {"DGM304"}
    assert codes("real", "sort") == {"DGM304"}
    assert codes("unit[4]", "max_pool(2)") == {"DGM303"}
    assert codes("real[2, 2]", "max_pool(2)") == {"DGM304"}
    assert codes("real[1, 4, 6]", "max_pool(4)") == {"DGM342"}


def test_magnitudes_before_a_prior_on_the_line_are_refused() -> None:
    assert codes("real[2]", "abs") == {"DGM302"}


def test_a_learned_choice_is_not_drawn_while_training() -> None:
    assert codes("positive[2]", "inverse abs(net = mlp(8))", loss=True) == {"DGM737"}
    assert codes("positive[2]", "inverse abs(net = mlp(8))") == set()
    assert codes("positive[2]", "inverse abs", loss=True) == set()
    assert codes("real[2]", "inverse sort", loss=True) == set()
    assert codes("real[2]", "max_pool(2)", loss=True) == set()
    target = "dgm 1\nmodel M { observe x : real[2] ~ exp(-sum(x^4)); latent z : real[1] ~ normal(0, 1)\n"
    found = dgmspec.diagnose(target + "flow x -> z { max_pool(2) }\nloss = reverse_kl }").diagnostics
    assert [d.code for d in found if d.severity == "error"] == ["DGM737"]
    latent = (
        "dgm 1\nmodel M { observe x : real[2]; latent z : positive[2]; latent u : real[2] ~ normal(0, 1)\n"
        "flow z -> u { inverse abs(net = mlp(4)) }\ngenerate x | z ~ normal(mlp(4))\n"
        "infer z | x ~ gamma(2, mlp(4))\nloss = elbo }"
    )
    assert "DGM737" in [d.code for d in dgmspec.diagnose(latent).diagnostics]
    with pytest.raises(UnavailableError, match="a choice by a learned law"):
        model_of("real[2]", "max_pool(2)").rsample(3)
    assert model_of("real[2]", "sort").rsample(3, seed=0).requires_grad is False
