"""Multi-scale flows: what is set aside reaches the latent in order, in both directions, through every back end."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec.checks.analysis import Analysis
from dgmspec.checks.drawing import drawing
from dgmspec.core.types import REAL, Type
from dgmspec.modules.compiled import CompiledModel
from dgmspec.ops.multiscale import Join, Split
from dgmspec.runtime.verify import verify
from tests.flows import compiled
from tests.zoo import draw_event

DOUBLE = torch.float64
Z16 = "real[16] ~ normal(0, 1)"
STEP = "actnorm; conv1x1(plu); coupling(affine, mask = channels(0), net = conv(4))"


def text(
    steps: str, x: str = "real[1, 4, 4]", z: str = "real[*] ~ normal(0.3, 1.7)", arrow: str = "x -> z", more: str = ""
) -> str:
    """A model of one flow; a context declared in `more` reaches it."""
    bar = " | c" if "given c" in more else ""
    members = f"observe x : {x}\n{more}\nlatent z : {z}\nflow {arrow}{bar} {{ {steps} }}\nloss = nll\n"
    return f"dgm 1\nmodel M {{\n{members}}}\n"


MODELS = {
    "two levels": text(f"squeeze; {STEP}; split; squeeze; {STEP}"),
    "a learned prior": text(f"squeeze; {STEP}; split(prior = conv(4)); {STEP}; split(prior = mlp(8)); actnorm"),
    "in a repeat": text(f"squeeze; repeat 2 {{ {STEP}; split }}"),
    "a vector": text("linear(plu); split(prior = mlp(8)); split; elementwise(rqs(4))", "real[8]"),
    "with a context": text(f"haar; split(prior = conv(4)); {STEP}", more="given c : real[3]"),
    "split last": text("squeeze; split", z="real[16] ~ normal(0, 1)"),
    "put back": text("squeeze; split; actnorm; inverse split; conv1x1(qr)", z="real[4, 2, 2] ~ normal(0, 1)"),
    "from the latent": text(f"inverse {{ squeeze; {STEP}; split(prior = conv(4)); squeeze; {STEP} }}", arrow="z -> x"),
    "latent of stated size": text(f"inverse {{ squeeze; {STEP}; split; {STEP} }}", z=Z16, arrow="z -> x"),
    "in a chain": text("squeeze; level; level").replace("model M", f"bijector level = {{ {STEP}; split }}\nmodel M"),
}  # fmt: skip

each_model = pytest.mark.parametrize("name", MODELS)


def parts(name: str) -> tuple[CompiledModel, Tensor, dict[str, Tensor] | None]:
    model = compiled(MODELS[name], seed=3)
    given = {n: draw_event(t, 3, seed=5) for n, t in model.givens.items()}
    return model, draw_event(model.observed["x"], 3, seed=4), given or None


def jacobian(model: CompiledModel, x: Tensor, given: dict[str, Tensor] | None) -> Tensor:
    found = torch.autograd.functional.jacobian(lambda v: model.encode(v[None], given=given)[0].flatten(), x)
    return found.reshape(-1, x.numel())


@each_model
def test_the_density_is_that_of_the_jacobian(name: str) -> None:
    model, x, given = parts(name)
    law = model.graph.variables["z"].prior.op
    for row in range(len(x)):
        c = {n: v[row : row + 1] for n, v in given.items()} if given else None
        z = model.encode(x[row : row + 1], given=c).flatten()
        loc, scale = (torch.tensor(value, dtype=DOUBLE) for value in (law.loc, law.scale))
        prior = torch.distributions.Normal(loc, scale).log_prob(z).sum()
        expected = prior + torch.linalg.slogdet(jacobian(model, x[row], c)).logabsdet
        torch.testing.assert_close(model.log_prob(x[row : row + 1], given=c)[0], expected, rtol=1e-9, atol=1e-9)


@each_model
def test_both_directions_undo_each_other(name: str) -> None:
    model, x, given = parts(name)
    z = model.encode(x, given=given)
    torch.testing.assert_close(model.decode(z, given=given), x, rtol=1e-9, atol=1e-9)
    other = draw_event(model.type_of("z"), 3, seed=6)
    torch.testing.assert_close(model.encode(model.decode(other, given=given), given=given), other, rtol=1e-8, atol=1e-8)


@each_model
def test_samples_carry_their_density_and_the_ledger_adds_up(name: str) -> None:
    model, x, given = parts(name)
    given = {n: v[:1] for n, v in given.items()} if given else None
    samples, log_prob = model.sample_and_log_prob(4, given=given, seed=1)
    torch.testing.assert_close(model.sample(4, given=given, seed=1), samples)
    torch.testing.assert_close(model.log_prob(samples, given=given), log_prob, rtol=1e-9, atol=1e-9)
    ledger = model.ledger(x, given=given)
    torch.testing.assert_close(ledger.total, model.log_prob(x, given=given))


@each_model
def test_every_back_end_gives_the_same(name: str, tmp_path: Path) -> None:
    model, x, given = parts(name)
    expected = model.log_prob(x, given=given)
    plain = compiled(MODELS[name], seed=3, optimize="O0")
    assert plain.state_dict().keys() == model.state_dict().keys()
    saved = dgmspec.load_model(model.save(tmp_path / "model")).double()
    for other in (plain, model.freeze(), copy.deepcopy(model), saved):
        torch.testing.assert_close(other.log_prob(x, given=given), expected, rtol=1e-9, atol=1e-9)
    fx = model.to_fx("log_prob")
    torch.testing.assert_close(fx(x, *(given or {}).values()), expected)


@each_model
def test_claims_hold(name: str) -> None:
    model, _, _ = parts(name)
    found = verify(model)
    assert found.holds, found.text()
    (chain,) = Analysis(model.graph).chains.values()
    assert (chain.whole.dependency is not None and chain.whole.dependency.columns == 16) or name == "a vector"


def test_one_full_graph() -> None:
    torch._dynamo.reset()
    model = compiled(text("squeeze; actnorm; split(prior = conv(4)); conv1x1(plu)"), seed=1)
    x, other = draw_event(model.observed["x"], 3), model.compiled(backend="aot_eager")
    torch.testing.assert_close(other.log_prob(x), model.log_prob(x))
    torch.testing.assert_close(other.sample(3, seed=1), model.sample(3, seed=1))


def test_parts_stand_in_the_latent_in_the_order_they_were_set_aside() -> None:
    model = compiled(text("split; split", "real[8]"))
    z = model.encode(torch.arange(8.0, dtype=DOUBLE)[None])
    assert z.tolist() == [[4, 5, 6, 7, 2, 3, 0, 1]]
    image = torch.arange(16.0, dtype=DOUBLE).reshape(1, 1, 4, 4)
    z = compiled(text("squeeze; split")).encode(image)
    assert z.tolist() == [[4, 6, 12, 14, 5, 7, 13, 15, 0, 2, 8, 10, 1, 3, 9, 11]]


def test_a_learned_prior_is_the_conditional_law_of_the_part_set_aside() -> None:
    model = compiled(text("split(prior = mlp(8))", "real[2]", z="real[*] ~ normal(0, 1)"))
    x = draw_event(model.observed["x"], 50, seed=1)
    p = {n.rpartition("prior/")[2]: v for n, v in model.named_parameters()}
    hidden = torch.nn.functional.silu(x[:, :1] @ p["0/weight"].T + p["0/bias"])
    r, mean = (hidden @ p["1/weight"].T + p["1/bias"]).unbind(1)
    law = torch.distributions.Normal(mean, torch.exp(5 * torch.tanh(r / 5)))
    expected = torch.distributions.Normal(0, 1).log_prob(x[:, 0]) + law.log_prob(x[:, 1])
    torch.testing.assert_close(model.log_prob(x), expected.detach(), rtol=1e-9, atol=1e-9)


def test_the_density_integrates_to_one() -> None:
    model = compiled(text("linear(plu); split(prior = mlp(8)); elementwise(rqs(4))", "real[2]"), scale=0.2)
    axis = torch.linspace(-14, 14, 500, dtype=DOUBLE)
    with torch.no_grad():
        mass = model.log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * (axis[1] - axis[0]) ** 2
    assert float(mass) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("code", "model"),
    {
        "odd channels": ("DGM343", text("split", "real[3, 2, 2]")),
        "one number": ("DGM343", text("split", "real")),
        "nothing set aside": ("DGM340", text("inverse split", "real[2, 2]")),
        "odd sides": ("DGM342", text("squeeze", "real[1, 3, 4]")),
        "channels not spread": ("DGM342", text("inverse squeeze", "real[2, 2, 2]")),
        "no image": ("DGM304", text("haar", "real[4]")),
        "supports differ": ("DGM344", text("split; sigmoid", "real[4]", "unit[*] ~ uniform(0, 1)")),
        "another size": ("DGM301", text("squeeze; split", z="real[15] ~ normal(0, 1)")),
        "another size, from z": ("DGM301", text("inverse { squeeze; split }", z="real[15]", arrow="z -> x")),
        "another order": ("DGM343", text("inverse { squeeze; split }; inverse split", arrow="z -> x")),
        "a learned prior of integers": ("DGM311", text("split(prior = mlp(4))", "integer(0..3)[2]")),
        "a net of images": ("DGM447", text("split(prior = conv(4))", "real[4]")),
    }.values(),
)  # fmt: skip
def test_what_cannot_be_split_is_refused(code: str, model: str) -> None:
    assert code in {d.code for d in dgmspec.diagnose(model).diagnostics}


def test_every_step_carries_along_what_is_set_aside() -> None:
    aside = (Type(REAL, (2, 2)),)
    model = compiled(MODELS["two levels"])
    for step in model.graph.steps.values():
        before = model.graph.type_of(step.source)
        if isinstance(step.op, (Join, Split)):
            continue
        held = replace(before, aside=aside)
        assert step.op.infer_type(held, None).aside == aside
        assert step.op.infer_input(step.op.infer_type(held, None), None) == held


def test_a_drawing_joins_the_parts() -> None:
    drawn = drawing(compiled(MODELS["two levels"]).graph)
    named = {box.id: box.lines[0] for box in drawn.boxes}
    assert ("split", "join") in {(named[e.source], named[e.target]) for e in drawn.edges}


def test_moving_coordinates_keeps_a_standard_normal() -> None:
    model = compiled(text("squeeze; split", z="real[*] ~ normal(0, 1)"))
    assert float(model.log_prob(torch.zeros(1, 1, 4, 4, dtype=DOUBLE))) == pytest.approx(-8 * math.log(2 * math.pi))
