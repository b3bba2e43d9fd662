"""The law `autoregressive`: probabilities that sum to 1, draws that follow them, and one net for both."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import dgmspec
from dgmspec.core.types import Type
from dgmspec.modules import autoregression
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.registry import twin_of
from dgmspec.modules.twin import StepContext
from dgmspec.ops.distributions import Autoregressive
from tests.zoo import draw_event, randomise

LAWS = (
    ("bernoulli", "binary[4]", "made(16)", "dag([[0, 1], [0, 2], [2, 3]])"),
    ("categorical", "category(3)[3]", "made(24, 24)", "reverse"),
    ("discretized_logistic(components = 2)", "integer(2..5)[3]", "mlp(16)", "random(1)"),
    ("beta_binomial", "integer(0..2)[3]", "resmlp(12, 1)", "natural"),
    ("poisson", "integer(0..2)[3]", "made(12)", "natural"),
    ("categorical", "category(3)[1, 2, 2]", "masked_conv(6)", "raster"),
    ("bernoulli", "binary[2, 2, 2]", "masked_conv(6)", "raster(1)"),
    ("bernoulli", "binary[4]", "transformer(8, depth = 2, heads = 2)", "random(1)"),
    ("categorical", "category(3)[3]", "transformer(8, heads = 2, position = none)", "reverse"),
    ("discretized_logistic(components = 2)", "integer(2..5)[1, 1, 3]", "transformer(8)", "raster"),
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


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(("law", "support", "net"), [
    ("normal", "real[5]", "made(16)"),
    ("normal", "real[5]", "transformer(8, depth = 2, heads = 2)"),
    ("laplace", "real[5]", "made(16)"),
    ("student_t(4)", "real[3]", "made(16)"),
    ("gamma", "positive[3]", "made(16)"),
])  # fmt: skip
def test_real_events_are_drawn_with_their_density(law: str, support: str, net: str, given: bool) -> None:
    """The product of the conditionals that a draw goes through, one by one, is the density in one pass."""
    model = compiled(law, support, net, "random(2)", given)
    label = {"c": torch.ones(1)} if given else None
    with torch.no_grad():  # keys and values are held in place
        x, log_prob = model.sample_and_log_prob(64, given=label, seed=1)
        torch.testing.assert_close(model.log_prob(x, given=label), log_prob)
    again, joined = model.sample_and_log_prob(64, given=label, seed=1)  # and joined where gradients pass
    torch.testing.assert_close(again, x)
    torch.testing.assert_close(joined, log_prob)


@pytest.mark.parametrize("support", ["real[2, 3]", "category(3)[6]", "integer(0..9)[6]"])
def test_a_transformer_reads_what_comes_before_alone(support: str) -> None:
    law = {"r": "normal", "i": "discretized_logistic", "c": "categorical"}[support[0]]
    model = compiled(law, support, "transformer(8, depth = 2, heads = 2)", "random(3)")
    (prior,) = [v.prior for v in model.graph.variables.values() if v.prior is not None]
    op, event = prior.op, model.type_of("x")
    assert isinstance(op, Autoregressive)
    own = {key.removeprefix(f"{prior.address}/"): value for key, value in model.values().items()}
    ctx = StepContext(event, plan=twin_of(Autoregressive).plan(op, event, None))
    x = draw_event(event, 1, seed=0).double().reshape(1, -1)
    plain = autoregression.planes(op.net, own, x, ctx)
    ranks, reads = op.order.precedence(event.shape).ranks, []
    for j in range(event.size):
        other = x.index_copy(1, torch.tensor([j]), (x[:, [j]] + 1) % 3)
        moved = (autoregression.planes(op.net, own, other, ctx) - plain).abs().sum((0, 1))
        reads.append((moved > 1e-12).tolist())
    assert reads == [[ranks[j] < ranks[i] for i in range(event.size)] for j in range(event.size)]


@pytest.mark.parametrize(("scalar", "support"), [("affine", "real"), ("rqs(4)", "real"), ("rqs(4)", "circle")])
def test_a_transformer_conditions_a_bijector(scalar: str, support: str) -> None:
    prior = {"real": "normal(0, 1)", "circle": "uniform(-pi, pi)"}[support]
    step = f"autoregressive({scalar}, order = random(1), net = transformer(8, depth = 1, heads = 2))"
    members = f"observe x : {support}[4]; given c : real[2]; latent z : {support}[4] ~ {prior}"
    model = dgmspec.compile(
        dgmspec.parse(f"dgm 1\nmodel M {{ {members}; flow x -> z | c {{ {step} }} }}"), dtype=torch.float64
    )
    randomise(model, scale=0.7)
    given = {"c": torch.tensor([[0.3, -1.0]], dtype=torch.float64)}
    x = model.eval().sample(16, given=given, seed=0)
    torch.testing.assert_close(model.decode(model.encode(x, given=given), given=given), x)
    slopes = torch.autograd.functional.jacobian(lambda v: model.encode(v, given=given).sum(0), x)
    expected = torch.stack([torch.linalg.slogdet(slopes[:, i]).logabsdet for i in range(16)])
    torch.testing.assert_close(model.ledger(x, given=given, direction="encode").total, expected)
    order = next(iter(model.graph.steps.values())).op.jacobian(model.type_of("x"), None)
    pattern = torch.tensor([[bool(order.dependency.rows[i] >> j & 1) for j in range(4)] for i in range(4)])
    assert not bool((slopes.abs().sum(1)[~pattern] > 1e-12).any())


@pytest.mark.parametrize("net", ["made(8)", "transformer(8)"])
def test_draws_are_differentiable_where_the_law_says_so(net: str) -> None:
    model = compiled("normal", "real[3]", net, "natural")
    model.sample_and_log_prob(8, seed=0)[0].square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("net", ["made(128, 128)", "transformer(16, depth = 2, heads = 2)"])
def test_a_draw_costs_the_arithmetic_of_about_one_pass(net: str) -> None:
    model, counts = compiled("bernoulli", "binary[64]", net, "natural"), []
    x = torch.zeros(4, 64, dtype=torch.float64)
    for run in (lambda: model.log_prob(x), lambda: model.sample(4, seed=0)):
        with FlopCounterMode(display=False) as flops, torch.no_grad():
            run()
        counts.append(flops.get_total_flops())
    assert counts[1] <= 1.02 * counts[0]


@pytest.mark.parametrize(
    ("law", "code"),
    [
        ("autoregressive(bernoulli(0.3), net = made(8))", "DGM477"),
        ("autoregressive(bernoulli(logits = 1), net = made(8))", "DGM477"),
        ("autoregressive(mixture(bernoulli(0.1), bernoulli(0.2)), net = made(8))", "DGM477"),
        ("autoregressive(bernoulli, net = conv(8))", "DGM444"),
        ("autoregressive(bernoulli, order = dag([[0, 1], [0, 2]]), net = transformer(8, 1, 1))", "DGM469"),
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


@pytest.mark.parametrize("net", ["made(8)", "transformer(8, depth = 1)"])
def test_the_compiled_program_is_the_same(net: str) -> None:
    model = compiled("bernoulli", "binary[4]", net, "natural")
    other, x = model.compiled(backend="aot_eager"), events(model.type_of("x"))
    torch.testing.assert_close(other.log_prob(x), model.log_prob(x))
    torch.testing.assert_close(other.sample(8, seed=0), model.sample(8, seed=0))
