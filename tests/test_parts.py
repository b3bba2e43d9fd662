"""Images that are by design a part of what follows: what may stand behind them, the mass they leave out, samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec import cli, lang
from dgmspec.checks.explain_table import explain_table
from dgmspec.graph.graph import Graph
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.redraws import OutsideError
from dgmspec.runtime.verify import verify
from tests.flows import compiled, share_inside

DOUBLE = torch.float64
NORMAL = "real[*] ~ normal(0, 1)"
GLOW = "actnorm; conv1x1(plu); coupling(affine, mask = channels(0), net = conv(8))"


def text(x: str, steps: str, z: str = NORMAL, arrow: str = "x -> z", more: str = "") -> str:
    return f"dgm 1\nmodel M {{\nobserve x : {x}\nlatent z : {z}\n{more}\nflow {arrow} {{ {steps} }}\n}}\n"


def found(*args: str) -> list[tuple[str, str]]:
    return [(d.code, d.message) for d in dgmspec.diagnose(text(*args)).diagnostics if d.severity != "warning"]


def types(*args: str) -> list[str]:
    graph = dgmspec.diagnose(text(*args)).graphs["M"]
    (arrow,) = graph.arrows.values()
    return [str(graph.type_of(graph.steps[step].target)) for step in arrow.steps]


# ---- what may stand where -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "steps", "reader"),
    [
        ("unit[2]", "logit(0.05)", "where `z` lives"),
        ("unit[2]", "logit(0.05); actnorm", "what `actnorm` takes"),
        ("unit[2]", "logit(0.05); permute(reverse); inverse linear(plu)", "what `inverse linear` takes"),
        ("unit[2]", "logit(0.05); coupling(affine, mask = half, net = mlp(4))", "what `coupling` takes"),
        ("unit[2]", "logit(0.05); elementwise(rqs(4)); shift_scale(1, 2); planar", "what `planar` takes"),
        ("unit[2]", "logit(0.05); augment(1)", "what `augment` takes"),
        ("unit[2]", "logit(0.05); abs; inverse exp; actnorm", "what `actnorm` takes"),
        ("integer(0..255)[1, 4, 4]", "dequantize(uniform); logit(0.05); haar", "what `haar` takes"),
        ("integer(0..9)[1, 8, 8]", f"dequantize(uniform); logit(0.05); squeeze; {GLOW}; split", "what `actnorm` takes"),
    ],
)  # fmt: skip
def test_what_needs_the_line_reads_a_part_of_it_with_a_note(x: str, steps: str, reader: str) -> None:
    assert found(x, steps) == [("DGM308", f"the image of `logit` is (-2.944, 2.944) by design, a part of {reader}")]


def test_steps_that_keep_an_interval_keep_the_part_until_one_needs_the_line() -> None:
    steps = "logit(0.05); elementwise(rqs(4)); permute(reverse); actnorm; elementwise(rqs(4))"
    part, line = "interval(-2.9444389791664403, 2.9444389791664403)[2]", "real[2]"
    assert types("unit[2]", steps) == [part, part, line, line, line]
    assert types("unit[2]", "logit(0.05); elementwise(rqs(4))") == [part, line]


def test_undone_towards_the_data_it_takes_the_part_alone() -> None:
    said = "`inverse logit(0.05)` takes (-2.944, 2.944) by design, a part of what reaches it"
    for x, steps in (
        ("unit[2]", "linear(plu); inverse logit(0.05)"),
        ("unit[2, 2]", "inverse { logit(0.05); flatten; linear(plu) }"),
        ("unit[1, 4, 4]", f"inverse {{ logit(0.05); squeeze; {GLOW}; split; actnorm }}"),
        ("integer(0..3)[2]", "inverse { dequantize(uniform); logit(0.05); elementwise(rqs(4)) }"),
    ):
        assert found(x, steps, NORMAL, "z -> x") == [("DGM308", said)]


@pytest.mark.parametrize(
    ("x", "steps", "z", "arrow", "code"),
    [
        ("unit[2]", "actnorm", NORMAL, "x -> z", "DGM303"),
        ("unit[2]", "logit(0.05); inverse exp", NORMAL, "x -> z", "DGM303"),
        ("unit[2, 2]", "logit(0.05); linear(plu)", NORMAL, "x -> z", "DGM304"),
        ("unit[2]", "logit(0.05); tanh", NORMAL, "x -> z", "DGM302"),
        ("unit[2]", "logit(0.05); tanh; actnorm", NORMAL, "x -> z", "DGM303"),
        ("real[2]", "sigmoid; logit(0.05)", "positive[*] ~ exponential(1)", "x -> z", "DGM302"),
        ("integer(0..3)[2]", "dequantize(uniform)", NORMAL, "x -> z", "DGM302"),
        ("integer(0..3)[2]", "dequantize(uniform); actnorm", NORMAL, "x -> z", "DGM303"),
        ("unit[*]", "logit(0.05); actnorm", "real[2] ~ normal(0, 1)", "x -> z", "DGM305"),
        ("real[2]", "logit(0.05)", "unit[2] ~ uniform(0, 1)", "z -> x", "DGM302"),
        ("real[2]", "logit(0.05); actnorm", "unit[2] ~ uniform(0, 1)", "z -> x", "DGM302"),
        ("real[2]", "actnorm; inverse logit(0.05)", "unit[*] ~ uniform(0, 1)", "x -> z", "DGM303"),
        ("real[2, 2]", "inverse flatten; inverse sigmoid", "real[4] ~ normal(0, 1)", "z -> x", "DGM301"),
    ],
)
def test_other_bounded_images_and_the_wrong_way_round_stay_refused(
    x: str, steps: str, z: str, arrow: str, code: str
) -> None:
    assert [c for c, _ in found(x, steps, z, arrow) if c != "DGM308"] == [code]


def test_the_note_names_the_data_and_the_table_says_into() -> None:
    diagnosis = dgmspec.diagnose(text("unit[2]", "actnorm; inverse logit(0.05)", NORMAL, "z -> x"))
    (note,) = [d for d in diagnosis.diagnostics if d.code == "DGM308"]
    assert note.notes[0].startswith("the density of x is a lower bound")
    graph: Graph = diagnosis.graphs["M"]
    (flow,) = explain_table(graph).flows
    assert (flow.relation, flow.density) == ("into", "lower bound") and flow.proved[0] == "invertible onto its image"


def test_a_joint_chain_of_arrows_leads_to_the_prior_at_its_far_end() -> None:
    more = "latent u : real[*]\nflow x -> u { logit(0.05); actnorm }"
    spec = text("unit[2]", "linear(plu)", NORMAL, "u -> z", more)
    assert [d.code for d in dgmspec.diagnose(spec).diagnostics if d.severity != "warning"] == ["DGM308"]


# ---- mass and samples -----------------------------------------------------------------------------------------------

SPLINE = "coupling(rqs(4), mask = half, net = mlp(4))"
CHAINS = {
    "a scale": ("unit[1]", "logit(0.2); actnorm", "x -> z"),
    "a spline on the part": ("unit[1]", "logit(0.1); elementwise(rqs(4)); actnorm; elementwise(rqs(4))", "x -> z"),
    "polynomials on the part": ("interval(-1, 3)[1]", "logit(0.1); elementwise(bernstein(4)); actnorm", "x -> z"),
    "towards the data": ("unit[1]", "actnorm; elementwise(rqs(4)); inverse logit(0.1)", "z -> x"),
    "a map of the line first": ("real[1]", "sigmoid; logit(0.1); actnorm", "x -> z"),
    "mixed": ("unit[2]", "logit(0.1); linear(plu); coupling(affine, mask = half, net = mlp(4))", "x -> z"),
    "mixed towards the data": ("unit[2]", f"inverse {{ logit(0.1); {SPLINE}; linear(plu) }}", "z -> x"),
    "folded": ("unit[2]", "logit(0.1); sort; linear(plu)", "x -> z"),
}  # fmt: skip


def mass(model: CompiledModel, end: float = torch.inf) -> float:
    """The integral of the density where the first coordinate is below `end`, by the midpoint rule."""
    type_ = model.observed["x"]
    count, (low, high) = 400 if type_.size == 2 else 40_000, (type_.support.low, type_.support.high)
    t = (torch.arange(count, dtype=DOUBLE) + 0.5) / count
    whole = low == -torch.inf
    points, slope = (t.logit(), 1 / (t * (1 - t))) if whole else (low + (high - low) * t, high - low + 0 * t)
    grid, slopes = (torch.cartesian_prod(*[v] * type_.size).reshape(-1, type_.size) for v in (points, slope / count))
    return float((model.log_prob(grid).exp() * slopes.prod(1) * (grid[:, 0] < end)).sum())


@pytest.mark.parametrize("name", CHAINS)
@torch.no_grad()
def test_the_density_integrates_to_the_share_of_the_model_that_is_data(name: str) -> None:
    x, steps, arrow = CHAINS[name]
    model = compiled(text(x, steps, NORMAL, arrow), seed=2, scale=0.2)
    assert model.density == "lower bound"
    total = mass(model)
    assert total < 0.995 and total == pytest.approx(share_inside(model), abs=0.01)
    # Samples are those that fell inside: their law is the density over its mass.
    drawn: Tensor = model.sample(20_000, seed=5)
    support = model.observed["x"].support
    assert bool(((drawn >= support.low) & (drawn <= support.high)).all())
    assert mass(model, float(drawn[:, 0].median())) / total == pytest.approx(0.5, abs=0.02)


def test_verification_asks_for_a_mass_of_at_most_one() -> None:
    model = compiled(text("unit[2]", "logit(0.1); linear(plu); coupling(rqs(4), mask = half, net = mlp(4))"))
    verification = verify(model, 0)
    assert verification.holds, [str(f) for f in verification.findings if not f.holds]
    (normalised,) = [f for f in verification.findings if f.claim == "normalisation"]
    assert normalised.error is not None


# ---- images ---------------------------------------------------------------------------------------------------------

IMAGES = f"""dgm 1
model Glow {{
    observe x : integer(0..3)[1, 4, 4]
    latent z : real[*] ~ normal(0, 1)
    flow x -> z {{
        dequantize(uniform)
        logit(alpha = 0.05)
        squeeze
        {GLOW}
        split
        haar
        {GLOW}
    }}
    loss = nll
}}
train Glow {{ steps = 1; batch = 32 }}
"""
BRIGHTNESS = np.random.default_rng(0).choice([0.1, 0.9], (150, 1, 1, 1))
PIXELS = np.random.default_rng(1).binomial(3, BRIGHTNESS, (150, 1, 4, 4))


def test_the_recipe_for_images_trains() -> None:
    model = dgmspec.compile(dgmspec.parse(IMAGES))
    assert model.density == "lower bound"
    x = torch.from_numpy(PIXELS).float()
    model.initialise({"x": x})
    optimizer, losses = torch.optim.Adam(model.parameters(), 1e-2), []
    for step in range(30):
        optimizer.zero_grad()
        loss = model.loss({"x": x}, seed=0, step=step).total
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 1
    drawn: Tensor = model.sample(50, seed=0)
    assert bool(((drawn >= 0) & (drawn <= 3) & (drawn == drawn.floor())).all())


def test_where_hardly_a_sample_falls_inside_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = dgmspec.parse(IMAGES.replace("normal(0, 1)", "normal(40, 1)"))
    other = dgmspec.train(spec, data={"x": PIXELS}, out=tmp_path / "run")
    assert other.report["density"] == "lower bound" and "log-density lower bound" in other.summary()
    assert "of the model's mass" in other.report["unsampled"] and "no samples: of " in other.summary()
    assert not (tmp_path / "run" / "samples.png").exists() and (tmp_path / "run" / "loss.png").exists()
    with pytest.raises(OutsideError, match=r"of 2,000 draws 0 fell inside"):
        other.model.sample(400, seed=0)
    assert cli.run(["sample", str(tmp_path / "run"), "-n", "4", "--out", str(tmp_path / "s.npy")]) == 2
    assert "cannot be sampled: of 800 draws 0 fell inside" in capsys.readouterr().err
    assert verify(other.model, 0).holds


def test_some_samples_take_many_rounds() -> None:
    model = dgmspec.compile(dgmspec.parse(text("unit[1]", "logit(0.1); shift_scale(3.5, 1)")), dtype=DOUBLE)
    drawn = model.sample(200, seed=0)
    assert drawn.shape == (200, 1) and bool(((drawn > 0) & (drawn < 1)).all())
    torch.testing.assert_close(torch.cat([model.sample(120, seed=0), model.sample(80, seed=0, start=120)]), drawn)


PATH = """dgm 1
model M {
    observe x : unit[1]
    latent u : real[*]
    latent z : real[1] ~ normal(0, 1)
    flow x -> u { logit(0.2) }
    sde u -> z over t in 0..1 { drift(u, t) = -2 * u; diffusion(t) = 2; learn noise(u, t) = mlp(4, time = fourier(2)) }
    loss = dsm
}
sample M { method = reverse_sde(steps = 8) }
"""


def test_samplers_along_a_path_draw_again_too() -> None:
    model = compiled(PATH, seed=1)
    method = lang.reverse_sde(steps=8)
    drawn = model.sample(60, seed=0, method=method)
    assert bool(((drawn > 0) & (drawn < 1)).all())
    alone = torch.cat([model.sample(25, seed=0, method=method), model.sample(35, seed=0, start=25, method=method)])
    torch.testing.assert_close(alone, drawn)
    plain = compiled(
        PATH.replace("unit[1]", "real[1]").replace("flow x -> u { logit(0.2) }", "flow x -> u { actnorm }"), seed=1
    )
    assert float((plain.sample(60, seed=0, method=method).abs() > 1.4).double().mean()) > 0.05
