"""Laws of densities, over the whole library: total mass one, draws that follow them, KL under a change of variables."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from scipy import stats
from torch import Tensor

import dgmspec
from dgmspec.core.types import Support
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.registry import twin_of
from dgmspec.ops import library
from dgmspec.ops.distributions.product import AbstractProduct
from dgmspec.runtime.quadrature import integrate
from tests.flows import compiled, flow, share_inside
from tests.test_composites import flows
from tests.zoo import step_texts

DOUBLE = torch.float64
STEPS = tuple(
    pytest.param(step, marks=[pytest.mark.slow] if step.startswith("inverse block") else [])  # solved point by point
    for step in dict.fromkeys(step_texts())
)
TYPES = (
    "real[2]", "real[1]", "real", "unit[2]", "unit", "positive[2]", "interval(-1, 1)[2]", "interval(0, 17)",
    "integer(0..16)[2]", "real[2, 1]", "circle[2]", "circle",
)  # fmt: skip
"""Types of one and two coordinates, those of every support among them."""

DISCRETE = ("binary", "category(2)", "category(3)", "integer(0..9)")
LAWS = {
    example: support
    for cls in library()
    if cls.role == "distribution"
    for example in cls.examples
    for support in ("real", "positive", "unit", "interval(-1, 3)", "circle", *DISCRETE)
    if not dgmspec.diagnose(f"dgm 1\nmodel M {{ observe x : {support}[2] ~ {example} }}").diagnostics
}
"""Every example of a distribution, and the support it is declared to live on."""

CONTINUOUS = ("real", "positive", "unit", "interval", "circle")
WITHOUT = {
    example for cls in library() if cls.role == "distribution" and cls.density == "none" for example in cls.examples
}
"""Those that only draw: they have no density to be tried."""
DENSE = [law for law in LAWS if law not in WITHOUT]
each_law = pytest.mark.parametrize("law", DENSE)


def law_model(law: str) -> CompiledModel:
    """Two coordinates with this law, without any arrow."""
    text = f"dgm 1\nmodel M {{ observe x : {LAWS[law]}[2] ~ {law} }}"
    return dgmspec.compile(dgmspec.parse(text), dtype=DOUBLE)


# ---- quadrature -----------------------------------------------------------------------------------------------------


@cache
def nodes(support: Support, count: int, reach: float = 4.8) -> tuple[Tensor, Tensor]:
    """Points of a support and their weights: trapezia after a substitution that is fine at its ends (x = sinh(t) up to
    |t| = `reach` on the line, double-exponential where an end is finite); the integers where it is discrete."""
    low, high = support.low, support.high
    if not support.continuous:
        points = torch.arange(int(low), int(high) + 1, dtype=DOUBLE)
        return points, torch.ones_like(points)
    reach = reach if math.isinf(low) else 3.4
    t = torch.linspace(-reach, reach, count, dtype=DOUBLE)
    if math.isinf(low):
        x, slope = torch.sinh(t), torch.cosh(t)
    elif math.isinf(high):
        x = low + torch.exp(math.pi / 2 * torch.sinh(t))
        slope = (x - low) * math.pi / 2 * torch.cosh(t)
    else:
        t = t * 0.85
        unit = torch.sigmoid(math.pi * torch.sinh(t))
        x = low + (high - low) * unit
        slope = (high - low) * math.pi * torch.cosh(t) * unit * torch.sigmoid(-math.pi * torch.sinh(t))
    return x, slope * (t[1] - t[0])


def masses(model: CompiledModel, count: int, reach: float = 4.8) -> Tensor:
    """p(x) times the weights on a grid of the one observed variable, (count,) or (count, count)."""
    (type_,) = model.observed.values()
    x, weights = nodes(type_.support, count, reach)
    grid = torch.cartesian_prod(*[x] * type_.size).reshape(-1, *type_.shape)
    given = {name: torch.full((1, *t.shape), 0.7, dtype=DOUBLE) for name, t in model.givens.items()}
    seeds = range(16 if model.density == "lower bound" else 1)  # the geometric mean of draws is no larger on average

    def density_of(part: Tensor) -> Tensor:
        return torch.stack([model.log_prob(part, given=given or None, seed=seed) for seed in seeds]).mean(0).exp()

    with torch.no_grad():
        density = torch.cat([density_of(part) for part in grid.split(40_000)])
    found = density.reshape([len(x)] * type_.size)
    for axis in range(type_.size):
        found = found * weights.reshape([-1 if i == axis else 1 for i in range(type_.size)])
    return found


def total(model: CompiledModel) -> float:
    """The density's integral, by grids that grow finer and wider until one shows a mass of one, or the finest."""
    size = model.observed["x"].size
    mass = 0.0
    for count, reach in ((200, 4.8), (450, 4.8), (1_000, 7)) if size > 1 else ((3_000, 5), (30_000, 10)):
        mass = float(masses(model, count, reach).sum())
        if abs(mass - 1) < 5e-4:
            return mass
    mass = adaptive(model)
    return mass if abs(mass - 1) < 5e-4 else float(masses(model, 2_000, 10).sum())


def adaptive(model: CompiledModel) -> float:
    """The integral in cells that are refined where the density jumps."""
    (type_,) = model.observed.values()
    given = {name: torch.full((1, *t.shape), 0.7, dtype=DOUBLE) for name, t in model.givens.items()} or None

    def density(points: Tensor) -> Tensor:
        with torch.no_grad():
            return model.log_prob(points.reshape(-1, *type_.shape), given=given, seed=0).exp()[:, None]

    low, high = (torch.full((type_.size,), end, dtype=DOUBLE) for end in (type_.support.low, type_.support.high))
    inner = torch.maximum(low, -4 * torch.ones_like(low)), torch.minimum(high, 4 * torch.ones_like(high))
    return float(integrate(density, *inner, (low, high), tolerance=5e-4, budget=3_000_000).value[0])


# ---- distributions --------------------------------------------------------------------------------------------------


def test_every_distribution_is_reached() -> None:
    laws = [cls for cls in library() if cls.role == "distribution" and not cls.of_posterior]
    examples = {example for cls in laws for example in cls.examples}
    assert examples == set(LAWS)
    assert all((twin_of(cls).mean is not None) == cls.has_mean for cls in laws)


@each_law
def test_a_distribution_integrates_to_one(law: str) -> None:
    assert float(masses(law_model(law), 700, reach=10).sum()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("law", [law for law in DENSE if LAWS[law].startswith(CONTINUOUS)])
def test_samples_follow_the_density(law: str) -> None:
    # Kolmogorov and Smirnov, each coordinate against the distribution function that the density integrates to.
    model = law_model(law)
    samples = model.sample(4_000, seed=1)
    points, _ = nodes(model.observed["x"].support, 700, 10)
    grid = masses(model, 700, reach=10)
    for axis in range(2):
        mass = grid.sum(1 - axis)
        reached = (mass.cumsum(0) - mass / 2).numpy()
        cdf = lambda x, reached=reached: np.interp(x, points.numpy(), reached)  # noqa: E731
        assert stats.kstest(samples[:, axis].numpy(), cdf).pvalue > 1e-4


@pytest.mark.parametrize("law", LAWS)
def test_draws_are_the_same_whatever_the_batch_split(law: str) -> None:
    model = law_model(law)
    whole = model.sample(600, seed=3)
    assert torch.equal(torch.cat([model.sample(300, seed=3), model.sample(300, seed=3, start=300)]), whole)
    assert torch.equal(model.sample(1, seed=3, start=255), whole[255:256])
    if len(whole.unique(dim=0)) > 1:  # the nearest code is no matter of chance
        assert not torch.equal(model.sample(600, seed=4), whole)


def learnable() -> list[tuple[str, str, str]]:
    """(law with `a` as one parameter, its support, the declaration of `a`) for all that may be learned."""
    found = []
    for cls in library():
        law = next((law for law in cls.examples if "[" not in law), None)
        if law is not None and issubclass(cls, AbstractProduct) and cls.pathwise:
            op = law_model(law).graph.variables["x"].prior.op
            for name in sorted(cls.domains.keys() - set(cls.fixed)):
                others = [f"{k} = {v}" for k, v in op.parameters().items() if k != name]
                text = f"{cls.name}({', '.join([*others, f'{name} = a'])})"
                found.append((text, LAWS[law], str(cls.domains[name])))
    return found


@pytest.mark.parametrize(("law", "support", "domain"), learnable())
def test_draws_and_densities_are_differentiable(law: str, support: str, domain: str) -> None:
    text = f"dgm 1\nmodel M {{ learn a : {domain} = 1.3; observe x : {support}[2] ~ {law} }}"
    model = dgmspec.compile(dgmspec.parse(text), dtype=DOUBLE)
    (parameter,) = model.parameters()
    x, variable = model.sample(20, seed=0), model.graph.variables["x"]
    drawn, scored = (lambda: model.rsample(20, seed=0).pow(2).sum()), (lambda: model.log_prob(x).sum())
    # Proposals that are chosen among jump as a shape moves: gradients through them are tried against the score's.
    chosen = any("/proposed/" in draw.name for draw in variable.prior.op.draws(model.graph.type_of(variable.value)))
    for value in (scored,) if chosen else (drawn, scored):
        (gradient,) = torch.autograd.grad(value(), parameter)
        step, start = 1e-5, parameter.detach().clone()
        moved = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.copy_(start + sign * step)
                moved.append(value())
                parameter.copy_(start)
        torch.testing.assert_close(gradient, (moved[0] - moved[1]) / (2 * step), rtol=1e-6, atol=1e-6)
        assert gradient != 0


# ---- flows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_a_step_before_a_prior_is_normalised(step: str) -> None:
    texts = {before: flow(before, [step]) for before in TYPES}
    for before, text in texts.items():
        if text is not None:
            model = compiled(text, seed=1, scale=0.1)
            if model.density == "estimate":
                continue  # its mean is held against the exact value; the exponential of an estimate is too large
            if model.density == "lower bound":
                assert 0.1 < float(masses(model, 200).sum()) < 1 + 1e-3, before
            else:
                assert total(model) == pytest.approx(1, abs=1e-3), before


@pytest.mark.parametrize(
    "step", [s for s in STEPS if s.values[0].startswith(("coupling", "autoregressive", "inverse co"))]
)
def test_a_flow_of_a_context_is_normalised(step: str) -> None:
    text = flow("real[2]", [step, "permute(reverse)", step], context=True)
    if text is None:
        pytest.skip("refused on two coordinates")
    assert total(compiled(text, seed=2, scale=0.1)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("shapes", "examples"),
    [
        (("", "[1]"), 6),
        (("[2]",), 3),
        pytest.param(("", "[1]"), 200, marks=pytest.mark.slow),
        pytest.param(("[2]", "[2]", "[2, 1]"), 60, marks=pytest.mark.slow),
    ],
)
def test_random_flows_are_normalised(shapes: tuple[str, ...], examples: int) -> None:
    """Chains of several steps on one and two coordinates; those on more have determinants (`test_composites.py`)."""

    def holds(found: tuple[str, int]) -> None:
        if "leaky_relu" in found[0] and "[2]" in shapes:
            return  # a density a hundred times as high beyond a curve in the plane: no quadrature is that fine
        model = compiled(*found, scale=0.1)
        if model.density == "exact":
            assert total(model) == pytest.approx(1, abs=1e-3), found[0]
        elif model.density == "lower bound":  # what is left of it inside the support of the data
            assert total(model) == pytest.approx(share_inside(model), abs=0.03), found[0]

    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    decorate = settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=checks)
    decorate(given(flows(shapes=shapes))(holds))()


@pytest.mark.parametrize(
    "steps",
    [
        ("linear(plu)", "abs(net = mlp(8))", "inverse softplus", "coupling(rqs(4), mask = half, net = mlp(8))"),
        ("coupling(rqs(4), mask = half, net = mlp(8))", "sort", "linear(plu)", "elementwise(rqs(4))"),
        ("actnorm", "planar", "max_pool(2, net = mlp(8))", "elementwise(sigmoid_mixture(4))"),
        ("elementwise(rqs(4))", "max_pool(2)", "abs(net = mlp(4))", "inverse softplus"),
    ],
)
def test_chains_that_take_several_events_to_one_are_normalised(steps: tuple[str, ...]) -> None:
    text = flow("real[2]", steps)
    assert text is not None
    assert total(compiled(text, seed=3, scale=0.2)) == pytest.approx(1, abs=1e-3)


CHAIN = (
    "coupling(rqs(4), mask = half, net = mlp(8))",
    "linear(plu)",
    "autoregressive(affine, net = made(8))",
    "elementwise(rqs(4))",
)


def test_samples_of_a_flow_carry_its_density_whatever_the_batch_split() -> None:
    text = flow("real[2]", CHAIN)
    assert text is not None
    model = compiled(text)
    whole = model.sample(100, seed=5)
    torch.testing.assert_close(torch.cat([model.sample(50, seed=5), model.sample(50, seed=5, start=50)]), whole)
    samples, log_prob = model.sample_and_log_prob(100, seed=5)
    torch.testing.assert_close(samples, whole)
    torch.testing.assert_close(model.log_prob(samples), log_prob, rtol=1e-9, atol=1e-9)


# ---- Kullback-Leibler divergence under a change of variables ---------------------------------------------------------

KNOWN = ("shift_scale(shift = [1, -2], scale = [0.5, 4])", "linear(plu)", "shift_scale(0.3, 2)")
"""The map that takes x ~ p to a standard normal."""


def known(x: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """log p(x) of the Gaussian that an affine map u = A x + b takes to N(0, I)."""
    u = x @ matrix.T + bias
    return -0.5 * (u**2).sum(1) - math.log(2 * math.pi) + torch.linalg.slogdet(matrix).logabsdet


def pushed(q: CompiledModel, p: CompiledModel) -> CompiledModel:
    """The density of z = f(x) for x ~ p, compiled from a text of its own: z -> x -> u with the steps of q undone."""
    undone = "inverse { " + "; ".join(CHAIN) + " }"
    text = (
        "dgm 1\nmodel M { observe z : real[2]; latent x : real[2]; latent u : real[2] ~ normal(0, 1)\n"
        f"flow z -> x {{ {undone} }}\nflow x -> u {{ {'; '.join(KNOWN)} }} }}"
    )
    model = compiled(text)
    values = {f"z->x {key.split('/', 2)[2]}": value for key, value in q.state_dict().items()}
    values |= {f"x->u {key.split('/', 2)[2]}": value for key, value in p.state_dict().items()}
    own = {}
    for key in model.state_dict():
        _, arrow, rest = key.split("/", 2)
        own[key] = values[f"{arrow} {rest.removeprefix('inverse/').removeprefix('0/') if arrow == 'z->x' else rest}"]
    model.load_state_dict(own)
    return model


def test_kl_is_the_same_in_x_and_in_z() -> None:
    flow_text, known_text = flow("real[2]", CHAIN), flow("real[2]", KNOWN)
    assert flow_text and known_text
    q, p = compiled(flow_text, seed=1), compiled(known_text, seed=2)
    bias = p.encode(torch.zeros(1, 2, dtype=DOUBLE))[0]
    matrix = (p.encode(torch.eye(2, dtype=DOUBLE)) - bias).T
    transported = pushed(q, p)
    for x in (p.sample(2_000, seed=0), q.sample(2_000, seed=0)):  # the points of KL(p || q), and of KL(q || p)
        z = q.encode(x)
        torch.testing.assert_close(p.log_prob(x), known(x, matrix, bias), rtol=0, atol=1e-10)
        in_x = (known(x, matrix, bias) - q.log_prob(x)).mean()
        normal = -0.5 * (z**2).sum(1) - math.log(2 * math.pi)
        in_z = (transported.log_prob(z) - normal).mean()
        torch.testing.assert_close(in_z, in_x, rtol=0, atol=1e-10)


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_a_sigmoid_before_a_normal_prior_is_refused_because_a_third_of_the_mass_is_all_it_would_reach() -> None:
    text = "dgm 1\nmodel M {{ observe x : real; latent z : {}; flow x -> z {{ sigmoid }} }}"
    found = dgmspec.diagnose(text.format("real ~ normal(0, 1)")).diagnostics
    assert [d.code for d in found] == ["DGM302"]
    model = dgmspec.compile(dgmspec.parse(text.format("unit")), dtype=DOUBLE)
    x, weights = nodes(model.observed["x"].support, 2_000)
    ledger = model.ledger(x, direction="encode")
    z = model.encode(x)
    wrong = torch.distributions.Normal(0, 1).log_prob(z) + ledger.total
    mass = float((wrong.exp() * weights).sum())
    assert mass == pytest.approx(stats.norm.cdf(1) - stats.norm.cdf(0), abs=1e-6)
    assert mass == pytest.approx(0.3413, abs=1e-4)
