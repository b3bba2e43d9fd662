"""Known coordinates in a sample block and on the command line: kept by samplers along a noising arrow."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import dgmspec
from dgmspec import cli, lang
from dgmspec.runtime.train import Run

ARROW = "markov x -> z over t in 1..12 { step(x, t) ~ normal(0.8 * x, 0.6); learn noise(x, t) = mlp(4) }"

MIXED = (
    "sde x -> z over t in 0..4 { drift(x, t) = [[-2, 1], [0, -2]] @ x; diffusion(t) = 2; learn noise(x, t) = mlp(4) }"
)
"""Of which no coordinate has a kernel of its own."""


def text(*lines: str, arrow: str = ARROW, shape: str = "real[2]") -> str:
    latent = "real[2]" if shape != "real" else shape
    return (
        f"dgm 1\nmodel M {{\nobserve x : {shape}\nlatent z : {latent} ~ normal(0, 1)\n{arrow}\nloss = dsm\n}}\n"
        f"train M {{ steps = 2; batch = 32 }}\nsample M {{ {'; '.join(lines)} }}\n"
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    spec = dgmspec.parse(text("x = [0.5, free]", "count = 6", "method = ancestral"))
    return dgmspec.train(spec, data={"x": torch.randn(64, 2)}, out=tmp_path_factory.mktemp("run") / "run")


def test_a_block_keeps_what_it_says(run: Run) -> None:
    drawn = dgmspec.sample(run.path)
    assert torch.equal(drawn[:, 0], torch.full((6,), 0.5)) and len(drawn[:, 1].unique()) == 6
    known = {"x": (torch.tensor([[0.5, 0.0]]), torch.tensor([[True, False]]))}
    torch.testing.assert_close(drawn, run.model.sample(6, seed=0, method=lang.ancestral(), known=known))


def test_known_coordinates_are_in_the_units_of_the_data() -> None:
    """A model that standardises keeps what the same model without that keeps of standardised values."""
    plain = dgmspec.compile(dgmspec.parse(text()), dtype=torch.float64)
    scaled = text().replace("steps = 2", "standardize = true; steps = 2")
    model = dgmspec.compile(dgmspec.parse(scaled), dtype=torch.float64)
    mean, std = torch.tensor([100.0, -3.0]).double(), torch.tensor([20.0, 0.1]).double()
    model.set_statistics("x", mean, std)
    value, mask = torch.tensor([[110.0, 0.0]]).double(), torch.tensor([[True, False]])
    drawn = model.sample(5, seed=0, method=lang.ancestral(), known={"x": (value, mask)})
    known = {"x": ((value - mean) / std, mask)}
    torch.testing.assert_close((drawn - mean) / std, plain.sample(5, seed=0, method=lang.ancestral(), known=known))


def test_coordinates_that_mix_are_not_kept() -> None:
    model = dgmspec.compile(dgmspec.parse(text(arrow=MIXED)))
    known = {"x": (torch.tensor([[0.5, 0.0]]), torch.tensor([[True, False]]))}
    with pytest.raises(dgmspec.UnavailableError, match="coordinates mix"):
        model.sample(2, method=lang.reverse_sde(steps=3), known=known)


def test_the_command_line_says_others(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.npy"
    assert cli.run(["sample", str(run.path), "--given", "x=free,-0.25", "-n", "3", "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["count"] == 3
    drawn = np.load(out)
    assert np.array_equal(drawn[:, 1], np.full(3, -0.25, dtype=drawn.dtype)) and len(np.unique(drawn[:, 0])) == 3
    assert cli.run(["sample", str(run.path), "--given", "x=free", "-n", "3", "-o", str(out)]) != 0


@pytest.mark.parametrize(
    ("lines", "options", "expected"),
    [
        (("x = [0.5, free]",), {}, []),
        (("x = [0.5, free, free]",), {}, ["DGM815"]),
        (("x = [9, free]",), {"shape": "integer(0..7)[2]"}, ["DGM815"]),
        (("x = [7, free]",), {"shape": "integer(0..7)[2]"}, []),
        (("x = [0.5, free]", "method = langevin(5, 0.1)"), {}, ["DGM715", "DGM816"]),
        (("x = [0.5, free]",), {"arrow": "flow x -> z { actnorm }"}, ["DGM706", "DGM816"]),
        (("x = [0.5, free]", "method = reverse_sde"), {"arrow": MIXED}, ["DGM816"]),
        (("x = [0.5, fre]",), {}, ["DGM201"]),
        (("z = [0.5, free]",), {}, ["DGM801"]),
    ],
)
def test_a_value_has_its_type_and_a_sampler_that_keeps_it(
    lines: tuple[str, ...], options: dict[str, str], expected: list[str]
) -> None:
    found = dgmspec.diagnose(text(*lines, **options)).diagnostics
    assert sorted(d.code for d in found if d.severity == "error") == expected
