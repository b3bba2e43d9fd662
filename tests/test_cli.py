"""The command line end to end: what each verb does, its exit codes, and that no user's mistake shows a traceback."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from dgmspec import answers, cli
from dgmspec.commands import specs
from dgmspec.console import lines
from dgmspec.core.width import unbroken
from dgmspec.spec.templates import templates
from dgmspec.syntax.printer import format_text

ROOT = Path(__file__).parent.parent
SPECS = ROOT / "specs"

WRONG = """dgm 1
model M {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z { sigmoid }
}
"""

TINY = """dgm 1
param width = 8
model M {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z { actnorm; repeat 2 as k { coupling(affine, mask = alternate(k), net = mlp(width)) } }
    loss = nll
}
train M { data = two_moons(n = 1_000); steps = 20; batch = 64; validate = holdout(0.2, every = 10) }
"""

LABELLED = """dgm 1
model C {
    observe x : integer(0..16)[64]
    given label : category(10)
    latent z : real[64] ~ normal(0, 1)
    flow x -> z | label { dequantize(uniform); logit; elementwise(affine, net = mlp(8)) }
    loss = nll
}
train C { data = digits(flat = true, labels = true); steps = 5; batch = 64; validate = holdout(0.1, every = 5) }
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A spec that trains in a moment."""
    path = tmp_path / "tiny.dgm"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run made by the command line."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.dgm").write_text(TINY)
    assert cli.run(["train", str(folder / "tiny.dgm"), "--out", str(folder / "run"), "-q"]) == 0
    return folder / "run"


# ---- reading specs --------------------------------------------------------------------------------------------------


def test_check_says_valid_or_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", str(SPECS / "realnvp.dgm")]) == 0
    assert capsys.readouterr().out == "valid\n"
    path = tmp_path / "wrong.dgm"
    path.write_text(WRONG)
    assert cli.run(["check", str(path)]) == 1
    out = capsys.readouterr().out
    assert "error[DGM302]" in out and "wrong.dgm:5:" in out and "1 error" in out
    assert cli.run(["check", "--format", "json", str(path)]) == 1
    assert json.loads(capsys.readouterr().out)["diagnostics"][0]["code"] == "DGM302"
    assert cli.run(["check", "--format", "concise", str(path)]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert cli.run(["check", "--format", "github", str(path)]) == 1
    assert capsys.readouterr().out.startswith("::error file=")


def test_check_explain_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", "--explain", str(SPECS / "realnvp.dgm"), "--set", "depth=2"]) == 0
    out = capsys.readouterr().out
    assert "all 4 steps" in out and "proved" in out and "realnvp.dgm" in out


def test_strict_and_ignore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "old.dgm"
    path.write_text(TINY.removeprefix("dgm 1\n"))
    assert cli.run(["check", str(path)]) == 0
    assert "1 warning" in capsys.readouterr().out
    assert cli.run(["check", "--strict", str(path)]) == 1
    assert cli.run(["check", "--strict", "--ignore", "DGM1", str(path)]) == 0


def test_fmt_keeps_comments_and_says_what_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.dgm"
    path.write_text("dgm 1\nparam  a=3   # why\n")
    assert cli.run(["fmt", "--check", str(path)]) == 1
    assert capsys.readouterr().err == f"{path} would change\n"
    assert cli.run(["fmt", "--diff", str(path)]) == 0
    assert "+param a = 3  # why" in capsys.readouterr().out
    assert cli.run(["fmt", str(path)]) == 0
    assert path.read_text() == "dgm 1\nparam a = 3  # why\n"
    assert cli.run(["fmt", "--check", str(path)]) == 0


def test_a_page_of_the_library_is_broken_for_its_reader(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert cli.run(["list", "rqs"]) == 0
    prose = capsys.readouterr().out.partition("Shapes: ")[2].partition("Domain: ")[0].splitlines()
    assert len(prose) > 3 and all(40 < len(line) <= 60 for line in prose[1:-1])
    assert unbroken("A b\nc.\n\nCost: d\ne\nCaveat: f\n``g``\n    h") == "A b c.\n\nCost: d e\nCaveat: f\n``g``\n    h"


def test_a_new_spec_makes_its_folder(tmp_path: Path) -> None:
    assert cli.run(["new", "maf", str(tmp_path / "my/model.dgm"), "-q"]) == 0
    (tmp_path / "file").write_text("")
    assert cli.run(["new", "maf", str(tmp_path / "file/model.dgm"), "-q"]) == 2


def test_a_template_names_the_file_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "my/own.dgm"
    assert cli.run(["new", "nsf", str(path), "-q"]) == 0
    assert f"`dgmspec train {path.as_posix()} --set" in path.read_text()
    assert not [t.name for t in templates().values() if format_text(t.text)[0] != t.text]
    texts = [template.at(Path("own.dgm")) for template in templates().values()]
    assert not [text for text in texts if "specs/" in text]
    assert "`dgmspec train flow_matching.dgm --out runs/first`" in templates()["reflow"].at(Path("own.dgm"))


@pytest.mark.parametrize(
    ("template", "then"),
    [
        ("realnvp", "dgmspec train own.dgm"),
        ("npe", "dgmspec train own.dgm --data pairs=PATH"),
        ("langevin", "dgmspec sample own.dgm -o samples.csv"),
        ("mixed", "dgmspec compile own.dgm"),
    ],
)
def test_what_comes_after_new_is_what_the_template_is_for(
    template: str, then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["new", template, "own.dgm"]) == 0
    assert capsys.readouterr().out.endswith(f"--explain own.dgm;  {then}\n")


def test_a_spec_that_is_only_sampled_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.dgm").write_text(templates()["langevin"].text)
    assert cli.run(["train", str(tmp_path / "own.dgm")]) == 2
    assert "draw from it as its sample block says: `dgmspec sample`" in capsys.readouterr().err


def test_figures_are_read_by_people() -> None:
    figures = {"nll_nats": 1.23456789, "divergences_nats": {"z": 13.8629438, "u": 2}, "collapsed": []}
    shown = lines(figures, lambda *_: "")
    assert shown.split("\n")[1:] == ["divergences_nats  z 13.8629, u 2", "collapsed         none"]


def test_explain_show_and_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", "302"]) == 0
    assert "Wrong:" in capsys.readouterr().out
    assert cli.run(["show", str(SPECS / "maf.dgm"), "--to", "json", "--set", "depth=2"]) == 0
    assert json.loads(capsys.readouterr().out)["format_version"] == 1
    assert cli.run(["show", str(SPECS / "maf.dgm"), "--to", "text"]) == 0
    assert cli.run(["show", str(SPECS / "maf.dgm"), "--to", "schema"]) == 0
    assert cli.run(["list"]) == cli.run(["list", "scalar"]) == cli.run(["list", "rqs", "--json"]) == 0
    assert "rqs" in capsys.readouterr().out


# ---- compiling and running ------------------------------------------------------------------------------------------


def test_compile_prints_the_plan_and_what_was_checked(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["compile", str(tiny), "-o", str(tmp_path / "built")]) == 0
    out = capsys.readouterr().out
    assert "all 3 steps" in out and "checked" in out and "VIOLATED" not in out
    assert (tmp_path / "built" / "weights.safetensors").exists()
    assert cli.run(["sample", str(tmp_path / "built"), "-n", "2"]) == 0


def test_compile_fails_on_a_claim_that_fails(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dgmspec.runtime import selfcheck

    lie = selfcheck.Finding("M/x->z/0", "actnorm", "inverse", 0.5)
    monkeypatch.setattr(selfcheck, "self_check", lambda model: [lie])
    assert cli.run(["compile", str(tiny)]) == 1


def test_train_prints_what_the_report_says(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--out", str(tmp_path / "r"), "--set", "train.steps=30", "--set", "width=4", "--seed", "5"]
    assert cli.run(["train", str(tiny), *arguments]) == 0
    shown = capsys.readouterr()
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert report["steps"] == 30
    assert f"{report['test']['nll_nats']:.4f}" in shown.out and "samples.png" in shown.out
    assert "validation" in shown.err
    text = (tmp_path / "r" / "bundle.dgm").read_text()
    assert "param width = 4" in text and "steps = 30" in text and "seed = 5" in text
    assert cli.run(["eval", str(tmp_path / "r"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["result"]
    assert figures["nll_nats"] == pytest.approx(report["test"]["nll_nats"])


def test_figures_that_cannot_be_right_fail_the_run(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dgmspec.runtime import train

    figures = {"rows": 9, "nll_nats": 0.0, "nll_stderr": 0.1, "bits_per_dim": 0.0}
    wrong = figures | {"gap_to_entropy_nats": -1.0, "gap_stderr": 0.1}
    monkeypatch.setattr(train, "test_figures", lambda *arguments, **options: wrong)
    assert cli.run(["train", str(tiny), "--out", str(tmp_path / "r"), "-q"]) == 1
    assert "cannot integrate to 1" in json.loads((tmp_path / "r" / "report.json").read_text())["verdict"]


@pytest.mark.parametrize("ending", ["npy", "npz", "csv", "png"])
def test_sample_writes_each_format(finished: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"s.{ending}"
    assert cli.run(["sample", str(finished), "-n", "50", "-o", str(out), "--seed", "3"]) == 0
    assert out.stat().st_size > 100
    if ending == "npy":
        assert np.load(out).shape == (50, 2)


def test_sample_under_a_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.dgm").write_text(LABELLED)
    run = str(tmp_path / "r")
    assert cli.run(["train", str(tmp_path / "c.dgm"), "--out", run, "-q"]) == 0
    assert cli.run(["sample", run, "-n", "4", "--given", "label=3", "-o", str(tmp_path / "3.png")]) == 0
    capsys.readouterr()
    assert cli.run(["sample", run, "-n", "4", "--given", "label=3"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.startswith("x[0],") and len(rows) == 4 and all(v.isdigit() for v in rows[0].split(","))
    for given, said in [([], "add --given label=VALUE"), (["label=12"], "outside the labels 0..9"),
                        (["lable=3"], "did you mean `label`"), (["label=a"], "no number"),
                        (["label"], "NAME=VALUE"), (["label=1,2"], "expected one number")]:  # fmt: skip
        assert cli.run(["sample", run, *(part for value in given for part in ("--given", value))]) == 2
        assert said in capsys.readouterr().err


# ---- mistakes -------------------------------------------------------------------------------------------------------

MISTAKES = [
    (["check", "missing.dgm"], 2, "cannot read missing.dgm"),
    (["check", "."], 2, "cannot read ."),
    (["check", "binary.dgm"], 2, "is not UTF-8 text"),
    (["check", "tiny.dgm", "--model", "N"], 2, "no model `N`"),
    (["check", "tiny.dgm", "--set", "width"], 2, "write NAME=VALUE"),
    (["check", "tiny.dgm", "--set", "widht=3"], 1, "did you mean `width`"),
    (["check", "tiny.dgm", "--set", "width=)"], 1, "is no expression"),
    (["check", "tiny.dgm", "--set", "train.bacth=3"], 1, "did you mean `batch`"),
    (["check", "tiny.dgm", "--format", "xml"], 2, "xml"),
    (["chekc", "tiny.dgm"], 2, "chekc"),
    (["fmt", "missing.dgm"], 2, "cannot read"),
    (["explain", "DGM999"], 2, "there is no code DGM999"),
    (["explain", "mlp"], 2, "`mlp` is no code of a diagnostic, such as DGM302; `dgmspec list mlp`"),
    (["list", "stepp"], 2, "did you mean `step`"),
    (["list", "sqrt"], 2, "`sqrt` is a function of formulas"),
    (["list", "positive"], 2, "`positive` is a type"),
    (["compile", "wrong.dgm"], 1, "DGM302"),
    (["compile", "tiny.dgm", "--model", "m"], 2, "did you mean `M`"),
    (["compile", "tiny.dgm", "-o", "tiny.dgm"], 2, "tiny.dgm"),
    (["train"], 2, "give a SPEC to train"),
    (["train", "wrong.dgm"], 1, "DGM302"),
    (["train", "tiny.dgm", "--model", "N"], 2, "no model `N`"),
    (["train", "tiny.dgm", "--out", "tiny.dgm/run"], 2, "cannot write to tiny.dgm/run"),
    (["train", "tiny.dgm", "--seed", "-1"], 2, "seed"),
    (["train", "tiny.dgm", "--set", "train.data=digits"], 1, "DGM804"),
    (["train", "--resume", "."], 2, "no folder of a dgmspec run"),
    (["train", "--resume", "missing", "--seed", "1"], 2, "goes on as it began"),
    (["train", "bare.dgm"], 2, "no train block"),
    (["train", "bare.dgm", "--set", "train.steps=3"], 1, "add one, `train MODEL { … }`, or leave the setting out"),
    (["sample", "missing"], 2, "missing is no saved model: it does not exist"),
    (["sample", "."], 2, ". is no saved model: it holds no bundle.json"),
    (["sample", "foreign"], 2, "foreign"),
    (["sample", "missing", "-o", "a.txt"], 2, ".npy, .npz, .csv, .png"),
    (["sample", "missing", "-n", "0"], 2, "--count"),
    (["train", "m.dgm", "--resume", "r"], 2, "a stopped run holds its spec: dgmspec train --resume r"),
    (["show", "foreign"], 2, "foreign is a folder: of a run say what to draw, --what trajectories, or show its spec"),
    (["check", "/dev/zero"], 1, "error[DGM120]: the text is larger than"),
    (["eval", "missing"], 2, "missing is no folder of a dgmspec run: it does not exist"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "said"), MISTAKES, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_mistakes_are_said_without_a_traceback(
    arguments: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("tiny.dgm").write_text(TINY)
    Path("wrong.dgm").write_text(WRONG)
    Path("bare.dgm").write_text(TINY.partition("train M")[0])
    Path("binary.dgm").write_bytes(b"dgm 1\n\xff\xfe")
    Path("foreign").mkdir()
    Path("foreign/bundle.json").write_text("[]")
    assert cli.run(arguments) == code
    shown = capsys.readouterr()
    assert said in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err and "bug in dgmspec" not in shown.err


def test_a_damaged_model_is_said(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copied = tmp_path / "m"
    copied.mkdir()
    for file in (finished / "model").iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    (copied / "weights.safetensors").write_bytes(b"not weights")
    assert cli.run(["sample", str(copied)]) == 2
    assert "weights.safetensors" in capsys.readouterr().err


def test_a_bug_leaves_by_its_own_door(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny: Path, tmp_path: Path
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(specs, "diagnosed", broken)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert cli.run(["check", str(tiny)]) == 3
    shown = capsys.readouterr().err
    assert "bug in dgmspec" in shown and "ZeroDivisionError: by zero" in shown and "Python 3" in shown
    assert "Traceback" not in shown
    (file,) = tmp_path.glob("dgmspec-crash-*.txt")
    assert str(file) in shown and "Traceback" in file.read_text() and file.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("DGMSPEC_TRACEBACK", "1")
    assert cli.run(["check", str(tiny)]) == 3
    assert "Traceback" in capsys.readouterr().err
    assert cli.run(["check", str(tiny), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "bug"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert cli.run(["check", str(tiny)]) == 3
    assert "could not be written" in capsys.readouterr().err


def test_a_velocity_that_runs_off_is_no_bug(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.dgm").write_text(
        "dgm 1\nmodel M {\nobserve x : real[2]\nlatent z : real[2] ~ normal(0, 1)\nlearn a : positive = 50\n"
        "ode x -> z over t in 0..1 { velocity(y, t) = a * y^3; solver = dopri5 }\nloss = nll\n}\n"
        "train M { data = two_moons(n = 100); steps = 1; batch = 10 }\n"
    )
    assert cli.run(["train", str(tmp_path / "m.dgm"), "--out", str(tmp_path / "r"), "-q"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("dgmspec: M/x->z") and "a velocity that grows at most linearly" in said


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in cli.VERBS:
        assert cli.run([verb, "--help"]) == 0
        assert f"dgmspec {verb}" in capsys.readouterr().out, verb
    assert cli.run([]) == 0
    assert cli.run(["--version"]) == 0


# ---- as processes ---------------------------------------------------------------------------------------------------


def test_the_module_is_the_command(tmp_path: Path) -> None:
    (tmp_path / "m.dgm").write_text(TINY)
    command = [sys.executable, "-m", "dgmspec", "check", "-"]
    done = subprocess.run(command, input=TINY, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "valid\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_standard_output_that_is_full_or_closed(tmp_path: Path) -> None:
    (tmp_path / "m.dgm").write_text(TINY)
    command = f"{sys.executable} -m dgmspec check {tmp_path / 'm.dgm'}"
    full = subprocess.run(f"{command} > /dev/full", shell=True, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert full.returncode == 2
    assert full.stderr == "dgmspec: cannot write to standard output: No space left on device\n"
    closed = subprocess.run(f"{command} <&- >&-", shell=True, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (closed.returncode, closed.stderr) == (0, "")


def test_standard_output_of_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "m.dgm").write_text(WRONG)
    command = [sys.executable, "-m", "dgmspec", "check", str(tmp_path / "m.dgm")]
    ascii_ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, timeout=60, cwd=ROOT, env=ascii_)
    assert (done.returncode, done.stderr) == (1, b"") and b"lives on all of \\u211d" in done.stdout
    done = subprocess.run([*command, "--json"], capture_output=True, timeout=60, cwd=ROOT, env=ascii_)
    assert "lives on all of ℝ" in json.loads(done.stdout.decode("ascii"))["diagnostics"][0]["message"]


def test_texts_of_files_are_utf8_whatever_the_locale(tmp_path: Path) -> None:
    text = "dgm 1\nfn β(t) = 0.1 * t\n"
    ascii_ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "dgmspec", "fmt", "-"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=60, cwd=ROOT, env=ascii_)
    assert (done.returncode, done.stdout.decode("utf-8")) == (0, text)


def test_a_stop_in_the_midst_of_an_import_is_not_swallowed(tmp_path: Path) -> None:
    swallowing = "import os, signal\ntry: os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException: pass\n"
    (tmp_path / "swallowing.py").write_text(swallowing)
    code = "import signal; from dgmspec.__main__ import interrupt; signal.signal(signal.SIGINT, interrupt)\n"
    path = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    for then, ended, said in (
        ("import swallowing", 130, "dgmspec: interrupted\n"),
        ("try: signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt: print('caught')", 0, ""),
    ):
        done = subprocess.run([sys.executable, "-c", code + then], capture_output=True, text=True, env=path, timeout=60)
        assert (done.returncode, done.stderr) == (ended, said)
    command = [sys.executable, "-c", f"{code}import swallowing", "sample", "runs/a", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=path, timeout=60)
    stopped = answers.Failure("interrupted", answers.INTERRUPTED, "interrupted")
    assert (done.returncode, done.stderr) == (130, "") and json.loads(done.stdout) == stopped.envelope("sample")


def test_interrupting_a_run_prints_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "m.dgm").write_text(TINY.replace("steps = 20", "steps = 1_000_000"))
    command = [sys.executable, "-m", "dgmspec", "train", str(tmp_path / "m.dgm"), "--out", str(tmp_path / "r")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stderr is not None
    while "validation" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == answers.INTERRUPTED
    assert f"dgmspec train --resume {tmp_path / 'r'}" in err and "Traceback" not in err
    assert (tmp_path / "r" / "checkpoints" / "last.safetensors").exists()


@pytest.mark.slow
def test_check_is_quick() -> None:
    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "dgmspec", "check", str(SPECS / "realnvp.dgm")], check=True, cwd=ROOT)
        seconds.append(time.perf_counter() - began)
    assert statistics.median(seconds) < 0.6
