"""The law `autoregressive`: probabilities that sum to 1, draws that follow them, and one net for both."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import dgmspec
from dgmspec.core.types import Type
from dgmspec.modules.compiled import CompiledModel
from tests.zoo import randomise

LAWS = (
    ("bernoulli", "binary[4]", "made(16)", "dag([[0, 1], [0, 2], [2, 3]])"),
    ("categorical", "category(3)[3]", "made(24, 24)", "reverse"),
    ("discretized_logistic(components = 2)", "integer(2..5)[3]", "mlp(16)", "random(1)"),
    ("beta_binomial", "integer(0..2)[3]", "resmlp(12, 1)", "natural"),
    ("categorical", "category(3)[1, 2, 2]", "masked_conv(6)", "raster"),
    ("bernoulli", "binary[2, 2, 2]", "masked_conv(6)", "raster(1)"),
)


def compiled(law: str, support: str, net: str, order: str, given: bool = False) -> CompiledModel:
    """One law, given a label or not, its net moved far from its start."""
    bar, member = (" | c", "given c : category(2); ") if given else ("", "")
    text = f"""dgm 1
    model M {{
        {member}observe x : {support}
        generate x{bar} ~ autoregressive({law}, order = {order}, net = {net})
        loss = nll
    }}
    """
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)
    randomise(model, scale=0.7)
    return model.eval()


def events(type_: Type) -> Tensor:
    """Every event of a discrete type."""
    values = range(int(type_.support.low), int(type_.support.high) + 1)
    return torch.tensor(list(product(values, repeat=type_.size)), dtype=torch.float64).reshape(-1, *type_.shape)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("case", LAWS, ids=lambda case: f"{case[0]} {case[2]}")
def test_probabilities_sum_to_one_and_draws_follow_them(case: tuple[str, str, str, str], given: bool) -> None:
    model = compiled(*case, given)
    type_, count = model.type_of("x"), 20_000
    x = events(type_)
    label = {"c": torch.ones(len(x))} if given else None
    with torch.no_grad():
        chances = model.log_prob(x, given=label).exp()
        drawn = model.sample(count, given={"c": torch.ones(1)} if given else None, seed=0)
    assert chances.sum().item() == pytest.approx(1, abs=1e-12)
    size = int(type_.support.high - type_.support.low) + 1
    places = torch.tensor([size**k for k in reversed(range(type_.size))], dtype=torch.float64)
    index = ((drawn.reshape(count, -1) - type_.support.low) @ places).long()
    found = torch.bincount(index, minlength=len(x))
    kept = chances > 1e-3
    expected = torch.cat([chances[kept], chances[~kept].sum()[None]]) * count
    seen = torch.cat([found[kept], found[~kept].sum()[None]])
    kept_again = expected > 5
    statistic = ((seen - expected).square() / expected)[kept_again].sum()
    degrees = int(kept_again.sum()) - 1
    assert statistic < degrees + 5 * (2 * degrees) ** 0.5


def test_real_events_are_drawn_with_their_density() -> None:
    model = compiled("normal", "real[5]", "made(16)", "random(2)")
    x, log_prob = model.sample_and_log_prob(64, seed=1)
    torch.testing.assert_close(model.log_prob(x), log_prob)
    torch.testing.assert_close(model.sample(64, seed=1), x)


def test_draws_are_differentiable_where_the_law_says_so() -> None:
    model = compiled("normal", "real[3]", "made(8)", "natural")
    model.sample_and_log_prob(8, seed=0)[0].square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_a_draw_costs_the_arithmetic_of_about_one_pass() -> None:
    model, counts = compiled("bernoulli", "binary[64]", "made(128, 128)", "natural"), []
    x = torch.zeros(4, 64, dtype=torch.float64)
    for run in (lambda: model.log_prob(x), lambda: model.sample(4, seed=0)):
        with FlopCounterMode(display=False) as flops, torch.no_grad():
            run()
        counts.append(flops.get_total_flops())
    assert counts[1] <= counts[0]


@pytest.mark.parametrize(
    ("law", "code"),
    [
        ("autoregressive(bernoulli(0.3), net = made(8))", "DGM477"),
        ("autoregressive(bernoulli(logits = 1), net = made(8))", "DGM477"),
        ("autoregressive(mixture(bernoulli(0.1), bernoulli(0.2)), net = made(8))", "DGM477"),
        ("autoregressive(bernoulli, net = transformer(8, 1, 1))", "DGM444"),
        ("autoregressive(bernoulli, net = masked_conv(8))", "DGM447"),
        ("autoregressive(bernoulli, order = raster, net = made(8))", "DGM468"),
        ("autoregressive(bernoulli, order = dag([[0, 1], [1, 0]]), net = made(8))", "DGM466"),
        ("autoregressive(normal, net = made(8))", "DGM306"),
    ],
)
def test_laws_that_cannot_be_are_refused(law: str, code: str) -> None:
    text = f"dgm 1\nmodel M {{ observe x : binary[3]; generate x ~ {law}; loss = nll }}"
    found = [d.code for d in dgmspec.diagnose(text).diagnostics if d.severity == "error"]
    assert found == [code]


def test_the_compiled_program_is_the_same() -> None:
    model = compiled("bernoulli", "binary[4]", "made(8)", "natural")
    other, x = model.compiled(backend="aot_eager"), events(model.type_of("x"))
    torch.testing.assert_close(other.log_prob(x), model.log_prob(x))
    torch.testing.assert_close(other.sample(8, seed=0), model.sample(8, seed=0))
