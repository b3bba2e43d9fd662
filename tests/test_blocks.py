"""`block_autoregressive`: slopes as logarithms where tanh is flat, the image, the inverse of one coordinate a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec.modules import blocks
from dgmspec.modules.compiled import CompiledModel
from tests.zoo import randomise


def block(size: int, step: str, dtype: torch.dtype = torch.float64, scale: float = 1.0) -> CompiledModel:
    """One step on `size` coordinates, its parameters drawn far from their start."""
    text = f"""dgm 1
    model M {{
        observe x : real[{size}]
        latent z : real[{size}] ~ normal(0, 1)
        flow x -> z {{ {step} }}
    }}
    """
    model = dgmspec.compile(dgmspec.parse(text), dtype=dtype)
    randomise(model, scale=scale)
    return model.eval()


@pytest.mark.parametrize("layers", [1, 4])
def test_single_precision_keeps_slopes_where_tanh_is_flat(layers: int) -> None:
    step = f"block_autoregressive(8, layers = {layers})"
    x = torch.tensor([[3e4, -2e3, 40.0], [-0.3, 9.0, -1e5], [0.1, 0.2, 0.3]])
    wide, narrow = block(3, step), block(3, step, torch.float32)
    for model in (wide, narrow):
        with torch.no_grad():
            next(p for name, p in model.named_parameters() if name.endswith("gate")).fill_(-60.0)
    exact = next(iter(wide.ledger(x.double(), direction="encode"))).logdet
    found = next(iter(narrow.ledger(x, direction="encode"))).logdet
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-3)


def test_the_image_is_the_line() -> None:
    model = block(1, "block_autoregressive(8)", scale=2.0)
    y = torch.tensor([[-1e6], [-50.0], [0.0], [50.0], [1e6]], dtype=torch.float64)
    torch.testing.assert_close(model.encode(model.decode(y)), y)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-3)])
def test_round_trip(dtype: torch.dtype, tolerance: float) -> None:
    model = block(6, "block_autoregressive(8, layers = 2)", dtype)
    x = 3 * torch.randn(200, 6, dtype=dtype)
    torch.testing.assert_close(model.decode(model.encode(x)), x, rtol=tolerance, atol=tolerance)


def test_the_inverse_solves_each_coordinate_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, shapes = block(5, "block_autoregressive(3)"), []

    def recorded(function: object, y: Tensor, *args: object, **options: object) -> tuple[Tensor, Tensor]:
        shapes.append(y.shape)
        return solve(function, y, *args, **options)  # type: ignore[arg-type]

    solve = blocks.solve
    monkeypatch.setattr(blocks, "solve", recorded)
    model.decode(torch.randn(7, 5, dtype=torch.float64))
    assert shapes == [(7,)] * 5
