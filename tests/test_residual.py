"""`residual`: the net contracts whatever its weights, and the inverse holds at the bound."""

from __future__ import annotations

import pytest
import torch

import dgmspec
from dgmspec.modules.compiled import CompiledModel

ACTIVATIONS = ("silu", "relu", "gelu", "elu", "tanh", "softplus", "leaky_relu")


def residual(activation: str, lipschitz: float, dtype: torch.dtype = torch.float64) -> CompiledModel:
    """One block on three coordinates with weights a hundred times too large."""
    text = f"""dgm 1
    model M {{
        observe x : real[3]
        latent z : real[3] ~ normal(0, 1)
        flow x -> z {{ residual(mlp(16, 16, activation = {activation}), lipschitz = {lipschitz}) }}
    }}
    """
    model = dgmspec.compile(dgmspec.parse(text), dtype=dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(100)
    return model


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("lipschitz", [0.5, 0.97])
def test_the_net_contracts_whatever_its_weights(activation: str, lipschitz: float) -> None:
    model = residual(activation, lipschitz)
    x = 3 * torch.randn(4_000, 3, dtype=torch.float64)
    close = x + 1e-3 * torch.randn_like(x)
    for other in (close, x.flip(0)):
        moved = (model.encode(x) - x) - (model.encode(other) - other)
        assert (moved.norm(dim=1) <= lipschitz * (x - other).norm(dim=1) + 1e-12).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-3)])
def test_the_inverse_holds_near_the_bound(activation: str, dtype: torch.dtype, tolerance: float) -> None:
    model = residual(activation, 0.99, dtype)
    x = 3 * torch.randn(500, 3, dtype=dtype)
    torch.testing.assert_close(model.decode(model.encode(x)), x, rtol=tolerance, atol=tolerance)


def test_the_density_integrates_to_one() -> None:
    text = """dgm 1
    model M {
        observe x : real[2]
        latent z : real[2] ~ normal(0, 1)
        flow x -> z { repeat 2 { residual(mlp(16)) } }
    }
    """
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64, seed=3)
    side = torch.linspace(-12, 12, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    total = model.log_prob(grid).exp().sum() * (side[1] - side[0]) ** 2
    assert abs(total.item() - 1) < 1e-4


def test_gradients_of_the_inverse_are_implicit() -> None:
    model = residual("tanh", 0.9)
    z = torch.randn(2, 3, dtype=torch.float64)
    weight = next(model.parameters())
    value = model.decode(z).sum()
    (found,) = torch.autograd.grad(value, weight)
    step, shift = 1e-5, torch.zeros_like(weight)
    shift[0, 1] = step
    with torch.no_grad():
        weight.add_(shift)
        above = model.decode(z).sum()
        weight.sub_(2 * shift)
        below = model.decode(z).sum()
    torch.testing.assert_close(found[0, 1], (above - below) / (2 * step), rtol=1e-4, atol=1e-7)
