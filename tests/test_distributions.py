"""Distributions against torch's and scipy's densities, their draws against their densities, and what is refused.

Training declarations and data sources are tied to what runs them at the end.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch import distributions as reference

from dgmspec.algebra.nodes import Name
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.parameters import Draw
from dgmspec.core.types import POSITIVE, REAL, UNIT, Type, interval
from dgmspec.modules.registry import distribution_twin
from dgmspec.modules.twin import StepContext
from dgmspec.ops import library, names
from dgmspec.ops.data import AbstractData, AbstractFile, AbstractToy, Digits
from dgmspec.ops.distributions import (
    AbstractParametric,
    Beta,
    Cauchy,
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    Laplace,
    Logistic,
    LogNormal,
    Mixture,
    Normal,
    StudentT,
    Uniform,
    VonMises,
)
from dgmspec.ops.training import Holdout, Train
from dgmspec.runtime.data.sources import SOURCES
from dgmspec.runtime.optim import OPTIMIZERS, SHAPES
from dgmspec.runtime.toys import TOYS

PLANE = Type(REAL, (2,))
T = torch.tensor


def logistic(loc: Tensor, scale: Tensor) -> reference.Distribution:
    base = reference.Uniform(torch.zeros_like(loc), torch.ones_like(loc))
    transforms = [reference.SigmoidTransform().inv, reference.AffineTransform(loc, scale)]
    return reference.TransformedDistribution(base, transforms)


PRODUCTS: tuple[tuple[AbstractParametric, Any], ...] = (
    (Normal(loc=1, scale=2), reference.Normal(T(1.0).double(), T(2.0).double())),
    (Normal(loc=(1, -1), scale=0.5), reference.Normal(T([1.0, -1.0]).double(), T(0.5).double())),
    (Uniform(low=-1, high=3), reference.Uniform(T(-1.0).double(), T(3.0).double())),
    (Logistic(loc=1, scale=2), logistic(T(1.0).double(), T(2.0).double())),
    (Laplace(loc=1, scale=2), reference.Laplace(T(1.0).double(), T(2.0).double())),
    (StudentT(df=3, loc=1, scale=2), reference.StudentT(T(3.0).double(), T(1.0).double(), T(2.0).double())),
    (StudentT(df=(3, 0.5), scale=(1, 2)), reference.StudentT(T([3, 0.5]).double(), 0.0, T([1.0, 2.0]).double())),
    (Cauchy(loc=1, scale=2), reference.Cauchy(T(1.0).double(), T(2.0).double())),
    (Exponential(rate=2), reference.Exponential(T(2.0).double())),
    (LogNormal(loc=1, scale=2), reference.LogNormal(T(1.0).double(), T(2.0).double())),
    (LogNormal(loc=(1, -1), scale=0.5), reference.LogNormal(T([1.0, -1.0]).double(), T(0.5).double())),
    (HalfNormal(scale=(2, 0.5)), reference.HalfNormal(T([2.0, 0.5]).double())),
    (HalfCauchy(scale=(5, 0.5)), reference.HalfCauchy(T([5.0, 0.5]).double())),
    (Gamma(concentration=0.5, rate=2), reference.Gamma(T(0.5).double(), T(2.0).double())),
    (Gamma(concentration=(1, 4), rate=(1, 3)), reference.Gamma(T([1.0, 4.0]).double(), T([1.0, 3.0]).double())),
    (Beta(concentration1=2, concentration0=0.5), reference.Beta(T(2.0).double(), T(0.5).double())),
    (Beta(concentration1=(2, 1), concentration0=3), reference.Beta(T([2.0, 1.0]).double(), T(3.0).double())),
)


def label(value: Any) -> str:
    return repr(value) if isinstance(value, AbstractParametric) else ""


def noise(draw: Draw, batch: int, generator: torch.Generator) -> Tensor:
    shape = (batch, *draw.shape)
    match draw.law:
        case "normal":
            return torch.randn(shape, generator=generator, dtype=torch.float64)
        case "exponential":
            return torch.empty(shape, dtype=torch.float64).exponential_(generator=generator)
        case "gamma":
            return torch._standard_gamma(torch.full(shape, draw.parameter).double(), generator=generator)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def draw_events(
    op: AbstractParametric, type_: Type, batch: int, p: dict[str, Any] | None = None, seed: int = 0
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    given = {draw.name: noise(draw, batch, generator) for draw in op.draws(type_)}
    return distribution_twin(op).draw(op, p or {}, StepContext(type_, noise=given), batch)


def log_prob(op: AbstractParametric, x: Tensor, p: dict[str, Any] | None = None) -> Tensor:
    return distribution_twin(op).log_prob(op, p or {}, x, StepContext(Type(REAL, tuple(x.shape[1:]))))


@pytest.mark.parametrize(("op", "expected"), PRODUCTS, ids=label)
def test_density_is_torchs(op: AbstractParametric, expected: Any) -> None:
    x = draw_events(op, PLANE, 50)
    torch.testing.assert_close(log_prob(op, x), expected.log_prob(x).sum(1), rtol=1e-10, atol=1e-10)
    if not isinstance(op, Uniform):
        x.requires_grad_()
        (ours,) = torch.autograd.grad(log_prob(op, x).sum(), x)
        (theirs,) = torch.autograd.grad(expected.log_prob(x).sum(), x)
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("op", "expected"), PRODUCTS, ids=label)
def test_draws_follow_the_density(op: AbstractParametric, expected: Any) -> None:
    # Kolmogorov and Smirnov on each coordinate; the twin's quantities against an independent draw of torch's.
    x = draw_events(op, PLANE, 4_000, seed=1)
    theirs = expected.expand([2]).sample((4_000,)) if not isinstance(op, Logistic) else expected.sample((4_000, 2))
    for i in range(2):
        assert stats.ks_2samp(x[:, i].numpy(), theirs.reshape(4_000, 2)[:, i].numpy()).pvalue > 1e-4
    low, high = op.support(PLANE).low, op.support(PLANE).high
    assert bool(((x > low) & (x < high)).all())


@pytest.mark.parametrize(("op", "expected"), PRODUCTS, ids=label)
def test_constants_may_arrive_evaluated(op: AbstractParametric, expected: Any) -> None:
    x = draw_events(op, PLANE, 6)
    given = {
        name: T(value).double() if isinstance(value, tuple) else torch.full((6, 2), value).double()
        for name, value in op.parameters().items()
    }
    torch.testing.assert_close(log_prob(op, x, given), log_prob(op, x))
    torch.testing.assert_close(draw_events(op, PLANE, 6, given), draw_events(op, PLANE, 6))


@pytest.mark.parametrize(("op", "expected"), PRODUCTS, ids=label)
def test_float32_stays_finite_in_the_tails(op: AbstractParametric, expected: Any) -> None:
    low, high = op.support(PLANE).low, op.support(PLANE).high
    tiny = torch.finfo(torch.float32).tiny
    edges = [low if low > -math.inf else -1e4, high if high < math.inf else 1e4]
    least = 2**12 * tiny if isinstance(op, LogNormal) else tiny  # below it the slope of log p itself is beyond float32
    inside = [edges[0] + least, edges[1] * (1 - 2**-23)]
    x = T([[inside[0]] * 2, [inside[1]] * 2], dtype=torch.float32, requires_grad=True)
    value = log_prob(op, x)
    assert value.dtype is torch.float32 and value.isfinite().all()
    value.sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


@pytest.mark.parametrize("op", [Uniform(low=0, high=1), Exponential(rate=1), Gamma(concentration=2, rate=1),
                                Beta(concentration1=2, concentration0=2), LogNormal(), HalfNormal(), HalfCauchy()],
                         ids=label)  # fmt: skip
def test_outside_the_support_the_density_is_zero(op: AbstractParametric) -> None:
    x = T([[-1.0, 0.5], [0.5, 0.5]], requires_grad=True)
    value = log_prob(op, x)
    assert value[0] == -math.inf and value[1].isfinite()
    value[1].backward()
    assert x.grad is not None and x.grad.isfinite().all()


@pytest.mark.parametrize(("op", "expected"), PRODUCTS, ids=label)
def test_extreme_noise_stays_inside_the_support(op: AbstractParametric, expected: Any) -> None:
    for extreme in (0.0, 1e-300, 1 - 2**-53):
        given = {draw.name: torch.full((1, *draw.shape), extreme) for draw in op.draws(PLANE)}
        x = distribution_twin(op).draw(op, {}, StepContext(PLANE, noise=given), 1)
        support = op.support(PLANE)
        assert x.isfinite().all() and bool(((x > support.low) & (x < support.high)).all())


def test_scalar_and_image_events() -> None:
    for shape in ((), (3, 2, 2)):
        type_ = Type(REAL, shape)
        x = draw_events(StudentT(df=5), type_, 7)
        assert x.shape == (7, *shape) and log_prob(StudentT(df=5), x).shape == (7,)


def test_parameters_move_draws_smoothly() -> None:
    loc = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    for op in (Normal(loc=Name(id="m")), Laplace(loc=Name(id="m")), Logistic(loc=Name(id="m")), StudentT(df=3)):
        x = draw_events(op, PLANE, 3, {"loc": loc})
        (grad,) = torch.autograd.grad(x.sum(), loc)
        torch.testing.assert_close(grad, torch.ones_like(grad))


# ---- learned shapes -------------------------------------------------------------------------------------------------

SHAPED: tuple[tuple[AbstractParametric, str, float, Any], ...] = tuple(
    (make(Name(id="k")), name, k, law(k))
    for make, name, law in (
        (lambda k: Gamma(concentration=k), "concentration", lambda k: reference.Gamma(T(k).double(), 1.0)),
        (lambda k: Beta(concentration1=k), "concentration1", lambda k: reference.Beta(T(k).double(), T(1.0).double())),
        (lambda k: StudentT(df=k), "df", lambda k: reference.StudentT(T(k).double())),
    )
    for k in (0.3, 2.5)
)


@pytest.mark.parametrize(("op", "name", "k", "expected"), SHAPED, ids=label)
def test_draws_of_a_learned_shape_follow_the_law_and_its_derivative(
    op: AbstractParametric, name: str, k: float, expected: Any
) -> None:
    value = torch.full((20_000, 2), k, dtype=torch.float64, requires_grad=True)
    x = draw_events(op, PLANE, len(value), {name: value}, seed=2)
    torch.testing.assert_close(log_prob(op, x, {name: value}), expected.log_prob(x).sum(1))
    theirs = expected.sample((len(value), 2))
    for i in range(2):
        assert stats.ks_2samp(x[:, i].detach().numpy(), theirs[:, i].numpy()).pvalue > 1e-4
    low, high = op.support(PLANE).low, op.support(PLANE).high
    assert bool(((x > low) & (x < high)).all())

    def squashed(x: Tensor) -> Tensor:
        return torch.log1p(x.square())

    # d/dk E f(x) through the draws, beside E f(x) d/dk log p(x).
    (through,) = torch.autograd.grad(squashed(x).sum(), value)
    (score,) = torch.autograd.grad(log_prob(op, x.detach(), {name: value}).sum(), value)
    mean = squashed(x).detach() - squashed(x).detach().mean()
    apart = (through - mean * score).flatten()
    assert abs(apart.mean()) < 5 * apart.std() / math.sqrt(len(apart)) and through.isfinite().all()


# ---- mixtures -------------------------------------------------------------------------------------------------------

TWO = Mixture(components=(Normal(loc=-2, scale=1), Normal(loc=2, scale=0.5)), weights=(1, 3))


def test_a_mixture_chooses_one_component_for_the_whole_event() -> None:
    x = 3 * torch.randn(20, 2, dtype=torch.float64)
    components = reference.Independent(
        reference.Normal(T([[-2.0, -2], [2, 2]]).double(), T([[1.0, 1], [0.5, 0.5]]).double()), 1
    )
    expected = reference.MixtureSameFamily(reference.Categorical(T([0.25, 0.75]).double()), components)
    torch.testing.assert_close(log_prob(TWO, x), expected.log_prob(x))
    drawn = draw_events(TWO, PLANE, 8_000)
    same_side = (drawn[:, 0] > 0) == (drawn[:, 1] > 0)
    assert same_side.double().mean() > 0.94
    right = (drawn[:, 0] > 0).double().mean().item()
    expected_share = 0.75 * (1 - stats.norm.cdf(-4)) + 0.25 * stats.norm.cdf(-2)
    assert abs(right - expected_share) < 4 * math.sqrt(0.25 / 8_000)


def test_mixtures_nest_and_read_their_parameters_by_path() -> None:
    inner = Mixture(components=(Laplace(loc=Name(id="a"), scale=1), Normal()))
    op = Mixture(components=(inner, StudentT(df=4)))
    assert set(op.parameters()) == {
        "components/0/components/0/loc", "components/0/components/0/scale", "components/0/components/1/loc",
        "components/0/components/1/scale", "components/1/df", "components/1/loc", "components/1/scale",
    }  # fmt: skip
    assert op.domain_of("components/0/components/0/scale") == POSITIVE
    given = {"components/0/components/0/loc": T(2.0).double()}
    x = draw_events(op, PLANE, 9, given)
    plain = Mixture(components=(Mixture(components=(Laplace(loc=2), Normal())), StudentT(df=4)))
    torch.testing.assert_close(log_prob(op, x, given), log_prob(plain, x))
    torch.testing.assert_close(x, draw_events(plain, PLANE, 9))
    assert op.support(PLANE) == REAL and TWO.probabilities == (0.25, 0.75)


# ---- supports and refusals ------------------------------------------------------------------------------------------


def test_supports_are_exact() -> None:
    assert Uniform(low=-1, high=2).support(PLANE) == interval(-1, 2)
    assert Uniform(low=0, high=1).support(PLANE) == UNIT == Beta(concentration1=1, concentration0=1).support(PLANE)
    assert Gamma(concentration=1, rate=1).support(PLANE) == POSITIVE == Exponential(rate=1).support(PLANE)
    assert Normal().support(PLANE) == REAL


REFUSED: tuple[tuple[str, str | None, Any], ...] = (
    ("DGM470", "scale", lambda: Normal(scale=0)),
    ("DGM470", "scale", lambda: Laplace(scale=(1, -1))),
    ("DGM470", "rate", lambda: Exponential(rate=-2)),
    ("DGM470", "df", lambda: StudentT(df=0)),
    ("DGM470", "concentration0", lambda: Beta(concentration1=1, concentration0=-1)),
    ("DGM471", "high", lambda: Uniform(low=1, high=0)),
    ("DGM471", "high", lambda: Uniform(low=1, high=1)),
    ("DGM472", None, lambda: Mixture()),
    ("DGM472", "weights", lambda: Mixture(components=(Normal(),), weights=(1, 2))),
    ("DGM472", "weights", lambda: Mixture(components=(Normal(), Normal()), weights=(1, 0))),
    ("DGM472", "weights", lambda: Mixture(components=(Normal(), Normal()), weights=(1e308, 1e-300))),
    ("DGM473", None, lambda: Mixture(components=(Normal(), Exponential(rate=1))).support(PLANE)),
    ("DGM474", "concentration", lambda: VonMises(loc=0, concentration=Name(id="a"))),
    ("DGM474", "low", lambda: Uniform(low=Name(id="a"), high=1)),
    ("DGM310", "loc", lambda: Normal(loc=(1, 2, 3)).support(PLANE)),
    ("DGM310", "scale", lambda: Normal(scale=(1, 2)).support(Type(REAL))),
)


@pytest.mark.parametrize(("code", "argument", "make"), REFUSED)
def test_refusals(code: str, argument: str | None, make: Any) -> None:
    with pytest.raises(Refusal) as refusal:
        make()
    assert (refusal.value.code, refusal.value.argument) == (code, argument) and refusal.value.help


def test_booleans_and_infinities_are_no_parameters() -> None:
    for value in (True, math.inf, math.nan, "1"):
        with pytest.raises(ValueError, match="validation error"):
            Normal(loc=value)


@pytest.mark.parametrize("name", names("distribution"))
def test_parameters_are_named_as_torch_names_them(name: str) -> None:
    cls = {cls.name: cls for cls in library() if cls.role == "distribution"}[name]
    theirs = getattr(reference, cls.__name__, None)
    if theirs is not None:
        expected = [p for p in inspect.signature(theirs.__init__).parameters if p not in ("self", "validate_args")]
        assert list(cls.model_fields) == expected


# ---- training and data ----------------------------------------------------------------------------------------------


def test_every_declaration_of_training_has_its_code() -> None:
    declared = {cls for cls in library() if cls.role in ("optimizer", "schedule")}
    assert declared == set(OPTIMIZERS) | set(SHAPES)


def test_the_train_block_reads_its_settings_by_the_languages_names() -> None:
    block = Train(steps=10, validate=Holdout(fraction=0.2))
    assert block.validation == Holdout(fraction=0.2) and block.optimizer.name == "adam" and block.stop is None


def test_data_sources_agree_with_what_runs_them() -> None:
    assert set(names("data")) == set(SOURCES)
    for cls in library():
        if issubclass(cls, AbstractToy):
            sampler = inspect.signature(TOYS[cls.name]).parameters
            fields = cls.model_fields
            assert list(fields) == list(sampler), cls.name
            constants = {name: p.default for name, p in sampler.items() if name not in ("n", "seed")}
            assert {name: fields[name].default for name in constants} == constants, cls.name
        if issubclass(cls, AbstractData) and not issubclass(cls, AbstractFile):
            runs = [name for name in inspect.signature(SOURCES[cls.name]).parameters if name != "context"]
            given = {n: value for n, value in cls().arguments().items() if n != "binarize"}  # read before the source is
            assert list(given) == runs, cls.name
            defaults = {n: p.default for n, p in inspect.signature(SOURCES[cls.name]).parameters.items() if n in runs}
            assert given == defaults, cls.name


def test_digits_declare_their_columns() -> None:
    assert {name: str(type_) for name, type_ in Digits().columns().items()} == {"x": "integer(0..16)[1, 8, 8]"}
    labelled = Digits(flat=True, labels=True).columns()
    assert {name: str(type_) for name, type_ in labelled.items()} == {
        "x": "integer(0..16)[64]",
        "label": "category(10)",
    }
