"""Masked convolutions: exact patterns, both ways, an inverse by diagonals in the arithmetic of one pass."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import dgmspec
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import REAL, Type
from dgmspec.modules.compiled import CompiledModel
from dgmspec.ops.conditioners import Autoregressive
from dgmspec.ops.nets import MaskedConv
from dgmspec.ops.orders import Natural, Raster
from dgmspec.ops.scalar import Affine
from tests.zoo import randomise

NETS = ("4", "5, 6, kernel = [5, 3, 1]", "6, 6, 6, residual = true", "2, 1, kernel = 3")
ORDERS = ("raster", "raster(1)", "natural", "reverse")
CASES = [(shape, order, NETS[i % 4]) for i, (shape, order) in enumerate(product(("3, 3, 2", "1, 4, 5"), ORDERS))]


def compiled(
    shape: str, order: str, net: str, given: str = "2", support: str = "real", t: str = "affine(clamp = 1)"
) -> CompiledModel:
    text = f"""dgm 1
    model M {{
        observe x : {support}[{shape}]
        given c : real[{given}]
        latent z : {support}[{shape}]
        flow x -> z | c {{ autoregressive({t}, order = {order}, net = masked_conv({net})) }}
    }}
    """
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)
    randomise(model, scale=0.15)
    return model


def step_of(model: CompiledModel) -> tuple[Autoregressive, Type]:
    (step,) = model.graph.steps.values()
    assert isinstance(step.op, Autoregressive)
    return step.op, model.type_of("x")


def jacobian(model: CompiledModel, x: Tensor, given: dict[str, Tensor]) -> Tensor:
    found = torch.autograd.functional.jacobian(lambda v: model.encode(v[None], given=given)[0], x)
    return found.reshape(x.numel(), x.numel())


@pytest.mark.parametrize(("shape", "order", "net"), CASES)
def test_patterns_levels_and_inverse_are_those_of_the_net(shape: str, order: str, net: str) -> None:
    sides = [int(n) for n in shape.split(",")]
    for given in ("2", f"1, {sides[1]}, {sides[2]}"):  # by FiLM, and read whole as an image
        model = compiled(shape, order, net, given)
        x, c = torch.randn(3, *sides).double(), {"c": torch.randn(3, *map(int, given.split(","))).double()}
        z = model.encode(x, given=c)
        torch.testing.assert_close(model.decode(z, given=c), x, rtol=1e-7, atol=1e-7)
        with torch.no_grad():
            torch.testing.assert_close(model.decode(z, given=c), x, rtol=1e-7, atol=1e-7)
    op, event = step_of(model)
    claimed = op.jacobian(event, model.type_of("c")).dependency
    assert claimed is not None
    real = (jacobian(model, x[0], {"c": c["c"][:1]}).abs() > 1e-13).tolist()
    size = event.size
    assert [[claimed.depends(i, j) for j in range(size)] for i in range(size)] == real
    levels = op.masked().levels(event.shape, op.order.precedence(event.shape))
    assert all(levels[j] < levels[i] for i in range(size) for j in range(size) if i != j and real[i][j])


def test_angles_are_read_as_cosine_and_sine() -> None:
    model = compiled("2, 3, 3", "raster", "6", support="circle", t="rqs(4)")
    x = (torch.rand(3, 2, 3, 3).double() - 0.5) * 6
    c = {"c": torch.randn(3, 2).double()}
    z = model.encode(x, given=c)
    torch.testing.assert_close(model.decode(z, given=c), x, rtol=1e-7, atol=1e-7)
    ends = x.clone(), x.clone()
    for end, value in zip(ends, (-torch.pi, torch.pi), strict=True):
        end[:, 0, 0, 0] = value
    after = [model.encode(end, given=c).flatten(1)[:, 1:] for end in ends]
    torch.testing.assert_close(*after)


def test_the_inverse_takes_diagonals_and_the_arithmetic_of_one_pass() -> None:
    model = compiled("1, 8, 8", "raster", "32, 32, kernel = [3, 3, 1]")
    op, event = step_of(model)
    assert op.cost(event, None).inverse.passes == 8 + 2 * 7
    z, c, counts = torch.randn(4, 1, 8, 8).double(), {"c": torch.randn(4, 2).double()}, []
    for way in (model.encode, model.decode):
        with FlopCounterMode(display=False) as flops, torch.no_grad():
            way(z, given=c)
        counts.append(flops.get_total_flops())
    assert counts[1] <= counts[0]


@pytest.mark.parametrize(
    ("shape", "order", "code"), [((4,), Natural(), "DGM447"), ((4,), Raster(), "DGM468"), ((2, 2), Natural(), "DGM447")]
)
def test_what_is_no_image_is_refused(shape: tuple[int, ...], order: Natural | Raster, code: str) -> None:
    step = Autoregressive(scalar=Affine(), order=order, net=MaskedConv(channels=(4,)))
    with pytest.raises(Refusal) as refused:
        step.parameters(Type(REAL, shape), None)
    assert refused.value.code == code
