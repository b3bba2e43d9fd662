"""Labels whose draws pass a surrogate's gradient: that gradient exactly, the codes' running means, the limits."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import dgmspec
from dgmspec.core.types import Type, category
from dgmspec.modules.distributions.relaxed import TWINS
from dgmspec.modules.twin import StepContext
from dgmspec.ops.distributions import Categorical, GumbelSoftmax, Nearest
from tests.test_latent import build, gradients

EVENT = Type(category(3), (2,))
DOUBLE = torch.float64


def drawn(op: GumbelSoftmax, logits: Tensor, batch: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    u = torch.rand(batch, 2, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
    ctx, given = StepContext(EVENT, noise={"noise": u}), {"logits": logits}
    labels = TWINS[GumbelSoftmax].draw(op, given, ctx, batch)
    features = TWINS[GumbelSoftmax].features
    assert features is not None
    return labels, features(op, given, ctx, labels)


def test_relaxed_draws_are_categorical_draws_and_one_hot_in_the_limit() -> None:
    logits = torch.tensor([[[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]]], dtype=DOUBLE)
    labels, cold = drawn(GumbelSoftmax(logits=0.0, temperature=1e-3), logits, 20_000)
    found = F.one_hot(labels.long(), 3).double().mean(0)
    expected = logits.softmax(-1)[0]
    assert ((found - expected).abs() < 4.5 * (expected * (1 - expected) / 20_000).sqrt()).all()
    # Nearly one-hot: but for rows whose two best values tie within a few temperatures.
    away = (cold.reshape(-1, 2, 3) - F.one_hot(labels.long(), 3)).abs().amax((1, 2))
    assert (away < 1e-6).double().mean() > 0.97


def test_hard_draws_are_one_hot_with_the_relaxed_gradient() -> None:
    logits = torch.tensor([[[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]]], dtype=DOUBLE, requires_grad=True)
    weights = torch.randn(7, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    found = {}
    for hard in (False, True):
        labels, features = drawn(GumbelSoftmax(logits=0.0, temperature=0.5, hard=hard), logits, 7)
        (found[hard],) = torch.autograd.grad((weights * features).sum(), logits)
    torch.testing.assert_close(features, F.one_hot(labels.long(), 3).double().flatten(1))
    torch.testing.assert_close(found[True], found[False])


def test_the_relaxed_divergence_is_that_of_the_categorical_laws() -> None:
    q, p = GumbelSoftmax(logits=(0.0, 1.0, -1.0)), Categorical(probs=(1.0, 2.0, 3.0))
    like = torch.zeros(4, 2, dtype=DOUBLE)
    assert q.has_divergence(p) and not q.has_divergence(q)
    divergence = TWINS[GumbelSoftmax].divergence
    assert divergence is not None
    a = torch.tensor([0.0, 1, -1], dtype=DOUBLE).log_softmax(0)
    b = torch.tensor([1.0, 2, 3], dtype=DOUBLE).log().log_softmax(0)
    expected = 2 * (a.exp() * (a - b)).sum()
    torch.testing.assert_close(divergence(q, {}, p, {}, StepContext(EVENT), like), expected.expand(4))


# ---- nearest codes --------------------------------------------------------------------------------------------------

CODES = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]], dtype=DOUBLE)


def test_the_straight_through_gradient_is_the_identity() -> None:
    op, vector = Nearest(vector=0.0, dim=2), torch.randn(5, 2, 2, dtype=DOUBLE, requires_grad=True)
    given, ctx = {"vector": vector, "codes": CODES}, StepContext(EVENT, noise={"noise": torch.zeros(5, dtype=DOUBLE)})
    labels = TWINS[Nearest].draw(op, given, ctx, 5)
    distances = (vector.detach().unsqueeze(-2) - CODES).square().sum(-1)
    torch.testing.assert_close(labels, distances.argmin(-1).double())
    features, embed = TWINS[Nearest].features, TWINS[Nearest].embed
    assert features is not None and embed is not None
    found = features(op, given, ctx, labels)
    torch.testing.assert_close(found, embed(op, given, labels, ctx))
    weights = torch.randn_like(found)
    (gradient,) = torch.autograd.grad((weights * found).sum(), vector)
    torch.testing.assert_close(gradient, weights.reshape(5, 2, 2))


def test_codes_are_running_means_and_unused_ones_restart() -> None:
    op, update = Nearest(vector=0.0, dim=2, decay=0.9, restart=0.0), TWINS[Nearest].update
    assert update is not None
    generator = torch.Generator().manual_seed(0)
    codes, uses, sums = CODES.clone(), torch.ones(3, dtype=DOUBLE), CODES.clone()
    totals = torch.ones(3, dtype=DOUBLE)
    for _ in range(30):
        vector = 2 * torch.rand(6, 2, 2, dtype=DOUBLE, generator=generator)
        ctx = StepContext(EVENT)
        labels = (vector.unsqueeze(-2) - codes).square().sum(-1).argmin(-1).reshape(-1)
        new = update(op, {"vector": vector, "codes": codes, "uses": uses}, ctx, torch.zeros(6, 2, dtype=DOUBLE))
        one_hot = F.one_hot(labels, 3).double()
        totals = 0.9 * totals + 0.1 * one_hot.sum(0)
        sums = 0.9 * sums + 0.1 * one_hot.T @ vector.reshape(-1, 2)
        codes, uses = new["codes"], new["uses"]
        torch.testing.assert_close(uses, totals)
        torch.testing.assert_close(codes, sums / totals[:, None])
    away = codes.index_fill(0, torch.tensor([2]), 50.0)
    far = {"vector": vector, "codes": away, "uses": torch.tensor([9.0, 9.0, 0.01], dtype=DOUBLE)}
    again = update(Nearest(vector=0.0, dim=2, restart=0.1), far, ctx, torch.zeros(6, 2, dtype=DOUBLE))
    assert (vector.reshape(-1, 2) == again["codes"][2]).all(1).any() and again["uses"][2] > 1


VQ = (
    "observe x : binary[6]",
    "latent z : category(5)[3] ~ categorical(1)",
    "generate x | z ~ bernoulli(mlp(8))",
    "infer z | x ~ nearest(mlp(8), dim = 2)",
)


def rows(count: int = 4) -> Tensor:
    return torch.randint(0, 2, (count, 6), generator=torch.Generator().manual_seed(2)).double()


def test_the_bound_pays_log_k_for_each_code() -> None:
    model = build(*VQ, "loss = elbo + vq(0.5)")
    value, ledger = model.loss_ledger(rows(), seed=0)
    parts = {
        step.group: step.sign * step.logdet for step in ledger if step.kind == "log_prob" and "nearest" not in step.name
    }
    torch.testing.assert_close(parts["z"], torch.full((4,), -3 * math.log(5), dtype=DOUBLE))
    torch.testing.assert_close(value.total, value.terms["elbo"] + value.terms["vq"])
    torch.testing.assert_close(build(*VQ, "loss = vq(1)").loss(rows(), seed=0).total, 2 * value.terms["vq"])
    # Few codes are summed over, so log p(x) itself is known: the bound lies below it.
    assert model.density == "exact" and model.log_prob(rows()).mean() > -value.terms["elbo"]


def test_codes_change_while_training_alone_and_codes_decode_to_what_was_encoded() -> None:
    model = build(*VQ, "loss = elbo + vq(0.5)")
    before = model.get_parameter("M/infer z/codes").clone()
    codes = model.encode(rows())
    decoded = model.decode(codes, mean=True)
    model.loss(rows(), seed=0)
    torch.testing.assert_close(model.get_parameter("M/infer z/codes"), before)
    torch.testing.assert_close(model.decode(codes, mean=True), decoded)
    model.train().loss(rows(), seed=0).total.backward()
    assert not torch.equal(model.get_parameter("M/infer z/codes"), before)
    assert model.get_parameter("M/infer z/codes").grad is None


def test_images_of_codes_have_channels() -> None:
    model = build(
        "observe x : binary[1, 4, 4]",
        "latent z : category(5)[4, 4] ~ categorical(1)",
        "generate x | z ~ bernoulli(conv(6))",
        "infer z | x ~ nearest(conv(6), dim = 3)",
        "loss = elbo + vq",
    )
    x = torch.randint(0, 2, (3, 1, 4, 4)).double()
    assert model.encode(x).shape == (3, 4, 4) and model.sample(2, seed=0).shape == (2, 1, 4, 4)
    assert all(bool(g.isfinite().all()) for g in gradients(model, model.loss(x, seed=0).total).values())


@pytest.mark.parametrize("law", ["gumbel_softmax(mlp(8))", "nearest(mlp(8))"])
def test_surrogates_have_no_importance_weights(law: str) -> None:
    text = "dgm 1\nmodel M {\n" + "\n".join([*VQ[:3], f"infer z | x ~ {law}", "loss = iwae(3)"]) + "\n}\n"
    assert [d.code for d in dgmspec.diagnose(text).diagnostics] == ["DGM732"]


def test_a_learned_prior_over_codes_is_trained_and_sampled_end_to_end() -> None:
    prior = "latent z : category(5)[3] ~ autoregressive(categorical, net = made(16))"
    model = build(VQ[0], prior, *VQ[2:], "loss = elbo + vq(0.25)")
    value = model.loss(rows(), seed=0).total
    found = gradients(model, value)
    assert any("z/prior" in name and g.abs().sum() > 0 for name, g in found.items())
    assert model.sample(4, seed=0).shape == (4, 6)
    # log p(x) sums over all codes under the learned prior: the masses of all events add up to one.
    every = torch.cartesian_prod(*[torch.arange(2.0, dtype=DOUBLE)] * 6)
    assert model.log_prob(every).exp().sum().item() == pytest.approx(1, abs=1e-9)
