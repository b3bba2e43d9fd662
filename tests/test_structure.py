"""Structures, linear maps and dequantisation: the twins against autograd, and what the declarations refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Fact, Structure
from dgmspec.core.op import AbstractOp
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import BINARY, POSITIVE, REAL, UNIT, Type, category, integers, interval
from dgmspec.modules.registry import step_twin
from dgmspec.modules.twin import StepContext
from dgmspec.ops import find, library, names, roles_of, signature
from dgmspec.ops.linear import Dense, Diagonal, Householder, Linear, Plu, Qr, Triangular
from dgmspec.ops.stochastic import Dequantize, Uniform
from dgmspec.ops.structure import ActNorm, Flatten, Permute, Random, Reshape, Reverse, shuffled
from tests.zoo import randomise

BATCH = 4
VECTOR = Type(REAL, (5,))
IMAGE = Type(REAL, (3, 2, 4))

FORMS = (
    Diagonal(), Triangular(), Triangular(upper=True), Plu(), Plu(seed=7), Qr(), Householder(k=1), Householder(k=4),
    Householder(k=9), Dense(),
)  # fmt: skip
STEPS: tuple[tuple[AbstractStep, Type], ...] = (
    *((Linear(form=form, bias=bias), VECTOR) for form in FORMS for bias in (False, True)),
    *((Linear(form=form), Type(REAL, (1,))) for form in FORMS),
    *((ActNorm(), type_) for type_ in (VECTOR, IMAGE, Type(REAL), Type(REAL, (2, 3)))),
    (Permute(order=Reverse()), VECTOR),
    (Permute(order=Random(seed=3)), IMAGE),
    (Permute(order=(2, 0, 1)), IMAGE),
    (Flatten(), IMAGE),
    (Flatten(), Type(REAL)),
    (Reshape(dims=(6, 4)), IMAGE),
    (Reshape(dims=(5, 1, 1)), VECTOR),
)


def label(value: Any) -> str:
    return str(value) if isinstance(value, Type) else repr(value)


def free(spec: ParamSpec) -> Tensor:
    """1 where an entry of a parameter is free, 0 where its mask holds it at zero."""
    if spec.mask is None:
        return torch.ones(spec.shape, dtype=torch.float64)
    rows, columns = torch.tensor(spec.mask.rows), torch.tensor(spec.mask.columns)
    beyond = rows[:, None] > columns if spec.mask.strict else rows[:, None] >= columns
    return beyond.double()


def drawn(op: AbstractStep, x: Type) -> dict[str, Tensor]:
    """Parameters away from their start, masked entries zero, with the step's tables."""
    found = {s.name: (0.5 * torch.randn(s.shape, dtype=torch.float64) * free(s)) for s in op.parameters(x, None)}
    for value in found.values():
        value.requires_grad_()
    return found | step_twin(op).tables(op, x, None)


def context(x: Type) -> StepContext:
    return StepContext(x)


def jacobian(op: AbstractStep, p: dict[str, Tensor], x: Tensor, type_: Type) -> Tensor:
    def flat(v: Tensor) -> Tensor:
        return step_twin(op).forward(op, p, v.reshape(1, *type_.shape), context(type_))[0].flatten()

    return torch.autograd.functional.jacobian(flat, x.flatten())


@pytest.mark.parametrize(("op", "type_"), STEPS, ids=label)
def test_the_laws_of_a_step(op: AbstractStep, type_: Type) -> None:
    p, twin = drawn(op, type_), step_twin(op)
    x = torch.randn(BATCH, *type_.shape, dtype=torch.float64)
    y, log_det = twin.forward(op, p, x, context(type_))
    back, inverse_log_det = twin.inverse(op, p, y, context(type_))
    assert y.shape == (BATCH, *op.infer_type(type_, None).shape)
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(inverse_log_det, -log_det)
    real = jacobian(op, p, x[0], type_)
    torch.testing.assert_close(log_det, torch.linalg.slogdet(real).logabsdet)
    assert log_det.shape == ()


@pytest.mark.parametrize(("op", "type_"), STEPS, ids=label)
def test_the_claims_of_a_step(op: AbstractStep, type_: Type) -> None:
    facts, p = op.jacobian(type_, None), drawn(op, type_)
    real = jacobian(op, p, torch.randn(type_.size, dtype=torch.float64), type_)
    assert facts.dependency is not None
    for i, j in (real.abs() > 1e-12).nonzero().tolist():
        assert facts.dependency.depends(output=i, on=j)
    size = type_.size
    identity = torch.eye(size, dtype=torch.float64)
    volume = torch.linalg.slogdet(real).logabsdet.item()
    holds = {
        "unit_det": abs(volume) < 1e-9,
        "orthogonal": bool(torch.allclose(real @ real.mT, identity, atol=1e-9)),
    }
    for flag, truth in holds.items():
        assert getattr(facts, flag) in ((Fact.YES, Fact.UNKNOWN) if truth else (Fact.NO, Fact.UNKNOWN)), flag
    assert facts.constant is Fact.YES
    if facts.rank is not None:
        assert torch.linalg.matrix_rank(real - identity) <= facts.rank
    if facts.structure is Structure.IDENTITY:
        torch.testing.assert_close(real, identity)


@pytest.mark.parametrize(("op", "type_"), STEPS, ids=label)
def test_every_parameter_gets_a_gradient(op: AbstractStep, type_: Type) -> None:
    specs, p = op.parameters(type_, None), drawn(op, type_)
    x = torch.randn(BATCH, *type_.shape, dtype=torch.float64)
    for direction in (step_twin(op).forward, step_twin(op).inverse):
        at = x if direction is step_twin(op).forward else step_twin(op).forward(op, p, x, context(type_))[0].detach()
        y, log_det = direction(op, p, at, context(type_))
        ((y**3).sum() + log_det).backward() if specs else None
        for spec in specs:
            grad = p[spec.name].grad
            assert grad is not None and grad.isfinite().all()
            # A single coordinate has no entry off the diagonal, and its reflection no direction to learn.
            assert type_.size == 1 or (grad * free(spec)).any(), spec.name
            p[spec.name].grad = None


@pytest.mark.parametrize(("op", "type_"), STEPS, ids=label)
def test_steps_compile_as_a_full_graph(op: AbstractStep, type_: Type) -> None:
    torch.compiler.reset()
    p, twin = drawn(op, type_), step_twin(op)
    x = torch.randn(BATCH, *type_.shape, dtype=torch.float64)

    @torch.compile(fullgraph=True, backend="eager")
    def both(v: Tensor) -> tuple[Tensor, Tensor]:
        y, log_det = twin.forward(op, p, v, context(type_))
        return twin.inverse(op, p, y, context(type_))[0], log_det

    back, log_det = both(x)
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(log_det, twin.forward(op, p, x, context(type_))[1])


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_linear_keeps_its_precision_under_autocast(form: Any) -> None:
    op = Linear(form=form, bias=True)
    p = {name: value.float() if value.is_floating_point() else value for name, value in drawn(op, VECTOR).items()}
    x = torch.randn(BATCH, 5)
    y, log_det = step_twin(op).forward(op, p, x, context(VECTOR))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half, half_log_det = step_twin(op).forward(op, p, x, context(VECTOR))
        back, _ = step_twin(op).inverse(op, p, half.bfloat16(), context(VECTOR))
    torch.testing.assert_close((half, half_log_det), (y, log_det))
    assert back.dtype is torch.float32 and back.isfinite().all()


def test_plu_is_the_product_of_its_factors() -> None:
    form = Plu(seed=2)
    p = drawn(Linear(form=form), VECTOR)
    lower = p["lower"] + torch.eye(5, dtype=torch.float64)
    upper = p["upper"] + torch.diag(p["log_diagonal"].exp())
    weight = (lower @ upper)[torch.tensor(form.source(5))]
    x = torch.randn(BATCH, 5, dtype=torch.float64)
    torch.testing.assert_close(step_twin(Linear(form=form)).forward(Linear(form=form), p, x, context(VECTOR))[0],
                               x @ weight.mT)  # fmt: skip


def test_householder_is_the_product_of_its_reflections() -> None:
    op = Linear(form=Householder(k=3))
    p = drawn(op, VECTOR)
    product = torch.eye(5, dtype=torch.float64)
    for v in p["vectors"]:
        product = product @ (torch.eye(5, dtype=torch.float64) - 2 * torch.outer(v, v) / v.dot(v))
    x = torch.randn(BATCH, 5, dtype=torch.float64)
    torch.testing.assert_close(step_twin(op).forward(op, p, x, context(VECTOR))[0], x @ product.mT)


def test_a_zero_vector_is_no_reflection() -> None:
    op = Linear(form=Householder(k=2))
    vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    x = torch.randn(BATCH, 2, dtype=torch.float64)
    y, _ = step_twin(op).forward(op, {"vectors": vectors}, x, context(Type(REAL, (2,))))
    unit = torch.tensor([0.6, 0.8], dtype=torch.float64)
    torch.testing.assert_close(y, x - 2 * torch.outer(x @ unit, unit))


def test_actnorm_standardises_its_first_batch() -> None:
    for type_ in (Type(REAL, (3,)), Type(REAL, (3, 4, 4)), Type(REAL)):
        op, twin = ActNorm(), step_twin(ActNorm())
        x = 2 + 3 * torch.randn(64, *type_.shape, dtype=torch.float64)
        assert twin.initialise is not None
        p = twin.initialise(op, drawn(op, type_), x, context(type_), False)
        assert {s.name: s.shape for s in op.parameters(type_, None)} == {n: tuple(v.shape) for n, v in p.items()}
        y, _ = twin.forward(op, p, x, context(type_))
        axes = [axis for axis in range(y.dim()) if axis != 1]
        torch.testing.assert_close(y.mean(axes), torch.zeros(type_.shape[:1], dtype=torch.float64))
        torch.testing.assert_close(y.std(axes, correction=0), torch.ones(type_.shape[:1], dtype=torch.float64))


def test_actnorm_only_shifts_what_does_not_vary() -> None:
    x = torch.stack([torch.full((8,), 3.0), torch.randn(8)], 1)
    p = step_twin(ActNorm()).initialise(ActNorm(), {}, x, context(Type(REAL, (2,))), False)  # type: ignore[misc]
    assert p["log_scale"][0] == 0 and p["shift"][0] == -3
    one = step_twin(ActNorm()).initialise(ActNorm(), {}, x[:1], context(Type(REAL, (2,))), False)  # type: ignore[misc]
    assert one["log_scale"].isfinite().all()


def test_permute_moves_channels_as_wholes() -> None:
    op = Permute(order=(2, 0, 1))
    x = torch.arange(24.0).reshape(1, 3, 2, 4)
    y, _ = step_twin(op).forward(op, step_twin(op).tables(op, IMAGE, None), x, context(IMAGE))
    torch.testing.assert_close(y, x[:, [2, 0, 1]])
    torch.testing.assert_close(y.flatten(), x.flatten()[list(op.flat_source(IMAGE))])


def test_random_orders_depend_on_their_seed_alone() -> None:
    assert shuffled(6, 0) == shuffled(6, 0) != shuffled(6, 1)
    assert sorted(shuffled(100, 5)) == list(range(100))
    # One of each of the 6 orders of three coordinates turns up in 60 seeds about 10 times.
    counts = [sum(shuffled(3, seed) == order for seed in range(60)) for order in {shuffled(3, s) for s in range(60)}]
    assert len(counts) == 6 and min(counts) >= 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("support", [integers(0, 16), integers(-3, 3), BINARY, integers(0, 255), integers(0, 2**20)])
def test_dequantised_numbers_lie_inside_and_floor_back(support: Any, dtype: torch.dtype) -> None:
    type_, op = Type(support, (2,)), Dequantize(law=Uniform())
    twin, image = step_twin(op), op.infer_type(type_, None).support
    ends = [support.low, support.high]
    x = torch.tensor([ends] * 4, dtype=dtype)
    u = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5], [1 - 2**-24, 1 - 2**-24]], dtype=dtype)
    y, log_det = twin.forward(op, {}, x, StepContext(type_, noise={"u": u}))
    assert bool(((y > image.low) & (y < image.high)).all()) and log_det == 0
    back, _ = twin.inverse(op, {}, y, StepContext(type_))
    torch.testing.assert_close(back, x)


def test_dequantise_takes_whole_numbers_of_any_dtype() -> None:
    op, type_ = Dequantize(law=Uniform()), Type(integers(0, 16), (2,))
    x = torch.tensor([[0, 16]], dtype=torch.uint8)
    y, _ = step_twin(op).forward(op, {}, x, StepContext(type_, noise={"u": torch.full((1, 2), 0.25)}))
    assert y.dtype is torch.float32 and y.tolist() == [[0.25, 16.25]]
    beyond, _ = step_twin(op).inverse(op, {}, torch.tensor([[-1.0, 17.5]]), StepContext(type_))
    assert beyond.tolist() == [[-1, 17]], "what is really outside stays there, to be seen"
    rounded, _ = step_twin(op).inverse(op, {}, torch.tensor([[-1e-7, 17.0]]), StepContext(type_))
    assert rounded.tolist() == [[0, 16]]


def test_types_of_structures() -> None:
    dequantize = Dequantize(law=Uniform())
    assert dequantize.infer_type(Type(integers(0, 16), (2,)), None) == Type(interval(0, 17), (2,))
    assert dequantize.infer_input(Type(interval(0, 17), (2,)), None) == Type(integers(0, 16), (2,))
    assert dequantize.infer_input(Type(UNIT), None) == Type(integers(0, 0))
    assert Flatten().infer_type(IMAGE, None) == Type(REAL, (24,))
    assert Permute(order=Reverse()).infer_type(Type(BINARY, (2,)), None) == Type(BINARY, (2,))
    assert [draw.law for draw in dequantize.draws(IMAGE)] == ["uniform"]


REFUSED: tuple[tuple[str, AbstractStep, Type], ...] = (
    ("DGM303", ActNorm(), Type(UNIT, (2,))),
    ("DGM311", ActNorm(), Type(integers(0, 3), (2,))),
    ("DGM303", Linear(form=Plu()), Type(POSITIVE, (2,))),
    ("DGM304", Linear(form=Plu()), IMAGE),
    ("DGM304", Linear(form=Plu()), Type(REAL)),
    ("DGM304", Permute(order=Reverse()), Type(REAL)),
    ("DGM304", Permute(order=(2, 0, 1)), Type(REAL, (2,))),
    ("DGM304", Permute(order=(1, 2)), Type(REAL, (2,))),
    ("DGM403", Permute(order=(0, 0)), Type(REAL, (2,))),
    ("DGM304", Reshape(dims=(2, 2)), Type(REAL, (5,))),
    ("DGM341", Dequantize(law=Uniform()), Type(REAL, (2,))),
    ("DGM341", Dequantize(law=Uniform()), Type(category(3), (2,))),
)


@pytest.mark.parametrize(("code", "op", "type_"), REFUSED, ids=label)
def test_refusals(code: str, op: AbstractStep, type_: Type) -> None:
    with pytest.raises(Refusal) as refusal:
        op.infer_type(type_, None)
    assert refusal.value.code == code and (refusal.value.help or code == "DGM304")


@pytest.mark.parametrize(
    ("code", "op", "type_"),
    [
        ("DGM340", Flatten(), Type(REAL, (4,))),
        ("DGM340", Reshape(dims=(2, 2)), Type(REAL, (2, 2))),
        ("DGM341", Dequantize(law=Uniform()), Type(interval(0, 1.5))),
        ("DGM341", Dequantize(law=Uniform()), Type(REAL)),
        ("DGM303", ActNorm(), Type(UNIT)),
    ],
    ids=label,
)
def test_refusals_of_inverse_steps(code: str, op: AbstractStep, type_: Type) -> None:
    with pytest.raises(Refusal) as refusal:
        op.infer_input(type_, None)
    assert refusal.value.code == code


# ---- the library ----------------------------------------------------------------------------------------------------


def test_entries_are_found_by_role_and_name() -> None:
    assert find("step", "actnorm") is ActNorm and find("step", "actnrom") is None
    assert {"distribution", "dequantizer"} <= set(roles_of("uniform"))
    assert names("permutation") == ("random", "reverse")
    assert list(names("linear_form")) == sorted(names("linear_form"))


@pytest.mark.parametrize("cls", tuple(library()), ids=lambda cls: f"{cls.role}:{cls.name}")
def test_every_entry_is_complete(cls: type[AbstractOp]) -> None:
    assert cls.role and cls.name and cls.__doc__, cls
    assert cls.examples, f"{cls} has no example"
    for parameter in signature(cls):
        uses = (f"{parameter.name} =", f"{cls.name}(", f"{cls.name} ")
        if parameter.roles and not any(names(role) for role in parameter.roles):
            continue  # a role that has no entry yet
        assert any(use in example for use in uses for example in cls.examples), f"{parameter.name} has no example"
    assert not cls.__subclasses__(), "a class is abstract or final"


def test_signatures_hold_order_roles_and_defaults() -> None:
    linear = signature(Linear)
    assert [(p.name, p.required, p.default, p.roles) for p in linear] == [
        ("form", True, None, ("linear_form",)),
        ("bias", False, False, ()),
    ]
    mixture = find("distribution", "mixture")
    train = find("block", "train")
    assert mixture is not None and train is not None
    components, weights = signature(mixture)
    assert components.variadic and not weights.variadic and components.roles == ("distribution",)
    settings = {p.name: p for p in signature(train)}
    assert settings["validate"].roles == ("validation",) and settings["precision"].choices[0] == "float32"
    assert all(p.doc for p in settings.values())
    loc, _ = signature(find("distribution", "normal"))  # type: ignore[arg-type]
    assert loc.formula and loc.roles == ("net",) and not math.isnan(loc.default)


@pytest.mark.parametrize("arrow", ["x -> z", "z -> x"])
def test_actnorm_starts_from_data_whichever_way_its_flow_is_written(arrow: str) -> None:
    text = f"""dgm 1
    model M {{ observe x : real[3]; latent z : real[3] ~ normal(0, 1); flow {arrow} {{ actnorm; linear(diagonal) }} }}
    """
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)
    x = 2 + 5 * torch.randn(500, 3, dtype=torch.float64)
    model.initialise(x)
    z = model.encode(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(3).double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("step", ["planar", "sylvester(2)"])
def test_numeric_inverses_reach_far_beyond_the_bend(step: str) -> None:
    """Where tanh saturates the root lies at the very end of its bracket."""
    text = f"""dgm 1
    model M {{
        observe x : real[2]
        latent z : real[2]
        flow x -> z {{ {step} }}
    }}
    """
    for seed in range(8):
        model = dgmspec.compile(dgmspec.parse(text), seed=seed, dtype=torch.float64)
        randomise(model, seed=seed, scale=1.0)
        z = 50 * torch.randn(500, 2, dtype=torch.float64)
        torch.testing.assert_close(model.encode(model.decode(z)), z, rtol=1e-9, atol=1e-9)
