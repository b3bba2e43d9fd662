"""The parts of a run: optimisers and schedules, averages, the run folder, progress, and defaults written out."""

from __future__ import annotations

import io
import math
import os
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console
from rich.progress import Progress

import dgmspec
from dgmspec import cli
from dgmspec.core.op import AbstractOp
from dgmspec.graph.arguments import Caller
from dgmspec.graph.findings import Findings
from dgmspec.ops import library, training
from dgmspec.runtime import progress
from dgmspec.runtime.interrupts import Interrupts
from dgmspec.runtime.optim import OPTIMIZERS, SHAPES, Average, build_optimizer, rate_factor
from dgmspec.runtime.progress import show_progress
from dgmspec.runtime.report import OK, verdict
from dgmspec.runtime.rundir import RunDirectory, RunError, finite, fresh_directory
from dgmspec.runtime.selfcheck import self_check
from dgmspec.spec.defaults import as_written, with_defaults
from dgmspec.spec.model import Train
from dgmspec.spec.unresolve import expression
from dgmspec.syntax.printer import format_tree
from tests.zoo import noises, randomise, small

SPECS = sorted((Path(__file__).parent.parent / "specs").glob("*.dgm"))


# ---- optimisers -----------------------------------------------------------------------------------------------------


def test_every_declared_optimiser_and_schedule_has_its_entry() -> None:
    declared = library().entries
    assert set(declared["optimizer"].values()) == OPTIMIZERS.keys()
    assert set(declared["schedule"].values()) == SHAPES.keys()


@pytest.mark.parametrize("op", [training.Adam(), training.AdamW(), training.Sgd(momentum=0.9)], ids=lambda op: op.name)
def test_optimisers_go_downhill(op: AbstractOp) -> None:
    point = torch.full((3,), 2.0, requires_grad=True)
    optimizer = build_optimizer(op, [point])
    for _ in range(20):
        optimizer.zero_grad()
        point.square().sum().backward()
        optimizer.step()
    assert float(point.detach().norm()) < 2 * math.sqrt(3)
    assert optimizer.param_groups[0]["lr"] == op.lr  # type: ignore[attr-defined]


def test_schedules_rise_and_fall() -> None:
    cosine = rate_factor(training.Cosine(warmup=10, final=0.1), 110)
    assert cosine(0) == pytest.approx(1 / 11) and cosine(10) == 1.0
    assert cosine(60) == pytest.approx(0.55) and cosine(110) == pytest.approx(0.1)
    linear = rate_factor(training.Linear(), 100)
    assert [linear(s) for s in (0, 50, 100)] == pytest.approx([1.0, 0.5, 0.0])
    assert rate_factor(training.Constant(warmup=4), 100)(50) == rate_factor(None, 100)(0) == 1.0


def test_an_average_follows_and_steps_aside() -> None:
    weight = torch.zeros(2)
    average = Average([weight], 0.5)
    weight.fill_(1.0)
    for _ in range(60):
        average.update()
    with average.swapped_in():
        assert weight.tolist() == pytest.approx([1.0, 1.0], abs=1e-6)
        weight.mul_(1)
    average.values[0].fill_(7.0)
    with average.swapped_in():
        assert weight.tolist() == [7.0, 7.0]
    assert weight.tolist() == [1.0, 1.0]


# ---- the folder -----------------------------------------------------------------------------------------------------


def test_checkpoints_come_back(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.create()
    tensors = {"M/x->z/0/shift": torch.arange(3.0), "step": torch.tensor(4.0, dtype=torch.float64)}
    directory.save_checkpoint("last", tensors, {"step": 4, "best": None})
    found, counters = directory.load_checkpoint("last")
    assert counters == {"step": 4, "best": None}
    assert all(torch.equal(found[k], v) and found[k].dtype == v.dtype for k, v in tensors.items())


def test_metrics_are_rows_that_can_be_cut(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    assert directory.metrics() == []
    for step in (50, 100, 150):
        directory.append_metrics(
            {"step": step, "seconds": 0.5, "loss": 1.25} | ({"validation": 2.0} if step == 100 else {})
        )
    directory.cut_metrics(100)
    assert directory.metrics() == [
        {"step": 50, "seconds": 0.5, "loss": 1.25},
        {"step": 100, "seconds": 0.5, "loss": 1.25, "validation": 2.0},
    ]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="choose another folder"):
        RunDirectory(tmp_path / "file" / "run").create()
    with pytest.raises(RunError, match="cannot write"):
        RunDirectory(tmp_path / "missing").write_text("a", "b")


def test_fresh_folders_do_not_collide(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        path = fresh_directory(tmp_path, "m")
        path.mkdir()
        names.append(path.name)
    assert names == ["m", "m-2", "m-3"]


def test_json_has_no_infinities() -> None:
    assert finite({"a": [1.0, math.inf, {"b": math.nan}], "c": "x", "d": 3}) == {
        "a": [1.0, None, {"b": None}],
        "c": "x",
        "d": 3,
    }


def test_the_verdict_needs_three_standard_errors() -> None:
    assert verdict({"gap_to_entropy_nats": -0.029, "gap_stderr": 0.01}) == OK == verdict({})
    assert "no finite number" in verdict({"nll_nats": float("nan")}) and verdict({"nll_nats": 1.0}) == OK
    assert "cannot integrate to 1" in verdict({"gap_to_entropy_nats": -0.031, "gap_stderr": 0.01})


@pytest.mark.parametrize(("nll", "code"), [(1.5, 0), (math.nan, 1)])
def test_eval_fails_on_figures_that_cannot_be_right(
    nll: float, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dgmspec.runtime.evaluate.evaluate", lambda run, **options: {"nll_nats": nll})
    assert cli.run(["eval", str(tmp_path)]) == code
    assert ("FAILED: the log-density is no finite number" in capsys.readouterr().out) == bool(code)


# ---- what a person sees ---------------------------------------------------------------------------------------------


def test_a_log_shows_life(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with show_progress("train", 1_000) as reporter:
        reporter.advance(50, loss=2.0)
        reporter.advance(100, loss=1.5, validation=1.25)
        monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
        reporter.advance(150, loss=1.0)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("train 100/1,000  loss 1.5000  validation 1.2500") and lines[0].endswith("left")
    with show_progress("train", 1_000, visible=False) as reporter:
        reporter.advance(100, validation=1.0)
    assert capsys.readouterr().err == ""


def test_a_stop_waits_for_the_step_to_end() -> None:
    before = signal.getsignal(signal.SIGINT)
    reached = []
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        interrupts.check()
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("the end of the step")
        interrupts.check()
    assert reached and signal.getsignal(signal.SIGINT) is before


# ---- the numeric self-check -----------------------------------------------------------------------------------------


CHECKED = ("realnvp", "conditional", "mixed_columns", "vae")
"""Specs that are self-checked by default: `verify` tries the same claims, and more, of all of them."""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[] if path.stem in CHECKED else [pytest.mark.slow])
        for path in SPECS
        if not noises(path)
    ],
)
def test_every_spec_passes_its_self_check(path: Path) -> None:
    spec = small(dgmspec.load(path))
    model = dgmspec.compile(spec, model=next(iter(spec.models)), seed=0)
    findings = self_check(model)
    assert bool(findings) == bool(model.graph.steps) and not [str(finding) for finding in findings if not finding.holds]


# ---- defaults written out -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_defaults_written_out_change_nothing_but_the_text(path: Path) -> None:
    spec = dgmspec.load(path)
    full = with_defaults(spec)
    assert dgmspec.parse(full.text(), full.sources) == full == with_defaults(full)
    for name in spec.models:
        first, second = dgmspec.compile(spec, model=name, seed=1), dgmspec.compile(full, model=name, seed=1)
        ops = [{at: (s.op, s.inverse) for at, s in model.graph.steps.items()} for model in (first, second)]
        assert ops[0] == ops[1]
        assert first.state_dict().keys() == second.state_dict().keys()
        assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())


@pytest.mark.parametrize("role", [r for r in library().entries if r not in ("block", "settings", "data", "bits")])
def test_every_operation_takes_its_own_defaults(role: str) -> None:
    # A run's spec says everything: what may be left out may also be written.
    for cls in library().entries[role].values():
        for example in cls.examples:
            if example.startswith(("inverse", "forward_kl(", "hmc(dot", "hmc(sum", "metropolis(")):
                continue  # no call by itself: a step turned round, a term of a variable, an energy of `_`
            text = f"dgm 1\nmodel M {{ observe x : real[2] }}\ntrain M {{ optimizer = {example} }}"
            spec = dgmspec.diagnose(text).spec
            assert spec is not None, example
            block, caller = spec.items[-1], Caller(Findings())
            assert isinstance(block, Train)
            op = caller.operation(role, block.settings[0].value, "")
            assert caller.operation(role, as_written(op), "") == op, example


def test_defaults_reach_used_files_and_leave_own_names_alone() -> None:
    text = 'dgm 1\nuse "b.dgm" as b\nbijector affine() = { actnorm }\nmodel M {\n    observe x : real[2]\n'
    text += "    latent z : real[2]\n    flow x -> z { b.mix; affine; coupling(rqs, mask = half, net = mlp(4)) }\n}\n"
    sources = {"b.dgm": "dgm 1\nbijector mix() = { linear(plu) }\n"}
    full = with_defaults(dgmspec.parse(text, sources))
    assert "plu(seed = 0)" in full.sources["b.dgm"]
    assert "affine\n" in full.text() and "rqs(bins = 8, bound = 3.0" in full.text()


def test_an_operation_is_written_as_its_call() -> None:
    written = format_tree(expression(as_written(training.Holdout(fraction=0.2, every=7))))
    assert written == "holdout(fraction = 0.2, every = 7)"


def test_the_sample_block_says_how_many_and_from_which_seed(tmp_path: Path) -> None:
    text = """dgm 1
    model M { observe x : real[2]; latent z : real[2] ~ normal(0, 1); flow x -> z { linear(plu) }; loss = nll }
    sample M { count = 7; seed = 5 }
    """
    model = dgmspec.compile(dgmspec.parse(text))
    model.save(tmp_path / "model")
    torch.testing.assert_close(dgmspec.sample(tmp_path / "model"), model.sample(7, seed=5))
    torch.testing.assert_close(dgmspec.sample(tmp_path / "model", 3, seed=1), model.sample(3, seed=1))


def test_a_category_beside_another_context_is_one_hot() -> None:
    flow = "latent z : real[2] ~ normal(0, 1)\n    flow x -> z | c, k { coupling(affine, mask = half, net = mlp(8)) }"
    texts = [
        f"dgm 1\nmodel M {{\n    observe x : real[2]\n    given c : real[3]\n    given k : {type_}\n    {flow}\n}}\n"
        for type_ in ("category(4)", "real[4]")
    ]
    labelled, plain = (dgmspec.compile(dgmspec.parse(text), seed=1, dtype=torch.float64) for text in texts)
    for model in (labelled, plain):
        randomise(model, 1)
    x, c, k = torch.randn(5, 2).double(), torch.randn(5, 3).double(), torch.tensor([0, 1, 2, 3, 1])
    one_hot = torch.nn.functional.one_hot(k, 4).double()
    expected = plain.log_prob(x, given={"c": c, "k": one_hot})
    torch.testing.assert_close(labelled.log_prob(x, given={"c": c, "k": k}), expected)


@pytest.mark.parametrize(
    ("width", "more"), [(60, ()), (72, ("1,234/s",)), (80, ("1,234/s", "━")), (120, ("1,234/s", "━"))]
)
def test_a_bar_leaves_room_for_its_figures(width: int, more: tuple[str, ...]) -> None:
    shown = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with Progress(*progress._columns(width), console=shown, auto_refresh=False) as bar:
        task = bar.add_task(
            "train", total=4000, completed=2000, figures="loss 1.8964  validation 1.8487", rate="1,234/s"
        )
        bar.refresh()
        assert task == 0
    assert all(part in shown.file.getvalue() for part in ("2000/4000", "validation 1.8487", *more))  # type: ignore[attr-defined]
