"""Steps, masks and nets of images: their formulas, what they refuse, and batch normalisation in training."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Fact, Structure
from dgmspec.core.nets import NetUse
from dgmspec.core.types import REAL, Type
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.initial import initial_value
from dgmspec.modules.nets import evaluate
from dgmspec.ops.image import Conv1x1, Haar, Squeeze
from dgmspec.ops.linear import Dense, Diagonal, Householder, Plu, Qr, Triangular
from dgmspec.ops.masks import Channels, Checkerboard, Half, image_shape
from dgmspec.ops.nets import Conv, ResNet
from dgmspec.runtime.selfcheck import check_step
from tests.flows import compiled
from tests.zoo import draw_event

DOUBLE = torch.float64
IMAGE = Type(REAL, (2, 4, 4))
FORMS = (Diagonal(), Triangular(), Triangular(upper=True), Plu(), Qr(), Householder(k=1), Dense())


# ---- steps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS, ids=repr)
@pytest.mark.parametrize("shape", [(3, 2, 2), (4, 1, 3), (1, 2, 2), (3, 5)])
def test_conv1x1_multiplies_every_pixel(form: object, shape: tuple[int, ...]) -> None:
    op, event = Conv1x1(form=form), Type(REAL, shape)
    own = {s.name: initial_value(s, 0, s.name) for s in op.parameters(event, None)}
    for finding in check_step(op, own, event, complete=True):
        assert finding.holds, finding


def test_squeeze_takes_blocks_to_channels() -> None:
    x = torch.arange(32.0, dtype=DOUBLE).reshape(1, 2, 4, 4)
    y = one("squeeze", "real[2, 4, 4]").encode(x)
    for c, i, j in ((0, 0, 1), (1, 1, 0), (1, 1, 1)):
        torch.testing.assert_close(y[0, 4 * c + 2 * i + j], x[0, c, i::2, j::2])
    claimed = Squeeze().jacobian(IMAGE, None)
    assert claimed.structure is Structure.PERMUTATION and claimed.dependency is not None
    assert Squeeze(factor=4).infer_type(IMAGE, None).shape == (32, 1, 1)


def test_haar_is_orthogonal_and_its_first_band_is_the_small_image() -> None:
    model, x = one("haar", "real[2, 4, 4]"), draw_event(IMAGE, 3)
    y = model.encode(x)
    torch.testing.assert_close(y[:, :2], 2 * torch.nn.functional.avg_pool2d(x, 2))
    torch.testing.assert_close((y**2).sum((1, 2, 3)), (x**2).sum((1, 2, 3)))
    assert Haar().jacobian(Type(REAL, (1, 64, 64)), None).orthogonal is Fact.YES


def one(step: str, x: str) -> CompiledModel:
    return compiled(f"dgm 1\nmodel M {{ observe x : {x}; latent z : real[*]; flow x -> z {{ {step} }} }}")


# ---- batch normalisation --------------------------------------------------------------------------------------------

NORMED = """dgm 1
model M {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow ARROW { STEP }
    loss = nll
}
"""


def normed(arrow: str = "x -> z", step: str = "batchnorm(momentum = 0.25)") -> CompiledModel:
    return dgmspec.compile(dgmspec.parse(NORMED.replace("ARROW", arrow).replace("STEP", step)), dtype=DOUBLE)


def state(model: CompiledModel, name: str) -> Tensor:
    return next(p for n, p in model.named_parameters() if n.endswith(name)).detach().clone()


@pytest.mark.parametrize(("arrow", "step"), [("x -> z", "batchnorm"), ("z -> x", "inverse batchnorm")])
def test_training_normalises_by_the_batch_and_evaluation_by_the_averages(arrow: str, step: str) -> None:
    model, x = normed(arrow, step), 3 + 2 * torch.randn(64, 2, dtype=DOUBLE)
    z = model.train().encode(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(2, dtype=DOUBLE), atol=1e-9, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(2, dtype=DOUBLE), atol=1e-4, rtol=0)
    loss = model.loss(x).total
    slope = -0.5 * torch.log(x.var(0, correction=0) + 1e-5).sum()
    expected = 0.5 * (z**2).sum(1).mean() + math.log(2 * math.pi) - slope
    torch.testing.assert_close(loss, expected)
    evaluated = model.eval().encode(x)
    mean, variance = state(model, "mean"), state(model, "log_variance").exp()
    torch.testing.assert_close(evaluated, (x - mean) / (variance + 1e-5).sqrt())
    torch.testing.assert_close(model.decode(evaluated), x)


def test_each_step_of_training_moves_the_averages_once() -> None:
    model = normed()
    model.initialise(torch.randn(32, 2, dtype=DOUBLE))
    mean, variance = state(model, "mean"), state(model, "log_variance").exp()
    x = 5 + 3 * torch.randn(64, 2, dtype=DOUBLE)
    model.eval().loss(x)
    model.train().log_prob(x)
    torch.testing.assert_close(state(model, "mean"), mean)  # neither evaluation nor log_prob is a step of training
    model.loss(x).total.backward()
    torch.testing.assert_close(state(model, "mean"), 0.75 * mean + 0.25 * x.mean(0))
    torch.testing.assert_close(state(model, "log_variance").exp(), 0.75 * variance + 0.25 * x.var(0, correction=0))
    learned = {n.rpartition("/")[2] for n, p in model.named_parameters() if p.requires_grad}
    assert learned == {"log_scale", "shift"}
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_the_averages_move_in_a_compiled_graph_too() -> None:
    torch._dynamo.reset()
    model, x = normed().train(), 5 + torch.randn(16, 2, dtype=DOUBLE)
    other = model.compiled(backend="aot_eager")
    before = state(model, "mean")
    torch.testing.assert_close(other.loss(x).total, model.loss(x).total)
    torch.testing.assert_close(state(model, "mean"), x.mean(0) + 0.75**2 * (before - x.mean(0)))


def test_averages_start_at_the_first_batch() -> None:
    x = 3 + 2 * torch.randn(500, 2, dtype=DOUBLE)
    for arrow, step in (("x -> z", "batchnorm"), ("z -> x", "inverse batchnorm"), ("z -> x", "batchnorm")):
        model = normed(arrow, step)
        model.initialise(x)
        z = model.encode(x)
        torch.testing.assert_close(z.mean(0), torch.zeros(2, dtype=DOUBLE), atol=1e-6, rtol=0)
        torch.testing.assert_close(z.std(0, correction=0), torch.ones(2, dtype=DOUBLE), atol=1e-4, rtol=0)


# ---- masks ----------------------------------------------------------------------------------------------------------


def test_masks_of_images() -> None:
    assert Checkerboard().untouched((2, 3)) == (0, 2, 4)
    assert Checkerboard(k=1).untouched((2, 2, 2)) == (1, 2, 5, 6)
    assert Channels().untouched((3, 1, 2)) == (0, 1) and Channels(k=1).untouched((3, 1, 2)) == (2, 3, 4, 5)
    assert image_shape((4, 2, 2), Channels().untouched((4, 2, 2))) == (2, 2, 2)
    assert image_shape((4, 2, 2), Half().untouched((4, 2, 2))) == (2, 2, 2)
    assert image_shape((1, 2, 2), Half().untouched((1, 2, 2))) == (1, 2, 2)
    with pytest.raises(Refusal):
        Checkerboard().untouched((4,))


@pytest.mark.parametrize("mask", ["checkerboard(0)", "half", "channels(1)", "random(1)", "alternate(0)"])
@pytest.mark.parametrize("net", ["conv(4)", "mlp(4)"])
@pytest.mark.parametrize("shape", ["real[1, 2, 4]", "real[3, 2, 2]"])
def test_a_coupling_leaves_part_one_as_it_is(mask: str, net: str, shape: str) -> None:
    if (mask, shape) == ("channels(1)", "real[1, 2, 4]"):
        pytest.skip("one channel has no halves")
    model = one(f"coupling(affine, mask = {mask}, net = {net})", shape)
    x = draw_event(model.observed["x"], 3)
    (step,) = model.graph.steps.values()
    kept, moved = step.op.parts(model.observed["x"].shape)
    y = model.encode(x)
    torch.testing.assert_close(y.flatten(1)[:, kept], x.flatten(1)[:, kept])
    assert (y.flatten(1)[:, moved] != x.flatten(1)[:, moved]).all()
    other = x.flatten(1).clone()
    other[:, moved] += 1  # the net sees part one alone, so an affine map is one of constant slope in part two
    slopes = (model.encode(other.reshape(x.shape)) - y).flatten(1)[:, moved]
    other[:, moved] += 1
    again = (model.encode(other.reshape(x.shape)) - y).flatten(1)[:, moved]
    torch.testing.assert_close(again, 2 * slopes)


# ---- nets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", [Conv(channels=(5, 3), kernel=(3, 1, 3)), ResNet(channels=4, norm="layer")])
def test_conditions_act_on_channels_and_images_join(net: Conv | ResNet) -> None:
    use = NetUse(((2, 4, 4), (3,)), (6, 4, 4), (1, 4, 4))
    specs = {s.name: s.shape for s in net.net_parameters(use)}
    assert specs["0/weight"][1] == 3 and specs["film/weight"][1] == 3
    p = {name: torch.randn(shape, dtype=DOUBLE) for name, shape in specs.items()}
    x, c, image = (torch.randn(2, *s, dtype=DOUBLE) for s in ((2, 4, 4), (3,), (1, 4, 4)))
    y = evaluate(net, p, (x, c), image, False)
    assert y.shape == (2, 6, 4, 4)
    assert not torch.allclose(evaluate(net, p, (x, c + 1), image, False), y)
    assert not torch.allclose(evaluate(net, p, (x, c), image + 1, False), y)


def test_a_convolution_moves_with_its_image() -> None:
    net = Conv(channels=(4,))
    p = {s.name: torch.randn(s.shape, dtype=DOUBLE) for s in net.net_parameters(NetUse(((1, 8, 8),), (2, 8, 8)))}
    x = torch.zeros(1, 1, 8, 8, dtype=DOUBLE)
    x[..., 3:5, 3:5] = torch.randn(2, 2, dtype=DOUBLE)
    moved = evaluate(net, p, (x.roll(1, 3),), None, False)
    torch.testing.assert_close(moved[..., 2:-2, 2:-2], evaluate(net, p, (x,), None, False).roll(1, 3)[..., 2:-2, 2:-2])


def test_a_new_net_of_images_leaves_its_coupling_at_the_identity() -> None:
    for net in ("conv(4, kernel = 5)", "resnet(4)"):
        text = f"dgm 1\nmodel M {{ observe x : real[2, 4, 4]; latent z : real[*]; flow x -> z {{ coupling(affine, mask = channels(0), net = {net}) }} }}"  # noqa: E501
        x = draw_event(IMAGE, 2)
        torch.testing.assert_close(dgmspec.compile(dgmspec.parse(text), dtype=DOUBLE).encode(x), x)


@pytest.mark.parametrize(
    "wrong", ["conv()", "conv(8, kernel = 2)", "conv(8, kernel = [3, 3, 3])", "resnet(0)", "resnet(8, kernel = 4)"]
)
def test_nets_of_images_refuse_what_has_no_meaning(wrong: str) -> None:
    text = f"dgm 1\nmodel M {{ observe x : real[2, 4, 4]; latent z : real[*]; flow x -> z {{ coupling(affine, mask = channels(0), net = {wrong}) }} }}"  # noqa: E501
    assert {d.code for d in dgmspec.diagnose(text).diagnostics} & {"DGM233", "DGM234"}
