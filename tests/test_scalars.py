"""Scalar bijectors, twin against declaration: inverses, derivatives, images, float32 at extremes, both spline forms."""

import math

import pytest
import torch
from torch import Tensor

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.types import POSITIVE, REAL, UNIT, Support, integers, interval
from dgmspec.modules.registry import scalar_twin
from dgmspec.modules.scalar import spline
from dgmspec.ops.conditioners import as_step
from dgmspec.ops.scalar import (
    Additive,
    Affine,
    Arcsinh,
    Bernstein,
    CubicSpline,
    Elu,
    Exp,
    InverseScalar,
    LeakyRelu,
    LinearSpline,
    LogisticMixtureCdf,
    Logit,
    Power,
    QuadraticSpline,
    Rqs,
    ShiftScale,
    Sigmoid,
    SigmoidMixture,
    SinhArcsinh,
    Softplus,
    Softsign,
    Sos,
    Tanh,
    Umnn,
)

PIXELS = interval(0, 17)
LINE = [Affine(), Affine(clamp=math.inf), Additive(), InverseScalar(of=Affine()), SinhArcsinh(), Sos(), Umnn()]
SPLINES = [
    *(Rqs(), Rqs(bins=4, bound=1.5), Rqs(bins=17, knots="uniform"), InverseScalar(of=Rqs(bins=5))),
    *(
        Bernstein(),
        LinearSpline(),
        QuadraticSpline(),
        QuadraticSpline(bins=2),
        CubicSpline(),
        CubicSpline(bins=3, bound=2),
    ),
]
FIXED = [
    *(Exp(), Softplus(), Sigmoid(), Tanh(), LeakyRelu(slope=0.1), ShiftScale(shift=1, scale=-2)),
    *(Elu(), Softsign(), Arcsinh()),
]
CASES: list[tuple[AbstractScalar, Support]] = [
    *((op, REAL) for op in (SigmoidMixture(), SigmoidMixture(k=1), LogisticMixtureCdf(k=4))),
    (InverseScalar(of=LogisticMixtureCdf()), UNIT),
    *((op, REAL) for op in LINE),
    *((op, support) for op in SPLINES for support in (REAL, UNIT, POSITIVE, interval(-math.inf, 2), PIXELS)),
    *((op, support) for op in FIXED for support in (REAL, interval(-1, 2), POSITIVE)),
    *((Power(p=p), support) for p in (2, 0.5, -1.5) for support in (POSITIVE, UNIT, interval(2, 3))),
    *((Logit(alpha=alpha), support) for alpha in (0, 0.05) for support in (UNIT, PIXELS)),
    *((InverseScalar(of=op), op.image(REAL)) for op in FIXED),
    (InverseScalar(of=Logit()), REAL),
]


def inside(support: Support, shape: tuple[int, ...], spread: float = 1.5) -> Tensor:
    normal = spread * torch.randn(shape, dtype=torch.float64)
    if math.isfinite(support.low) and math.isfinite(support.high):
        return support.low + (support.high - support.low) * normal.sigmoid()
    if math.isfinite(support.low):
        return support.low + normal.exp()
    return support.high - normal.exp() if math.isfinite(support.high) else normal


def raw_of(op: AbstractScalar, support: Support, shape: tuple[int, ...], scale: float = 1.0) -> Tensor:
    return scale * torch.randn(len(op.raw(support)), *shape, dtype=torch.float64)


@pytest.mark.parametrize(("op", "support"), CASES, ids=str)
def test_inverse_and_derivative(op: AbstractScalar, support: Support) -> None:
    twin, x = scalar_twin(op), inside(support, (6, 3)).requires_grad_()
    raw = raw_of(op, support, (6, 3))
    y, ladj = twin.forward(op, raw, x, support)
    (slope,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    torch.testing.assert_close(ladj.expand_as(x), slope.abs().log(), rtol=1e-9, atol=1e-9)
    back, ladj_back = twin.inverse(op, raw, y.detach(), support)
    torch.testing.assert_close(back, x.detach(), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(ladj_back.expand_as(x), -ladj.detach().expand_as(x), rtol=1e-7, atol=1e-7)
    assert torch.equal(twin.solve(op, raw, y.detach(), support, counted=False)[0], back)


@pytest.mark.parametrize(("op", "support"), CASES, ids=str)
def test_image_is_exact(op: AbstractScalar, support: Support) -> None:
    image = op.image(support)
    ends = [low + offset for low, offset in ((support.low, 1e-9), (support.high, -1e-9))]
    x = torch.tensor([min(max(end, -1e6), 1e6) for end in ends], dtype=torch.float64)
    y, _ = scalar_twin(op).forward(op, raw_of(op, support, (1,), 0.3), x, support)
    low, high = y.sort().values.tolist()
    for got, end in ((low, image.low), (high, image.high)):
        assert abs(got - end) < 1e-4 * (1 + abs(got)) if math.isfinite(end) else abs(got) > 5
    if not isinstance(op, Logit) or support == UNIT:
        found = op.preimage(image)
        assert found.low == pytest.approx(support.low) and found.high == pytest.approx(support.high)


@pytest.mark.parametrize("op", [*LINE, *SPLINES], ids=str)
@pytest.mark.parametrize("support", [REAL, UNIT, POSITIVE, PIXELS], ids=str)
def test_zero_raw_is_the_identity(op: AbstractScalar, support: Support) -> None:
    if op in LINE and support != REAL:
        pytest.skip("affine maps live on the line")
    x = inside(support, (50,))
    y, ladj = scalar_twin(op).forward(op, raw_of(op, support, (1,), 0.0), x, support)
    torch.testing.assert_close(y, x)
    torch.testing.assert_close(ladj.expand_as(x), torch.zeros_like(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("op", [Softplus(), Sigmoid(), Tanh(), LeakyRelu(), Affine(), Rqs()], ids=str)
def test_float32_is_finite_far_out(op: AbstractScalar) -> None:
    x = torch.tensor([-100.0, -30, -1e-6, 0, 1e-6, 30, 100])
    twin, raw = scalar_twin(op), torch.full((len(op.raw(REAL)), 1), 0.5)
    y, ladj = twin.forward(op, raw, x, REAL)
    back, ladj_back = twin.inverse(op, raw, y, REAL)
    assert all(torch.isfinite(value).all() for value in (y, ladj, back, ladj_back))


@pytest.mark.parametrize("support", [UNIT, PIXELS], ids=str)
def test_rounded_ends_score_finitely_and_points_beyond_do_not(support: Support) -> None:
    width = support.high - support.low
    x = torch.tensor([support.low, support.low + 1e-7 * width, support.low + 0.9999 * width, support.high])
    z, ladj = scalar_twin(Logit()).forward(Logit(), x[:0], x, support)
    assert torch.isfinite(z).all() and torch.isfinite(ladj).all()
    beyond = torch.tensor([support.low - 1.0, support.high + 1.0])
    assert scalar_twin(Logit()).forward(Logit(), x[:0], beyond, support)[0].isnan().all()


def test_tanh_log_derivative_keeps_its_digits() -> None:
    x = torch.tensor([20.0, -20.0, 100.0])
    _, ladj = scalar_twin(Tanh()).forward(Tanh(), x[:0], x, REAL)
    torch.testing.assert_close(ladj, math.log(4) - 2 * x.abs())


def test_the_soft_clamp_bounds_the_slope() -> None:
    _, s = scalar_twin(Affine(clamp=2)).forward(Affine(clamp=2), torch.tensor([[50.0], [0.0]]), torch.ones(1), REAL)
    assert s.item() == pytest.approx(2)


def test_logit_alpha_is_a_lower_bound_with_a_bounded_image() -> None:
    op = Logit(alpha=0.05)
    assert op.part() == (op.image(UNIT), REAL) and Logit().part() is None
    assert as_step(op).density == "lower bound"
    assert op.image(PIXELS) == interval(math.log(0.05 / 0.95), math.log(0.95 / 0.05))


def test_vector_shift_scale() -> None:
    op = ShiftScale(shift=(1.0, 2.0), scale=(0.5, -1.0))
    assert op.fixed(2) == ((1.0, 2.0), (0.5, -1.0))
    assert op.image(REAL) == REAL
    with pytest.raises(Refusal, match="DGM310"):
        op.fixed(3)
    with pytest.raises(Refusal, match="DGM440"):
        op.image(UNIT)


# ---- splines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("knots", ["learned", "uniform"])
@pytest.mark.parametrize("support", [REAL, UNIT, POSITIVE], ids=str)
def test_both_forms_find_the_same_bin(knots: str, support: Support) -> None:
    op = Rqs(bins=6, knots=knots)
    box, raw = op.box(support), raw_of(op, support, (200,))
    at = torch.rand(200, dtype=torch.float64) * (box.high - box.low) + box.low
    sizes = 12 if knots == "learned" else 6
    planes = (raw[:sizes], raw[sizes:], at, box, 6)
    for by_value in (False, True):
        for eager, compiled in zip(
            spline._find_eager(*planes, by_value), spline._find_compiled(*planes, by_value), strict=True
        ):
            torch.testing.assert_close(eager, compiled)


def test_a_spline_is_the_identity_outside_its_box_and_free_at_the_ends_of_an_interval() -> None:
    op, x = Rqs(bound=2), torch.tensor([-9.0, -2.0, 2.0, 9.0])
    y, ladj = scalar_twin(op).forward(op, raw_of(op, REAL, (4,)).float(), x, REAL)
    torch.testing.assert_close(y, x)
    torch.testing.assert_close(ladj, torch.zeros(4), rtol=0, atol=1e-4)
    ends = torch.tensor([0.0, 17.0])
    y, ladj = scalar_twin(op).forward(op, raw_of(op, PIXELS, (2,)).float(), ends, PIXELS)
    torch.testing.assert_close(y, ends)
    assert ladj.abs().min() > 1e-3
    assert (len(op.raw(REAL)), len(op.raw(POSITIVE)), len(op.raw(UNIT))) == (23, 24, 25)


def test_uniform_knots_on_pixels_stand_at_the_integers() -> None:
    op, box = Rqs(bins=17, knots="uniform"), Rqs(bins=17).box(PIXELS)
    raw, at = raw_of(op, PIXELS, (17,)), torch.arange(17, dtype=torch.float64) + 0.5
    found = spline._find(op, raw, at, box, by_value=False)
    torch.testing.assert_close(found.x, at - 0.5)


@pytest.mark.parametrize("scale", [1.0, 4.0, 10.0])
def test_float32_inverse_solves_the_equation(scale: float) -> None:
    op = Rqs(bins=8, bound=5)
    raw, y = raw_of(op, REAL, (20_000,), scale).float(), 12 * torch.rand(20_000) - 6
    x, ladj = scalar_twin(op).inverse(op, raw, y, REAL)
    again, _ = scalar_twin(op).forward(op, raw, x, REAL)
    assert torch.isfinite(ladj).all()
    slope = torch.exp(-ladj)
    assert ((again - y).abs() < 5e-6 * (1 + slope)).all()


@pytest.mark.parametrize("scale", [10.0, 100.0])
def test_gradients_are_finite_whatever_the_parameters(scale: float) -> None:
    op = Rqs()
    for way in (scalar_twin(op).forward, scalar_twin(op).inverse):
        raw = raw_of(op, REAL, (5_000,), scale).float().requires_grad_()
        x = (torch.randn(5_000) * 4).requires_grad_()
        y, ladj = way(op, raw, x, REAL)
        (y.sum() + ladj.sum()).backward()
        assert torch.isfinite(raw.grad).all() and torch.isfinite(x.grad).all()


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "support", "code"),
    [
        (Affine(), UNIT, "DGM440"),
        (Additive(), POSITIVE, "DGM440"),
        (Logit(), REAL, "DGM303"),
        (InverseScalar(of=Exp()), REAL, "DGM303"),
        (InverseScalar(of=Logit()), UNIT, "DGM303"),
        (Exp(), integers(0, 3), "DGM311"),
        (Rqs(), integers(0, 3), "DGM311"),
    ],
    ids=str,
)
def test_what_leaves_the_domain_is_refused(op: AbstractScalar, support: Support, code: str) -> None:
    with pytest.raises(Refusal, match=code):
        op.image(support)


def test_a_scalar_with_parameters_is_no_step() -> None:
    with pytest.raises(Refusal, match="DGM442"):
        as_step(Affine())


@pytest.mark.parametrize("values", [{"scale": 0}, {"scale": (1.0, 0.0)}, {"shift": math.inf}], ids=str)
def test_shift_scale_must_be_invertible(values: dict) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=r"inverse|finite"):
        ShiftScale(**values)


# ---- stress: single precision at large raw parameters ---------------------------------------------------------------

EPS = torch.finfo(torch.float32).eps
PIECEWISE = [op(bins=8, bound=5) for op in (Rqs, LinearSpline, QuadraticSpline, CubicSpline)]
SOLVED = [
    SigmoidMixture(),
    LogisticMixtureCdf(),
    Bernstein(),
    Sos(),
    Sos(degree=3, terms=3),
    Umnn(hidden=3, nodes=16),
    SinhArcsinh(),
]

at_scales = pytest.mark.parametrize("scale", [1.0, 4.0, 10.0])
by_count = pytest.mark.parametrize("count", [20_000, pytest.param(200_000, marks=pytest.mark.slow)])


def round_trip(op: AbstractScalar, scale: float, y: Tensor) -> tuple[Tensor, ...]:
    """x = f⁻¹(y) in single precision, f(x) in single and double precision, f⁻¹(y) in double, and f'(x)."""
    twin, raw = scalar_twin(op), raw_of(op, REAL, y.shape, scale).float()
    with torch.no_grad():
        x, ladj = twin.inverse(op, raw, y, REAL)
        again, _ = twin.forward(op, raw, x, REAL)
        exact, log_slope = twin.forward(op, raw.double(), x.double(), REAL)
        true, _ = twin.inverse(op, raw.double(), y.double(), REAL)
    assert all(torch.isfinite(value).all() for value in (x, ladj, again, true))
    return x, again, exact, true, log_slope.exp()


@pytest.mark.parametrize("op", PIECEWISE, ids=str)
@at_scales
@by_count
def test_splines_in_single_precision(op: AbstractScalar, scale: float, count: int) -> None:
    y = 12 * torch.rand(count) - 6
    x, again, exact, true, slope = round_trip(op, scale, y)
    rounding = 8 * EPS * op.bound
    for value in (again, exact):
        assert ((value - y).abs() <= rounding * slope.clamp(min=1)).all()
    assert ((x - true).abs() <= rounding * (1 / slope).clamp(min=1)).all()


def least_errors(op: AbstractScalar, raw: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The least |f(x') - y| over the 33 numbers x' of single precision nearest to x."""
    forward, below, above = scalar_twin(op).forward, x, x
    least = (forward(op, raw, x, REAL)[0] - y).abs()
    for _ in range(16):
        below, above = (torch.nextafter(at, end) for at, end in ((below, x - 1), (above, x + 1)))
        for at in (below, above):
            least = torch.minimum(least, (forward(op, raw, at, REAL)[0] - y).abs())
    return least


@pytest.mark.parametrize("op", PIECEWISE, ids=str)
@at_scales
@by_count
def test_no_other_x_of_single_precision_is_a_better_inverse(op: AbstractScalar, scale: float, count: int) -> None:
    """f(f⁻¹(y)) is y to 8 ulp of the bound, or, where numbers are too far apart for that, to twice the least there is.

    Of 1,000 values less than one lies next to a knot where a step of x beyond it costs more; that is bounded above.
    """
    torch.manual_seed(0)
    y = 12 * torch.rand(count) - 6
    raw, ulp = raw_of(op, REAL, y.shape, scale).float(), EPS * op.bound
    with torch.no_grad():
        x, _ = scalar_twin(op).inverse(op, raw, y, REAL)
        error = (scalar_twin(op).forward(op, raw, x, REAL)[0] - y).abs()
        coarse = error > 8 * ulp
        error = error[coarse]
        least = least_errors(op, raw[:, coarse], x[coarse], y[coarse])
    assert int((error > 2 * least).sum()) < 1e-3 * count
    if scale > 1 and not isinstance(op, LinearSpline):
        assert float((least > 8 * ulp).sum()) > 0.9 * float(coarse.sum()) > 0, "8 ulp would ask the impossible"


@pytest.mark.parametrize("op", SOLVED, ids=str)
@at_scales
@by_count
def test_numeric_inverses_in_single_precision(op: AbstractScalar, scale: float, count: int) -> None:
    y = torch.rand(count).clamp(1e-6, 1 - 1e-6) if op.image(REAL) == UNIT else 3 * torch.randn(count)
    x, again, exact, true, slope = round_trip(op, scale, y)
    rounding = 32 * EPS
    for value in (again, exact):
        assert ((value - y).abs() <= rounding * (1 + y.abs() + slope * (1 + x.abs()))).all()
    assert ((x - true).abs() <= rounding * (1 + x.abs() + (1 + y.abs()) / slope)).all()


@pytest.mark.parametrize("op", [*PIECEWISE, *SOLVED], ids=str)
def test_gradients_are_finite_at_knots_and_bounds_and_far_out(op: AbstractScalar) -> None:
    points = torch.tensor([-1e4, -5.0, -5.000001, -1.25, 0.0, 1.25, 4.999999, 5.0, 1e4])
    raw = torch.cat((torch.zeros(len(op.raw(REAL)), 9), raw_of(op, REAL, (9,)).float()), 1).requires_grad_()
    x = points.repeat(2).requires_grad_()
    y, ladj = scalar_twin(op).forward(op, raw, x, REAL)
    into = y.detach().clamp(1e-6, 1 - 1e-6) if op.image(REAL) == UNIT else y.detach().clamp(-1e5, 1e5)
    into.requires_grad_()
    back, ladj_back = scalar_twin(op).inverse(op, raw, into, REAL)
    for value, inputs in ((y + ladj, [raw, x]), (back + ladj_back, [raw, into])):
        assert torch.isfinite(value).all()
        assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(value.sum(), inputs))
