"""Nets by themselves: how they read a time, what they leave alone, which sides and sequences they refuse."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.nets import AbstractNet, NetUse
from dgmspec.core.types import Shape
from dgmspec.modules.initial import initial_value
from dgmspec.modules.nets import evaluate
from dgmspec.modules.nets.fourier import embed
from dgmspec.ops.nets import Conv, Fourier, Mlp, ResMlp, ResNet, Transformer, Unet
from tests.flows import compiled, flow

DOUBLE = torch.float64
LADDER, RANDOM = Fourier(features=8), Fourier(features=6, kind="random", scale=2.0)
IMAGE, ROWS = (2, 4, 4), (5, 3)
TIMED = (
    (Mlp(hidden=(8,), time=LADDER), (3,)),
    (Mlp(hidden=(8,), norm="layer", time=RANDOM, inputs=LADDER), (3,)),
    (ResMlp(width=8, blocks=1, inputs=RANDOM), (3,)),
    (Conv(channels=(4,), time=LADDER), IMAGE),
    (ResNet(channels=4, blocks=1, norm="layer"), IMAGE),
    (Unet(channels=(4, 6), blocks=1, attention=(2,), heads=2, groups=4), IMAGE),
    (Transformer(width=8, depth=1, heads=2, time=LADDER), ROWS),
    (Transformer(width=8, depth=1, causal=True), ROWS),
)
"""Nets in an arrow over time, with the shape of what they read and give."""


def drawn(net: AbstractNet, use: NetUse, seed: int = 0, moved: float = 0.3) -> dict[str, Tensor]:
    """Parameters away from their start, so that nothing is zero."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for spec in net.net_parameters(use):
        value = initial_value(spec, seed, spec.name)
        step = moved * torch.randn(spec.shape, generator=generator, dtype=DOUBLE)
        found[spec.name] = (value + step if spec.trainable else value).requires_grad_(spec.trainable)
    return found


def inputs(shape: Shape, batch: int = 4) -> Tensor:
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)


@pytest.mark.parametrize(("net", "shape"), TIMED, ids=lambda value: str(value)[:40])
def test_a_time_reaches_every_net_and_every_parameter_a_gradient(net: AbstractNet, shape: Shape) -> None:
    use = NetUse((shape,), shape, (2,), time=1)
    p, x, c = drawn(net, use), inputs(shape), inputs((2,))
    times = torch.tensor([0.1, 0.4, 0.4, 0.9], dtype=DOUBLE)
    out = evaluate(net, p, (x,), c, False, times)
    assert out.numel() == x.numel() and out.dtype == DOUBLE
    one = evaluate(net, p, (x,), c, False, times[1])
    torch.testing.assert_close(out[1:3], one[1:3])
    assert not torch.allclose(out[0], one[0]) and not torch.allclose(out[3], one[3])
    (out**2).sum().backward()
    assert all(v.grad is not None and v.grad.abs().sum() > 0 for v in p.values() if v.requires_grad)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch.func.jvp loads it
@pytest.mark.parametrize(("net", "shape"), TIMED, ids=lambda value: str(value)[:40])
def test_nets_differentiate_forward_and_twice(net: AbstractNet, shape: Shape) -> None:
    p = {name: value.detach() for name, value in drawn(net, NetUse((shape,), shape, time=1)).items()}
    x, t, step = inputs(shape, 2), torch.tensor(0.3, dtype=DOUBLE), 1e-6
    along = torch.ones_like(x)

    def value(v: Tensor) -> Tensor:
        return evaluate(net, p, (v,), None, False, t).reshape(v.shape)

    def slope(v: Tensor) -> Tensor:
        return torch.autograd.grad(value(v).sin().sum(), v, create_graph=True)[0]

    _, forward = torch.func.jvp(value, (x,), (along,))
    expected = (value(x + step) - value(x - step)) / (2 * step)
    torch.testing.assert_close(forward, expected, rtol=1e-5, atol=1e-7)
    x.requires_grad_()
    (twice,) = torch.autograd.grad(slope(x), x, along)  # the Hessian is symmetric
    expected = (slope(x + step) - slope(x - step)) / (2 * step)
    torch.testing.assert_close(twice, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("net", "shape"), TIMED, ids=lambda value: str(value)[:40])
def test_a_net_asked_to_starts_at_zero(net: AbstractNet, shape: Shape) -> None:
    use = NetUse((shape,), shape, zero=True, time=1)
    p = {spec.name: initial_value(spec, 0, spec.name) for spec in net.net_parameters(use)}
    assert not evaluate(net, p, (inputs(shape),), None, False, torch.tensor([0.5], dtype=DOUBLE)).any()


def test_the_ladder_of_frequencies_tells_all_times_apart() -> None:
    (spec,) = LADDER.parameters(1)
    f = initial_value(spec, 0, "")
    assert f[0] == 0.25 and f[-1] == 16 and torch.allclose(f[1:] / f[:-1], f[1] / f[0])
    t = torch.linspace(0, 1, 500, dtype=DOUBLE)[:, None]
    features = embed(LADDER, {"frequencies": f}, t)
    torch.testing.assert_close(features, torch.cat([torch.cos(2 * math.pi * f * t), torch.sin(2 * math.pi * f * t)], 1))
    assert (torch.cdist(features, features) + 9 * torch.eye(500)).min() > 1e-3
    assert not spec.trainable and LADDER.size(3) == 24 and RANDOM.size(3) == 6


def test_features_of_a_time_keep_their_phase_in_half_precision() -> None:
    (spec,) = LADDER.parameters(1)
    p = {"frequencies": initial_value(spec, 0, "").float()}
    t = torch.rand(64, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(embed(LADDER, p, t), embed(LADDER, p, t.double()).float(), rtol=0, atol=1e-4)


# ---- the U-Net ------------------------------------------------------------------------------------------------------


def test_a_unet_of_several_levels_fits_its_plan() -> None:
    net = Unet(channels=(4, 8, 8), blocks=2, attention=(3, 6), heads=2, groups=3)
    use = NetUse(((1, 12, 8),), (3, 12, 8), (5,), time=1)
    p = drawn(net, use)
    assert net.group(8) == 1 and Unet(channels=(12,)).group(12) == 4
    out = evaluate(net, p, (inputs((1, 12, 8)),), inputs((5,)), False, torch.tensor(0.5, dtype=DOUBLE))
    assert out.shape == (4, 3, 12, 8)
    assert {name for name in p if "attention/qkv/weight" in name} == {
        f"{at}/attention/qkv/weight"
        for at in (
            *(f"down/{i}/{j}" for i in (1, 2) for j in (0, 1)),
            "middle/0",
            *(f"up/{i}/{j}" for i in (1, 2) for j in range(3)),
        )
    }


def test_images_of_one_size_join_and_others_condition() -> None:
    net = Unet(channels=(4,), blocks=1)
    with_image = {s.name: s.shape for s in net.net_parameters(NetUse((IMAGE,), IMAGE, (3, 4, 4)))}
    with_vector = {s.name: s.shape for s in net.net_parameters(NetUse((IMAGE,), IMAGE, (3,)))}
    assert with_image["in/weight"][1] == 5 and "film/weight" not in with_image
    assert with_vector["in/weight"][1] == 2 and with_vector["condition/0/weight"] == (16, 3)


@pytest.mark.parametrize(
    ("net", "shape", "words"),
    [
        (Unet(channels=(4, 4, 4)), (1, 14, 14), "level 2 is 7 × 7"),
        (Unet(channels=(4, 4)), (1, 4, 5), "level 1 is 4 × 5"),
        (Unet(channels=(4, 4), attention=(8,)), (1, 4, 4), "attends at the height 8, and its levels have 4, 2"),
        (Unet(channels=(4, 6), attention=(2,), heads=4), (1, 4, 4), "4 heads of attention do not divide 6 channels"),
        (Unet(channels=(4,)), (5,), "takes images"),
        (Mlp(hidden=(4,), time=LADDER), (5,), "nothing here is one"),
        (Transformer(width=4), (), "is given"),
        (Transformer(width=4), IMAGE, "reads a sequence"),
    ],
)
def test_nets_refuse_what_they_cannot_read(net: AbstractNet, shape: Shape, words: str) -> None:
    with pytest.raises(Refusal, match=words):
        net.net_parameters(NetUse((shape,), shape))


# ---- the transformer ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6,), (6, 3)])
def test_without_positions_a_transformer_reads_a_set(shape: Shape) -> None:
    net, order = Transformer(width=8, depth=2, heads=2, position="none"), torch.tensor([3, 0, 5, 1, 2, 4])
    p, x = drawn(net, NetUse((shape,), shape, (2,))), inputs(shape)
    out = evaluate(net, p, (x,), inputs((2,)), False).reshape(x.shape)
    moved = evaluate(net, p, (x[:, order],), inputs((2,)), False).reshape(x.shape)
    torch.testing.assert_close(moved, out[:, order])
    pooled = NetUse((shape,), (4,))
    p = drawn(net, pooled)
    torch.testing.assert_close(evaluate(net, p, (x[:, order],), None, False), evaluate(net, p, (x,), None, False))
    placed = Transformer(width=8)
    p = drawn(placed, pooled)
    assert not torch.allclose(evaluate(placed, p, (x[:, order],), None, False), evaluate(placed, p, (x,), None, False))


@pytest.mark.parametrize(("shape", "output"), [((5,), (10,)), ((5, 2), (5, 3)), ((5,), (5,))])
def test_a_causal_transformer_reads_only_what_came_before(shape: Shape, output: Shape) -> None:
    net = Transformer(width=8, depth=2, heads=2, causal=True)
    p, x = drawn(net, NetUse((shape,), output)), inputs(shape, 1)[0]
    jacobian = torch.autograd.functional.jacobian(lambda v: evaluate(net, p, (v[None],), None, False)[0], x)
    by_row = jacobian.reshape(5, -1, 5, 2 if len(shape) > 1 else 1)
    if len(output) == 1:
        by_row = jacobian.reshape(-1, 5, 5, 1).transpose(0, 1)
    reads = by_row.abs().sum((1, 3))
    assert torch.equal(reads > 0, torch.ones(5, 5).tril(-1) > 0)


def test_a_causal_transformer_gives_every_token_as_much() -> None:
    with pytest.raises(Refusal, match="do not divide"):
        Transformer(width=4, causal=True).net_parameters(NetUse(((5,),), (7,)))


# ---- in models ------------------------------------------------------------------------------------------------------


def test_named_nets_read_categories_and_angles_by_themselves_and_joined() -> None:
    text = """dgm 1
    model M {
        observe x : real[2]
        given a : circle[2]
        given k : category(3)
        given s : real[4, 2]
        net h(a, k) : real[4] = mlp(8)
        net e(s, k) : real[3] = transformer(8, depth = 1, position = none)
        latent z : real[2] ~ normal(0, 1)
        flow x -> z | h(a, k), e(s, k), a, k { coupling(affine, mask = half, net = mlp(8)) }
        loss = nll
    }
    """
    model = dgmspec.compile(dgmspec.parse(text), dtype=DOUBLE)
    for parameter in model.parameters():
        parameter.data += 0.3
    x, given = inputs((2,)), {"a": inputs((2,)).clamp(-3, 3), "k": torch.tensor([0, 1, 2, 1]), "s": inputs((4, 2))}
    value = model.log_prob(x, given=given)
    turned = model.log_prob(x, given={**given, "a": given["a"] + 2 * math.pi})
    torch.testing.assert_close(turned, value)
    shuffled = model.log_prob(x, given={**given, "s": given["s"][:, [2, 0, 3, 1]]})
    torch.testing.assert_close(shuffled, value)
    shared = model.log_prob(x, given={**given, "k": torch.tensor([1])})
    torch.testing.assert_close(shared[[1, 3]], value[[1, 3]])
    assert not torch.allclose(shared[[0, 2]], value[[0, 2]])


def test_dropout_acts_in_training_alone() -> None:
    for net, shape in (("unet(4, blocks = 1, dropout = 0.5)", "[2, 4, 4]"), ("transformer(8, dropout = 0.5)", "[4]")):
        model = compiled(flow(f"real{shape}", [f"coupling(affine, mask = half, net = {net})"]))
        for parameter in model.parameters():
            parameter.data += 0.1
        x = torch.randn(3, *(model.type_of("x").shape)).to(model.dtype)
        model.eval()
        torch.testing.assert_close(model.encode(x), model.encode(x))
        model.train()
        assert not torch.allclose(model.encode(x), model.encode(x))
