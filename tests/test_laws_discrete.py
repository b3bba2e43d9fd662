"""Distributions of labels and whole numbers by enumeration; means and divergences of all distributions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch import distributions as reference

from dgmspec.core.types import BINARY, POSITIVE, REAL, UNIT, Type, category, integers
from dgmspec.modules.registry import distribution_twin, twin_of
from dgmspec.modules.twin import StepContext
from dgmspec.ops import library
from dgmspec.ops.distributions import (
    AbstractParametric,
    AbstractProduct,
    Bernoulli,
    Beta,
    BetaBinomial,
    Categorical,
    DiscretizedLogistic,
    Exponential,
    Gamma,
    HalfNormal,
    Laplace,
    LogNormal,
    Mixture,
    NegativeBinomial,
    Normal,
    Poisson,
)
from tests.test_distributions import T, draw_events

TWO = (2,)
DISCRETE: tuple[tuple[AbstractParametric, Type], ...] = (
    (Bernoulli(probs=0.3), Type(BINARY, TWO)),
    (Bernoulli(logits=(0, -1)), Type(BINARY, TWO)),
    (Categorical(probs=(0.2, 0.3, 0.5)), Type(category(3), TWO)),
    (Categorical(probs=1), Type(category(4))),
    (Categorical(logits=(0, 1, -1)), Type(category(3), TWO)),
    (BetaBinomial(concentration1=2, concentration0=3), Type(integers(2, 8), TWO)),
    (BetaBinomial(concentration1=(0.5, 4)), Type(integers(0, 3), TWO)),
    (Poisson(rate=2), Type(integers(0, 6), TWO)),
    (Poisson(rate=(0.5, 4)), Type(integers(0, 5), TWO)),
    (NegativeBinomial(total_count=(0.5, 3), probs=0.4), Type(integers(0, 5), TWO)),
    (NegativeBinomial(total_count=3, logits=(0, -1)), Type(integers(0, 6), TWO)),
    (DiscretizedLogistic(loc=0.2, scale=0.5), Type(integers(0, 6), TWO)),
    (
        DiscretizedLogistic(loc=(-0.5, 0.5), scale=0.1, logits=(0, 1), components=2),
        Type(integers(0, 16), TWO),
    ),
    (Mixture(components=(Bernoulli(probs=0.1), Bernoulli(probs=0.8)), weights=(1, 3)), Type(BINARY, TWO)),
)


def every_event(type_: Type) -> Tensor:
    values = torch.arange(type_.support.low, type_.support.high + 1).double()
    return torch.cartesian_prod(*[values] * type_.size).reshape(-1, *type_.shape)


def probabilities(op: AbstractParametric, type_: Type) -> tuple[Tensor, Tensor]:
    x = every_event(type_)
    return x, distribution_twin(op).log_prob(op, {}, x, StepContext(type_)).exp()


@pytest.mark.parametrize(("op", "type_"), DISCRETE, ids=str)
def test_masses_sum_to_one_and_draws_follow_them(op: AbstractParametric, type_: Type) -> None:
    x, p = probabilities(op, type_)
    assert p.sum().item() == pytest.approx(1, abs=1e-12) and op.support(type_) == type_.support
    drawn = draw_events(op, type_, 20_000)
    found = torch.stack([(drawn == value).reshape(len(drawn), -1).all(1).double().mean() for value in x])
    deviations = (found - p) / (p * (1 - p) / len(drawn)).sqrt().clamp(min=1e-6)
    assert deviations.abs().max() < 5 and found.sum() == pytest.approx(1)


@pytest.mark.parametrize(("op", "type_"), DISCRETE, ids=str)
def test_means_are_those_of_the_masses(op: AbstractParametric, type_: Type) -> None:
    x, p = probabilities(op, type_)
    mean = distribution_twin(op).mean
    assert mean is not None
    found = torch.zeros_like(x) + mean(op, {}, StepContext(type_), x)
    if isinstance(op, Categorical):
        single = every_event(Type(type_.support))
        _, masses = probabilities(op, Type(type_.support))
        assert bool((found == single[masses.argmax()]).all())
        return
    expected = (p.reshape(-1, *[1] * (x.dim() - 1)) * x).sum(0)
    torch.testing.assert_close(found[0], expected)


@pytest.mark.parametrize(("op", "whole"), [
    (Poisson(rate=3), reference.Poisson(T(3.0).double())),
    (NegativeBinomial(total_count=2.5, probs=0.6), reference.NegativeBinomial(T(2.5).double(), T(0.6).double())),
])  # fmt: skip
def test_counts_have_torchs_law_given_that_they_are_in_range(op: AbstractParametric, whole: Any) -> None:
    x, p = probabilities(op, Type(integers(0, 9)))
    expected = whole.log_prob(x).exp()
    torch.testing.assert_close(p, expected / expected.sum())
    _, p = probabilities(op, Type(integers(0, 400)))
    torch.testing.assert_close(p[:10], expected)


def test_a_cell_is_the_difference_of_two_distribution_functions() -> None:
    op, type_ = DiscretizedLogistic(loc=0.1, scale=0.05), Type(integers(0, 255))
    x = every_event(type_)
    t, half = 2 * (x + 0.5) / 256 - 1, 1 / 256
    plain = torch.sigmoid((t + half - 0.1) / 0.05) - torch.sigmoid((t - half - 0.1) / 0.05)
    found = distribution_twin(op).log_prob(op, {}, x, StepContext(type_))
    torch.testing.assert_close(found[1:-1].exp(), plain[1:-1], rtol=1e-9, atol=1e-12)
    assert distribution_twin(op).log_prob(op, {}, x.float(), StepContext(type_)).isfinite().all()


@pytest.mark.parametrize(("op", "type_"), DISCRETE, ids=str)
def test_parameters_have_gradients_everywhere(op: AbstractParametric, type_: Type) -> None:
    x = every_event(type_)
    given = {
        name: torch.as_tensor(value, dtype=torch.float64).expand(1, *op.shape_of(name, type_)).clone().requires_grad_()
        for name, value in op.parameters().items()
    }
    value = distribution_twin(op).log_prob(op, given, x, StepContext(type_))
    torch.testing.assert_close(value, distribution_twin(op).log_prob(op, {}, x, StepContext(type_)))
    value.sum().backward()
    assert all(v.grad is not None and bool(v.grad.isfinite().all()) for v in given.values())


# ---- divergences ----------------------------------------------------------------------------------------------------

DOUBLE = torch.float64
PAIRS: tuple[tuple[AbstractParametric, AbstractParametric, Any, Any, Type], ...] = (
    (Normal(loc=1, scale=2), Normal(loc=(0, -1), scale=0.5), reference.Normal(T(1.0), T(2.0)),
     reference.Normal(T([0.0, -1.0]), T(0.5)), Type(REAL, TWO)),
    (Laplace(loc=1, scale=2), Laplace(loc=(0, -1), scale=0.5), reference.Laplace(T(1.0), T(2.0)),
     reference.Laplace(T([0.0, -1.0]), T(0.5)), Type(REAL, TWO)),
    (Exponential(rate=2), Exponential(rate=(1, 3)), reference.Exponential(T(2.0)), reference.Exponential(T([1.0, 3.0])),
     Type(POSITIVE, TWO)),
    (Gamma(concentration=2, rate=3), Gamma(concentration=(1, 0.5), rate=2), reference.Gamma(T(2.0), T(3.0)),
     reference.Gamma(T([1.0, 0.5]), T(2.0)), Type(POSITIVE, TWO)),
    (LogNormal(loc=1, scale=2), LogNormal(loc=(0, -1), scale=0.5), reference.LogNormal(T(1.0), T(2.0)),
     reference.LogNormal(T([0.0, -1.0]), T(0.5)), Type(POSITIVE, TWO)),
    (HalfNormal(scale=2), HalfNormal(scale=(1, 3)), reference.HalfNormal(T(2.0)), reference.HalfNormal(T([1.0, 3.0])),
     Type(POSITIVE, TWO)),
    (Beta(concentration1=2, concentration0=3), Beta(concentration1=(1, 0.5), concentration0=2),
     reference.Beta(T(2.0), T(3.0)), reference.Beta(T([1.0, 0.5]), T(2.0)), Type(UNIT, TWO)),
    (Bernoulli(probs=0.3), Bernoulli(logits=(0, 2)), reference.Bernoulli(T(0.3)),
     reference.Bernoulli(logits=T([0.0, 2.0])), Type(BINARY, TWO)),
    (Categorical(probs=(0.2, 0.3, 0.5)), Categorical(logits=(1, 0, 0)),
     reference.Categorical(T([[0.2, 0.3, 0.5]] * 2)), reference.Categorical(logits=T([1.0, 0.0, 0.0])),
     Type(category(3), TWO)),
)  # fmt: skip


@pytest.mark.parametrize(("q", "p", "ours", "theirs", "type_"), PAIRS, ids=lambda v: getattr(v, "name", ""))
def test_divergences_are_torchs(
    q: AbstractParametric, p: AbstractParametric, ours: Any, theirs: Any, type_: Type
) -> None:
    divergence = distribution_twin(q).divergence
    assert q.has_divergence(p) and divergence is not None
    like = torch.zeros(3, *type_.shape, dtype=DOUBLE)
    found = divergence(q, {}, p, {}, StepContext(type_), like)
    expected = (torch.zeros(2) + reference.kl_divergence(ours, theirs)).sum().double()
    torch.testing.assert_close(found, expected.expand(3), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(divergence(q, {}, q, {}, StepContext(type_), like), like.new_zeros(3))


def test_every_law_that_says_so_has_a_divergence_and_all_have_a_mean() -> None:
    tested = {type(q) for q, *_ in PAIRS}
    for cls in library():
        if issubclass(cls, AbstractProduct):
            assert twin_of(cls).mean is not None
            says = getattr(cls, "closed_divergence", False)
            assert says == (cls in tested) and says <= (twin_of(cls).divergence is not None), cls.name
