"""Half precision: nets alone run in it; maps, log-determinants and their sums keep the precision of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dgmspec
from dgmspec.ops import library
from dgmspec.runtime.rundir import RunError
from dgmspec.runtime.steps import Steps
from dgmspec.runtime.train import resume_run
from tests.flows import flow
from tests.zoo import TYPES, WRAPPERS, draw_event, randomise

STEPS = [WRAPPERS[cls.role][0].format(cls.examples[0]) for cls in library() if cls.role in WRAPPERS]
STEPS += [WRAPPERS["scalar"][1].format(cls.examples[0]) for cls in library() if cls.role == "scalar"]


@pytest.mark.parametrize("step", dict.fromkeys(STEPS))
def test_log_determinants_are_never_in_half_precision(step: str) -> None:
    text = next((found for before in TYPES if (found := flow(before, [step]))), None)
    if text is None:
        pytest.skip("no flow from data to a prior is made of this step alone")
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float32)
    randomise(model)
    x = draw_event(model.type_of("x"), 16).float()
    whole = model.ledger(x, seed=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model.ledger(x, seed=0)
        back = model.decode(model.encode(x, seed=0), seed=0)
    assert back.dtype is torch.float32 and half.total.dtype is torch.float32
    # The inverse of an autoregression goes coordinate by coordinate, in single precision; that of a fold is a draw, as
    # both ways of a transition are.
    ops = [node.op for node in model.graph.steps.values()]
    if "autoregressive" not in step and not any(op.folds or op.balances for op in ops):
        torch.testing.assert_close(back, x, rtol=1e-3, atol=1e-3)
    for found, expected in zip(half, whole, strict=True):
        assert found.logdet.dtype is torch.float32, found.name
        error = (found.logdet - expected.logdet).abs().mean()  # one point may lie in another bin of a spline
        assert error <= 0.05 * (1 + expected.logdet.abs().mean()), found.name


FLOW = """
dgm 1
model M {
    observe x : real[4]
    latent z : real[4] ~ normal(0, 1)
    flow x -> z {
        actnorm
        repeat 2 as k { coupling(rqs, mask = alternate(k), net = mlp(16)); linear(plu) }
    }
    loss = nll
}
train M { steps = 30; batch = 64; optimizer = adam(lr = 5e-3); clip = 1.0; validate = holdout(0.2, every = 10) }
"""


def rows() -> dict[str, Any]:
    return {"x": np.random.default_rng(0).normal(size=(500, 4)).cumsum(1)}


def trained(settings: str, out: Path) -> Any:
    text = FLOW.replace("steps = 30;", f"steps = 30; {settings};") if settings else FLOW
    return dgmspec.train(dgmspec.parse(text), data=rows(), out=out)


def test_half_precision_trains_to_what_single_does(tmp_path: Path) -> None:
    """fp16 scales its loss, so that small gradients do not vanish."""
    expected = trained("", tmp_path / "float32").report["validation"]
    for precision in ("bf16", "fp16"):
        run = trained(f"precision = {precision}", tmp_path / precision)
        assert run.model.dtype is torch.float32
        assert run.report["validation"] == pytest.approx(expected, abs=0.05)


def test_loss_scaling_survives_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained("precision = fp16", tmp_path / "whole")
    update = Steps.update

    def stopping(self: Steps) -> None:
        update(self)
        if self.fit.step == 13:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Steps, "update", stopping)
        with pytest.raises(KeyboardInterrupt):
            trained("precision = fp16", tmp_path / "r")
    run = resume_run(tmp_path / "r", data=rows())
    for name, value in whole.model.state_dict().items():
        assert torch.equal(run.model.state_dict()[name], value), name


def test_accumulated_parts_are_the_batch(tmp_path: Path) -> None:
    """Parts of 21 and 22 rows, weighed by their sizes."""
    whole = trained("precision = float64", tmp_path / "whole")
    parts = trained("precision = float64; accumulate = 3", tmp_path / "parts")
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], value, rtol=1e-9, atol=1e-9)
    assert parts.report["validation"] == pytest.approx(whole.report["validation"], rel=1e-9)


def test_a_batch_too_small_to_divide_is_refused_with_the_numbers(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match="a batch of 64 rows cannot be divided over 1 process, 65 parts each: at least 65"
    ):
        trained("accumulate = 65", tmp_path / "r")
    assert not (tmp_path / "r").exists()
