"""Habits of the shell: one JSON envelope, quiet, standard input, widths, colours, completion, templates, versions."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dgmspec import cli, device
from dgmspec.runtime import likelihood
from dgmspec.spec.templates import templates

ROOT = Path(__file__).parent.parent
SPECS = ROOT / "specs"

TINY = """dgm 1
model M {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z { actnorm; coupling(affine, mask = half, net = mlp(8)) }
    loss = nll
}
train M { data = two_moons(n = 500); steps = 4; batch = 64; validate = holdout(0.2, every = 2) }
"""
WARNED = TINY.removeprefix("dgm 1\n")
WRONG = TINY.replace("net = mlp(8)) }", "net = mlp(8)); sigmoid }")


@pytest.fixture(scope="module", autouse=True)
def _few_fresh_points() -> Iterator[None]:
    """The gap to a known density on few points: its figure is not what is tested here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likelihood, "GAP_POINTS", 2_000)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three specs and a run."""
    folder = tmp_path_factory.mktemp("habits")
    for name, text in (("tiny", TINY), ("warned", WARNED), ("wrong", WRONG)):
        (folder / f"{name}.dgm").write_text(text)
    assert cli.run(["train", str(folder / "tiny.dgm"), "--out", str(folder / "run"), "-q"]) == 0
    return folder


def commands(place: Path) -> dict[str, list[str]]:
    """A call of every verb that goes well."""
    tiny, run = str(place / "tiny.dgm"), str(place / "run")
    return {
        "new": ["new", "maf", "-"],
        "check": ["check", tiny, "--explain"],
        "fmt": ["fmt", "--check", str(SPECS / "maf.dgm")],
        "explain": ["explain", "302"],
        "show": ["show", tiny, "--to", "svg"],
        "list": ["list", "rqs"],
        "compile": ["compile", tiny],
        "verify": ["verify", tiny],
        "train": ["train", tiny, "--out", str(place / "again")],
        "sample": ["sample", run, "-n", "3"],
        "eval": ["eval", run],
        "report": ["report", run, "-o", str(place / "page.html")],
    }


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_answers_in_one_envelope(verb: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*commands(place)[verb], "--json"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert list(found) == ["format_version", "verb", "exit", "result", "diagnostics", "error"]
    assert (found["format_version"], found["verb"], found["exit"], found["error"]) == (1, verb, 0, None)
    assert found["result"] and not shown.err


FAILURES = [
    (["check", "wrong.dgm"], 1, None),
    (["compile", "wrong.dgm"], 1, "spec"),
    (["check", "missing.dgm"], 2, "usage"),
    (["check", "tiny.dgm", "--nonsense"], 2, "usage"),
    (["chekc"], 2, "usage"),
    (["explain", "999"], 2, "usage"),
    (["eval", "."], 2, "run"),
    (["train", "tiny.dgm", "--set", "train.data=digits"], 1, "spec"),
    (["fmt", "wrong.dgm", "missing.dgm"], 2, "usage"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "kind"), FAILURES, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_failures_come_in_the_same_envelope(
    arguments: list[str], code: int, kind: str | None, place: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(place)
    assert cli.run([*arguments, "--json"]) == code
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert (found["format_version"], found["verb"], found["exit"]) == (1, arguments[0], code)
    assert (found["error"] or {}).get("kind") == kind and not shown.err
    if code == 1:
        first = found["diagnostics"][0]
        assert first["code"].startswith("DGM") and first["severity"] == "error"


def test_the_envelope_carries_warnings(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["show", str(place / "warned.dgm"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["diagnostics"][0]["code"] == "DGM130"
    assert found["diagnostics"][0]["at"]["start"]["line"] == 1


def test_samples_as_json_are_the_samples_as_csv(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sample", str(place / "run"), "-n", "3", "--seed", "4"]
    assert cli.run(arguments) == 0
    rows = [list(map(float, line.split(","))) for line in capsys.readouterr().out.splitlines()[1:]]
    assert cli.run([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["result"]
    assert result["seed"] == 4 and result["count"] == 3
    assert [pytest.approx(row) for row in rows] == result["samples"]["x"]


# ---- quiet, standard input ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", cli.VERBS)
def test_quiet_says_nothing_on_standard_error(verb: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [part.replace("tiny", "warned").replace("again", "quiet") for part in commands(place)[verb]]
    assert cli.run([*arguments, "--quiet"]) == 0
    shown = capsys.readouterr()
    assert not shown.err
    assert bool(shown.out) == (verb in ("new", "check", "explain", "show", "list", "sample", "eval"))


def test_quiet_still_says_errors(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("check", "compile", "verify", "train"):
        assert cli.run([verb, str(place / "wrong.dgm"), "-q"]) == 1
        shown = capsys.readouterr()
        assert "error[DGM3" in shown.out + shown.err, verb


@pytest.mark.parametrize("verb", ["check", "fmt", "show", "compile", "verify", "train"])
def test_a_spec_comes_from_standard_input(
    verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TINY.encode())))
    assert cli.run([verb, "-"]) == 0
    assert (tmp_path / "runs/m/report.json").exists() == (verb == "train")


# ---- widths and colours ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [60, 80, 132])
def test_tables_and_lists_fit_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for arguments in (["list"], ["new", "--list"], ["explain", "302"], ["list", "step"]):
        assert cli.run(arguments) == 0
        assert max(map(len, capsys.readouterr().out.splitlines())) <= columns, arguments
    assert cli.run(["show", str(SPECS / "digits.dgm")]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= max(columns, 80)


def test_nothing_is_cut_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert cli.run(["show", str(SPECS / "digits.dgm")]) == 0
    assert "…" not in capsys.readouterr().out


@pytest.mark.parametrize(("extra", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_is_for_terminals_that_want_it(extra: dict[str, str], coloured: bool, place: Path) -> None:
    main, other = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")} | {"TERM": "xterm"} | extra
    command = [sys.executable, "-m", "dgmspec", "check", str(place / "wrong.dgm")]
    done = subprocess.run(command, stdout=other, stderr=other, env=environment, cwd=ROOT, timeout=60)
    os.close(other)
    shown = os.read(main, 100_000)
    os.close(main)
    assert done.returncode == 1 and b"DGM302" in shown
    assert (b"\x1b[" in shown) == coloured


def test_a_reader_that_has_enough_is_no_bug() -> None:
    command = f"{sys.executable} -m dgmspec show {SPECS / 'maf.dgm'} --to schema | head -c 10"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert len(done.stdout) == 10 and not done.stderr


# ---- templates, completion, versions --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", templates())
def test_templates_are_specs_that_check(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["new", name]) == 0
    assert f"wrote {name}.dgm" in capsys.readouterr().out
    text = (tmp_path / f"{name}.dgm").read_text()
    assert text.startswith("#") and "specs/" not in text
    assert text.replace(f"{name}.dgm", "") == re.sub(rf"specs/|{name}\.dgm", "", (SPECS / f"{name}.dgm").read_text())
    assert cli.run(["check", f"{name}.dgm"]) == 0
    assert cli.run(["new", name]) == 2
    assert "--force" in capsys.readouterr().err
    assert cli.run(["new", name, f"{name}.dgm", "--force"]) == 0


def test_new_says_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["new", "--list"]) == 0
    assert all(name in capsys.readouterr().out for name in ("realnvp",))
    assert cli.run(["new", "relnvp"]) == 2
    assert "did you mean `realnvp`?" in capsys.readouterr().err
    assert cli.run(["new"]) == 2
    assert "realnvp" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert cli.run(["new", "maf", str(tmp_path / "file/m.dgm")]) == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("list rq", "rqs"),
        ("list scal", "scalar"),
        ("explain DGM30", "DGM302"),
        ("new real", "realnvp"),
        ("che", "check"),
    ],
)
def test_shells_complete_values(typed: str, offered: str) -> None:
    environment = os.environ | {"_DGMSPEC_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": f"dgmspec {typed}"}
    command = [sys.executable, "-m", "dgmspec"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=60)
    assert f'"{offered}"' in done.stdout


def test_the_script_for_completion_can_be_shown() -> None:
    environment = os.environ | {"_DGMSPEC_COMPLETE": "source_bash"}
    command = [sys.executable, "-m", "dgmspec"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=60)
    assert "complete -o" in done.stdout and "dgmspec" in done.stdout


def test_the_version_names_torch_and_the_device_without_importing_it() -> None:
    import torch

    code = (
        "import sys\nfrom dgmspec import cli\nassert cli.run(['--version', '--json']) == 0\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert time.perf_counter() - began < 5
    found = json.loads(done.stdout)["result"]
    assert found["torch"] == torch.__version__
    expected = torch.cuda.get_device_name(0) if torch.cuda.is_available() else found["device"]
    assert found["device"] == expected
    if not torch.cuda.is_available():
        assert found["device"] in ("cpu", "mps") or not torch.__version__.endswith("+cpu")


def test_a_build_of_torch_for_the_processor_alone_uses_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_cuda", lambda: "a card")
    assert device.device_name("2.13.0+cpu") == "cpu" or sys.platform == "darwin"
    if sys.platform != "darwin":
        assert device.device_name("2.13.0") == "a card"
