"""Joint states: several variables that stand end to end in one, on which a flow acts."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

import dgmspec
from dgmspec.modules.randomness import noise_for
from dgmspec.spec.model import Spec
from dgmspec.spec.override import override
from tests.flows import compiled

JOINT = """dgm 1
model M {
    observe x : real[2]
    observe n : integer(0..2)
    observe y : real
    latent u : real
    flow n -> u { dequantize(uniform); logit }
    latent z : real[4] ~ normal(0, 1)
    flow [x, u, y] -> z { linear(plu); coupling(affine, mask = half, net = mlp(8)) }
    loss = nll
}
"""


def test_a_joint_state_is_its_parts_end_to_end() -> None:
    model = compiled(JOINT)
    one = compiled("""dgm 1
    model M {
        observe s : real[4]
        latent z : real[4] ~ normal(0, 1)
        flow s -> z { linear(plu); coupling(affine, mask = half, net = mlp(8)) }
    }
    """)
    for (_, theirs), (_, own) in zip(one.named_parameters(), model.named_parameters(), strict=True):
        theirs.data.copy_(own.data)
    drawn = model.sample(6, seed=0)
    assert {name: tuple(value.shape) for name, value in drawn.items()} == {"x": (6, 2), "n": (6,), "y": (6,)}
    noise = noise_for(model.program("log_prob"), (0, 6), 1, torch.float64)
    (v,) = noise.values()
    y = (drawn["n"] + v) / 3
    state = torch.cat([drawn["x"], torch.logit(y)[:, None], drawn["y"][:, None]], 1)
    expected = one.log_prob(state) - (torch.log(y * (1 - y)) + math.log(3))
    torch.testing.assert_close(model.log_prob(drawn, seed=1), expected)
    torch.testing.assert_close(model.decode(model.encode(drawn, seed=1)), drawn)
    assert model.density == "lower bound"
    assert next(step.name for step in model.ledger(drawn, seed=1)) == "dequantize(uniform)"


def test_a_joint_state_may_stand_at_either_end_and_its_flow_may_run_either_way() -> None:
    text = JOINT.replace("flow [x, u, y] -> z {", "flow z -> [x, u, y] {")
    model = compiled(text)
    drawn = model.sample(5, seed=0)
    torch.testing.assert_close(model.decode(model.encode(drawn, seed=1)), drawn)
    assert torch.isfinite(model.log_prob(drawn, seed=0)).all()


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("observe y : real", "observe y : positive", "DGM348"),
        ("observe y : real", "given y : real", "DGM348"),
        ("[x, u, y]", "[x, u, u]", "DGM202"),
        ("z : real[4]", "z : real[5]", "DGM301"),
        ("[x, u, y]", "[x, u, w]", "DGM201"),
        ("observe y : real", "latent y : real", "DGM702"),
        ("loss", "latent w : real[2] ~ normal(0, 1)\n    flow x -> w { actnorm }\n    loss", "DGM708"),
    ],
)
def test_joint_states_that_do_not_fit_are_refused(old: str, new: str, code: str) -> None:
    found = [d.code for d in dgmspec.diagnose(JOINT.replace(old, new)).diagnostics if d.severity == "error"]
    assert code in found, found


def test_columns_of_all_kinds_train_from_a_table(tmp_path: Path) -> None:
    spec = dgmspec.load(Path(__file__).parent.parent / "specs" / "mixed_columns.dgm").with_params(depth=1)
    kind = torch.randint(0, 3, (400,), generator=torch.Generator().manual_seed(0))
    rows = [f"{k + 0.1 * (i % 7)},{-k},{1 + 2 * k + i % 2},{k}" for i, k in enumerate(kind.tolist())]
    (tmp_path / "homes.csv").write_text("area,plot,rooms,kind\n" + "\n".join(rows) + "\n")
    spec = override(spec, {"train.steps": "20", "train.batch": "128"})
    assert isinstance(spec, Spec)
    run = dgmspec.train(spec, paths={"homes": tmp_path / "homes.csv"}, out=tmp_path / "run")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["density"] == "lower bound" and math.isfinite(report["test"]["nll_nats"])
    assert {name: value.shape[0] for name, value in run.model.sample(3, seed=0).items()} == dict.fromkeys(
        ("size", "rooms", "kind"), 3
    )
