"""`residual`: the net contracts whatever its weights, and the inverse holds at the bound."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.norms import convolution_bound, frequencies, norm_bound
from tests.zoo import randomise

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


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 64), (64, 2), (128, 200)])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e6])
def test_the_norm_is_bounded_from_above_and_closely(shape: tuple[int, int], scale: float) -> None:
    weight = (scale * torch.randn(shape, dtype=torch.float64)).requires_grad_()
    found, norm = norm_bound(weight), torch.linalg.matrix_norm(weight, 2)
    assert norm * (1 - 1e-12) <= found <= norm * min(shape) ** (1 / 514) * (1 + 1e-12)
    (slope,) = torch.autograd.grad(found, weight)
    direction, step = torch.randn_like(weight), 1e-6 * scale
    change = (norm_bound(weight + step * direction) - norm_bound(weight - step * direction)) / (2 * step)
    torch.testing.assert_close((slope * direction).sum(), change, rtol=1e-6, atol=1e-8)


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


# ---- the power series, cut at random --------------------------------------------------------------------------------


def pair(lipschitz: float, size: int = 5, terms: int = 2) -> tuple[CompiledModel, CompiledModel]:
    """Two blocks with one set of weights: their log-determinants computed, and estimated."""
    found = []
    for kind in ("exact", "series"):
        text = f"""dgm 1
        model M {{
            observe x : real[{size}]
            given c : real[2]
            latent z : real[{size}] ~ normal(0, 1)
            flow x -> z | c {{
                repeat 2 {{ residual(mlp(16, 16), lipschitz = {lipschitz}, log_det = {kind}, terms = {terms}) }}
            }}
        }}
        """
        model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)
        randomise(model, scale=1.0)
        found.append(model)
    return found[0], found[1]


def agrees(draws: Tensor, expected: Tensor) -> bool:
    """A z-test at 4.5 standard errors of the mean over the first dimension, of every number in the rest."""
    error = draws.std(0) / len(draws) ** 0.5
    return bool(((draws.mean(0) - expected).abs() < 4.5 * error + 1e-12).all())


@pytest.mark.parametrize("lipschitz", [0.5, 0.9, 0.97])
@pytest.mark.parametrize("training", [True, False])
def test_the_estimate_is_unbiased_both_ways(lipschitz: float, training: bool) -> None:
    exact, series = pair(lipschitz)
    series.train(training)
    x, c = torch.randn(1, 5, dtype=torch.float64), torch.randn(1, 2, dtype=torch.float64)
    given = {"c": c}
    assert (exact.density, series.density) == ("exact", "estimate")
    with torch.no_grad():
        many = series.log_prob(x.expand(20_000, 5), given=given, seed=3)
        assert agrees(many, exact.log_prob(x, given=given)[0])
        # Backward: the same noise in every row, so that all draw one sample.
        program = series.program("sample_and_log_prob")
        inputs = series._noise(program, 0, 20_000, 5)
        inputs = {k: v[:1].expand_as(v) if k.endswith("prior/noise") else v for k, v in inputs.items()}
        found = series.run("sample_and_log_prob", inputs | {"c": c.expand(20_000, 2)})
        assert agrees(found["log_prob"], exact.log_prob(found["x"][:1], given=given)[0])


def test_the_gradient_is_unbiased_in_weights_and_points() -> None:
    exact, series = pair(0.8)
    given = {"c": torch.randn(1, 2, dtype=torch.float64)}
    x = torch.randn(1, 5, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in exact.named_parameters()]
    expected = torch.autograd.grad(exact.log_prob(x, given=given).sum(), [x, *exact.parameters()])
    direction = [torch.randn_like(value) for value in expected]
    found = []
    for seed in range(60):
        batch = x.expand(200, 5)
        value = series.log_prob(batch, given=given, seed=seed).mean()
        grads = torch.autograd.grad(value, [x, *(series.get_parameter(name) for name in names)])
        found.append(torch.stack([(g * d).sum() for g, d in zip(grads, direction, strict=True)]))
    along = torch.stack([(g * d).sum() for g, d in zip(expected, direction, strict=True)])
    assert agrees(torch.stack(found), along)


def test_draws_belong_to_rows_and_seeds() -> None:
    _, series = pair(0.9)
    x, given = torch.randn(40, 5, dtype=torch.float64), {"c": torch.randn(40, 2, dtype=torch.float64)}
    whole = series.log_prob(x, given=given, seed=1)
    part = series.log_prob(x[10:17], given={"c": given["c"][10:17]}, seed=1, start=10)
    torch.testing.assert_close(part, whole[10:17])
    assert not torch.equal(series.log_prob(x, given=given, seed=2), whole)
    assert "(estimate)" in repr(series.ledger(x, given=given, seed=1))


def test_evaluation_takes_more_terms_for_sure() -> None:
    _, series = pair(0.9, terms=1)
    x, given = torch.randn(1, 5, dtype=torch.float64), {"c": torch.randn(1, 2, dtype=torch.float64)}
    spread = []
    with torch.no_grad():
        for training in (True, False):
            # The same probe in every row: what is left to vary is where the series is cut.
            inputs = series.train(training)._noise(series.program("log_prob"), 0, 4_000, 0)
            inputs = {k: v[:1].expand_as(v) if k.endswith("probe") else v for k, v in inputs.items()}
            inputs |= {"x": x.expand(4_000, 5), "c": given["c"].expand(4_000, 2)}
            spread.append(float(series.run("log_prob", inputs)["log_prob"].std()))
    assert spread[1] < spread[0] / 10


def test_beyond_the_exact_size_the_series_is_the_choice() -> None:
    ends = "observe x : real[257]; latent z : real[257] ~ normal(0, 1)"
    text = f"dgm 1\nmodel M {{ {ends}; flow x -> z {{ residual(mlp(8)) }} }}"
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)
    assert model.density == "estimate"
    z = torch.randn(3, 257, dtype=torch.float64)
    torch.testing.assert_close(model.encode(model.decode(z)), z, rtol=1e-12, atol=1e-12)
    assert dgmspec.compile(dgmspec.parse(text.replace("257", "256"))).density == "exact"


def test_gradients_of_the_inverse_by_series_are_implicit() -> None:
    exact, series = pair(0.9)
    z, given = torch.randn(3, 5, dtype=torch.float64), {"c": torch.randn(3, 2, dtype=torch.float64)}
    for model in (exact, series):
        model.decode(z, given=given).square().sum().backward()
    for (name, one), (_, other) in zip(exact.named_parameters(), series.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-7, atol=1e-9, msg=name)


# ---- convolutions ---------------------------------------------------------------------------------------------------


def matrix_of(weight: Tensor, sides: tuple[int, int]) -> Tensor:
    """A convolution with zeros beyond the border, as the matrix that it is."""
    shape = (weight.shape[1], *sides)
    basis = torch.eye(math.prod(shape), dtype=weight.dtype).reshape(-1, *shape)
    return torch.nn.functional.conv2d(basis, weight, padding=weight.shape[-1] // 2).flatten(1).mT


@pytest.mark.parametrize("sides", [(1, 1), (3, 8), (9, 2), (13, 14)])
@pytest.mark.parametrize(("out", "read", "kernel"), [(1, 1, 3), (2, 3, 5), (4, 2, 3), (1, 2, 7), (3, 3, 1)])
def test_the_norm_of_a_convolution_is_bounded_from_above(
    sides: tuple[int, int], out: int, read: int, kernel: int
) -> None:
    sign = (-1.0) ** torch.arange(kernel, dtype=torch.float64)
    noise = torch.randn(out, read, kernel, kernel, dtype=torch.float64)
    board = torch.ones_like(noise) * sign[:, None] * sign
    for weight in (noise, torch.ones_like(noise), board, noise * board.abs().cumsum(2)):
        found = convolution_bound(weight, frequencies(kernel, sides))
        norm = torch.linalg.matrix_norm(matrix_of(weight, sides), 2)
        assert norm * (1 - 1e-12) <= found
        if min(sides) > 4 * kernel:
            assert found <= 1.12 * norm


def images(lipschitz: float, log_det: str, shape: str = "[1, 2, 2]", given: str = "real[2]") -> CompiledModel:
    """A block of convolutions under a context, its weights far beyond the bound."""
    text = f"""dgm 1
    model M {{
        observe x : real{shape}
        given c : {given}
        latent z : real{shape} ~ normal(0, 1)
        flow x -> z | c {{ residual(conv(3, 4, activation = silu), lipschitz = {lipschitz}, log_det = {log_det}) }}
    }}
    """
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)
    randomise(model, scale=2.0)
    return model


@pytest.mark.parametrize("given", ["real[3]", "real[1, 5, 6]"])
@torch.no_grad()
def test_a_net_of_convolutions_contracts_whatever_its_weights(given: str) -> None:
    model = images(0.97, "exact", "[2, 5, 6]", given)
    x = 3 * torch.randn(80, 2, 5, 6, dtype=torch.float64)
    c = {"c": 5 * torch.randn(1, *model.givens["c"].shape, dtype=torch.float64).expand(80, *model.givens["c"].shape)}
    for other in (x + 1e-3 * torch.randn_like(x), x.flip(0)):
        moved = (model.encode(x, given=c) - x) - (model.encode(other, given=c) - other)
        assert (moved.flatten(1).norm(dim=1) <= 0.97 * (x - other).flatten(1).norm(dim=1) + 1e-12).all()
    some = {"c": c["c"][:4]}
    torch.testing.assert_close(model.decode(model.encode(x[:4], given=some), given=some), x[:4])


def test_the_series_of_convolutions_is_unbiased_and_its_inverse_has_gradients() -> None:
    exact, series = images(0.8, "exact"), images(0.8, "series")
    x, given = torch.randn(1, 1, 2, 2, dtype=torch.float64), {"c": torch.randn(1, 2, dtype=torch.float64)}
    with torch.no_grad():
        many = series.log_prob(x.expand(3_000, 1, 2, 2), given=given, seed=3)
        assert agrees(many, exact.log_prob(x, given=given)[0])
    expected = torch.autograd.grad(exact.log_prob(x, given=given).sum(), list(exact.parameters()))
    direction = [torch.randn_like(value) for value in expected]
    found = []
    for seed in range(30):
        value = series.log_prob(x.expand(100, 1, 2, 2), given=given, seed=seed).mean()
        grads = torch.autograd.grad(value, list(series.parameters()))
        found.append(torch.stack([(g * d).sum() for g, d in zip(grads, direction, strict=True)]))
    assert agrees(torch.stack(found), torch.stack([(g * d).sum() for g, d in zip(expected, direction, strict=True)]))
    z = torch.randn(1, 1, 2, 2, dtype=torch.float64)
    for model in (exact, series):
        model.zero_grad()
        model.decode(z, given=given).square().sum().backward()
    for (name, one), (_, other) in zip(exact.named_parameters(), series.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-7, atol=1e-9, msg=name)


def test_blocks_of_convolutions_take_images_and_say_what_their_density_is() -> None:
    def density(x: str, net: str) -> str:
        text = f"dgm 1\nmodel M {{ observe x : {x}; latent z : {x} ~ normal(0, 1); flow x -> z {{ residual({net}) }} }}"
        found = [d.code for d in dgmspec.diagnose(text).diagnostics if d.severity == "error"]
        return found[0] if found else dgmspec.compile(dgmspec.parse(text)).density

    assert density("real[1, 8, 8]", "conv(4)") == "exact"
    assert density("real[1, 8, 10]", "conv(4)") == "estimate"
    assert density("real[4]", "conv(4)") == density("real[1, 2, 2]", "mlp(4)") == "DGM304"
    assert density("real[1, 2, 2]", "conv(4, norm = layer)") == density("real[1, 2, 2]", "resnet(4)") == "DGM465"
