"""Fixes: what is offered for a broken text, what `check --fix` writes, and that a fix never leaves more errors."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dgmspec
from dgmspec import cli
from dgmspec.core.diagnostics import Diagnostic, Edit, Fix, Span, has_errors
from dgmspec.core.fixes import apply_fixes, safe_fixes
from dgmspec.frontend import repair
from dgmspec.syntax.lexeme import Sink
from dgmspec.syntax.parser import parse_tree
from dgmspec.syntax.tokens import lex

SPECS = Path(__file__).parent.parent / "specs"
BAD = sorted((Path(__file__).parent / "bad").glob("*.dgm"))

MODEL = """dgm 1
model M {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z { actnorm; coupling(affine, mask = half, net = mlp(8)); permute(reverse); coupling(affine, mask = half, net = mlp(8)) }
    loss = nll
}
"""  # noqa: E501


def fixed(text: str) -> str:
    return repair(text, None).text


def errors(text: str) -> int:
    return sum(d.severity == "error" for d in dgmspec.diagnose(text).diagnostics)


# ---------------------------------------------------------------------------------------------------- what is offered


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        # the neighbours' notation
        ("fn f(x) = x ** 2", "fn f(x) = x ^ 2"),
        ("fn f(x) = 2 x", "fn f(x) = 2 * x"),
        ("fn f(x) = 2 (x + 1)", "fn f(x) = 2 * (x + 1)"),
        ("fn f(x) = x² + 1", "fn f(x) = x^2 + 1"),
        ("fn f(x) = (x + 1)² * 2", "fn f(x) = (x + 1)^2 * 2"),
        ("fn f(x) = 2 × x − 1", "fn f(x) = 2 * x - 1"),
        ("data d = csv(“a.csv”)", 'data d = csv("a.csv")'),
        ("data d = csv('a.csv')", 'data d = csv("a.csv")'),
        ("data d = csv(`a.csv`)", 'data d = csv("a.csv")'),
        ("param a = 1 // the first one", "param a = 1 # the first one"),
        ("// one\nparam a = 1", "# one\nparam a = 1"),
        ("param a == 1", "param a = 1"),
        ("fn f(x) = .5 * x + 1.", "fn f(x) = 0.5 * x + 1.0"),
        ("param s<lower=0> = 1", "param s : positive = 1"),
        ("param s : real<lower=0> = 1", "param s : positive = 1"),
        ("param s < lower = 0, upper = 1 > = 0.5", "param s  : unit = 0.5"),
        ("param s : real<lower=-1, upper=2> = 0.5", "param s : interval(-1, 2) = 0.5"),
        # one token too few
        ("param a 2", "param a = 2"),
        ("fn f(x) x + 1", "fn f(x) = x + 1"),
        ("data d = two_moons(n = 100 noise = 0.1)", "data d = two_moons(n = 100, noise = 0.1)"),
        ("data d = two_moons(n = 100", "data d = two_moons(n = 100)"),
        # one token too many
        ("fn f(x) = x + * 2", "fn f(x) = x +  2"),
        ("param a = 2,", "param a = 2"),
        ("data d = two_moons(n = 100,, noise = 0.1)", "data d = two_moons(n = 100, noise = 0.1)"),
        ("param a = = 2", "param a =  2"),
        ("param a : 2", "param a = 2"),
        ("param a :: real = 2", "param a :real = 2"),
        # a bracket of the wrong sort, a word misspelt
        ("fn f(x) = (x + 1]", "fn f(x) = (x + 1)"),
        ("parm a = 1", "param a = 1"),
    ],
)
def test_a_wrong_line_is_put_right(wrong: str, right: str) -> None:
    after = fixed(f"dgm 1\n{wrong}\n")
    assert after.replace(":  real", ":real").replace(": real", ":real") == f"dgm 1\n{right}\n"
    assert not errors(after)


def test_a_fix_keeps_the_ends_of_lines() -> None:
    assert fixed("model M {\r\n    observe x : real\r\n").splitlines(keepends=True) == [
        "dgm 1\r\n",
        "model M {\r\n",
        "    observe x : real\r\n",
        "}\r\n",
    ]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("normal(0, 1)", "N(0, I)"),
        ("normal(0, 1)", "N(0, 1)"),
        ("normal(0, 1)", "normal(0, I)"),
        ("normal(0, 1)", "𝒩(0, I)"),
        ("normal(0, 1)", "gaussian(0, 1)"),
        ("x -> z", "x => z"),
        ("model M {", "model M"),
        ("~ normal", "~~ normal"),
        ("nll\n}\n", "nll\n"),
        ("flow x -> z {", "flow x z {"),
        ("dgm 1\n", ""),
    ],
)
def test_a_wrong_model_is_put_right(right: str, wrong: str) -> None:
    assert MODEL.count(right) == 1
    after = fixed(MODEL.replace(right, wrong))
    assert not dgmspec.diagnose(after).diagnostics
    assert dgmspec.parse(after) == dgmspec.parse(MODEL)


@pytest.mark.parametrize("name", ["digits", "conditional", "nsf"])
def test_a_sign_left_out_or_doubled_is_put_back_as_it_was(name: str) -> None:
    path = SPECS / f"{name}.dgm"
    text = path.read_text()
    tree, _ = parse_tree(text)
    signs = [x for x in lex(Sink("", text)) or [] if x.type in ("COLON", "TILDE", "_ARROW", "EQUAL")]
    for sign in signs:
        once, rest = text[: sign.end], text[sign.end :]
        broken = [once + text[sign.start :]] + ([text[: sign.start] + rest] if sign.type != "EQUAL" else [])
        for wrong in broken:
            mended, count = apply_fixes(wrong, safe_fixes(parse_tree(wrong)[1]))
            assert count and parse_tree(mended) == (tree, []), (sign.text, wrong[sign.start - 20 : sign.end + 20])


@pytest.mark.parametrize(
    "line",
    [
        "fn f(x) = sqrt(1 - x * 2",  # may close behind the 1, or behind the 2
        "fn f(x) = exp(x, * 2)",  # the comma may be the wrong one, or the star
        "fn f(x) = f'(x) + g'(x)",  # primes are no quotation marks
        "param s<lower=2> = 3",  # no type says so
        "param a := 2",  # a definition or an update
        "fn f(x) = x^",
        "fn f(x) = x // two",  # a comment, or a quotient
        "data d = two_moons(n 100)",  # a setting, or a product
        "data d = two_moons(100 0.1)",
    ],
)
def test_nothing_is_offered_where_several_things_may_be_meant(line: str) -> None:
    text = f"dgm 1\n{line}\n"
    assert errors(text) and fixed(text) == text


def test_a_variance_given_as_a_scale_is_a_warning_with_a_fix_to_read() -> None:
    for written in ("sigma^2", "sigma ** 2", "scale = sigma^2"):
        law = f"normal(0, {written})"
        text = MODEL.replace("    latent", "    learn sigma : positive = 1\n    latent").replace("normal(0, 1)", law)
        (found,) = [d for d in dgmspec.diagnose(text).diagnostics if d.code == "DGM475"]
        assert found.severity == "warning" and found.fix and found.fix.applicability == "display"
        (edit,) = found.fix.edits
        assert edit.text == "sigma" and "sigma" in text[edit.span.start : edit.span.end]
    for scale in ("sigma", "2^2", "b^2", "sigma^3"):
        assert "DGM475" not in {
            d.code for d in dgmspec.diagnose(f"dgm 1\nfn f(sigma, b) = normal(0, {scale})\n").diagnostics
        }
    allowed = text.replace("2)\n", "2)  # dgm: allow DGM475 sigma is a root already\n", 1)
    assert "DGM475" not in {d.code for d in dgmspec.diagnose(allowed).diagnostics}


# --------------------------------------------------------------------------------------------------- how it is applied


def test_edits_that_meet_wait_for_another_round() -> None:
    def replacing(start: int, end: int, text: str) -> Fix:
        return Fix((Edit(Span("", start, end), text),), "safe", "")

    fixes = [replacing(3, 4, "D"), replacing(0, 1, "A"), replacing(4, 5, "E"), replacing(1, 3, "!")]
    assert apply_fixes("abcdef", fixes) == ("AbcDef", 2)
    assert apply_fixes("abc", []) == ("abc", 0)
    assert apply_fixes("abc", [replacing(3, 3, "\n")]) == ("abc\n", 1)


def test_only_safe_fixes_of_this_text_count() -> None:
    def finding(source: str, how: str) -> Diagnostic:
        at = Span(source, 0, 1)
        return Diagnostic("DGM111", "wrong", at, fix=Fix((Edit(at, "b"),), how, "write b"))  # type: ignore[arg-type]

    found = [finding("", "unsafe"), finding("", "display"), finding("other.dgm", "safe"), finding("", "safe")]
    assert safe_fixes([*found, found[-1]]) == [found[-1].fix]


def test_comments_and_layout_stay_as_written() -> None:
    text = "dgm 1\r\n\r\n   # why\r\nfn   f(x)=2 x   # because\r\n"
    assert fixed(text) == text.replace("2 x", "2 * x")


def test_one_fix_that_does_harm_does_not_bar_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "dgm 1\nparam a = 2,\nfn f(x) = 2 x\n"
    at = Span("", text.index("param"), text.index("param") + 5)
    harm = Fix((Edit(at, "} ]"),), "safe", "harm")
    monkeypatch.setattr("dgmspec.frontend.safe_fixes", lambda found: [harm, *safe_fixes(found)])
    assert fixed(text) == "dgm 1\nparam a = 2\nfn f(x) = 2 * x\n"


@pytest.mark.parametrize("path", BAD, ids=lambda p: p.stem)
def test_no_bad_program_gets_worse(path: Path) -> None:
    text = path.read_text()
    before = dgmspec.frontend.diagnose_file(text, path).diagnostics
    after = repair(text, path).found.diagnostics
    count = [[d.severity for d in found].count("error") for found in (before, after)]
    assert count[1] <= count[0]


WORDS = """dgm param fn model flow a x z f(x) 2 0.5 . ** ^ ² = == : :: , ( ) [ ] { } ~ -> => <lower=0> real “ ' // # I
    .. ... N(0,I) normal(0,sigma^2)"""
PIECES = st.sampled_from([*WORDS.split(), "\n", "\n", "dgm 1\n", "# dgm: allow DGM475 x\n"])


@given(st.lists(PIECES, max_size=25).map(" ".join))
@settings(max_examples=150, deadline=None)
def test_repairing_any_text_ends_and_never_adds_errors(text: str) -> None:
    done = repair(text, None)
    assert errors(done.text) <= errors(text)
    assert (done.count == 0) == (done.text == text)


# ------------------------------------------------------------------------------------------------------ the command


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    def make(text: str) -> Path:
        path = tmp_path / "m.dgm"
        path.write_text(text)
        return path

    return make


def test_fix_writes_what_it_mends(file: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = file("param a = 1\nfn f(x) = 2 x ** 2\n")
    assert cli.run(["check", "--fix", str(path)]) == 0
    assert path.read_text() == "dgm 1\nparam a = 1\nfn f(x) = 2 * x ^ 2\n"
    out, err = capsys.readouterr()
    assert out == "valid\n" and "3 fixes written" in err
    assert [p.name for p in path.parent.iterdir()] == ["m.dgm"]


def test_fix_reports_what_is_left(file: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = file("dgm 1\nfn f(x) = 2 x\nfn g(x) = y\n")
    assert cli.run(["check", "--fix", "--format", "concise", str(path)]) == 1
    assert "DGM201" in capsys.readouterr().out
    assert "2 * x" in path.read_text()


def test_diff_writes_nothing(file: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    text = "dgm 1\nfn f(x) = 2 x"
    path = file(text)
    assert cli.run(["check", "--fix", "--diff", str(path)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "-fn f(x) = 2 x" in out and "+fn f(x) = 2 * x" in out and "\\ No newline at end of file" in out
    assert path.read_text() == text


def test_links_and_permissions_stay(file: Callable[[str], Path]) -> None:
    path = file("dgm 1\nfn f(x) = 2 x\n")
    path.chmod(0o640)
    link = path.with_name("link.dgm")
    link.symlink_to(path)
    assert cli.run(["check", "--fix", str(link)]) == 0
    assert link.is_symlink() and "2 * x" in path.read_text() and path.stat().st_mode & 0o777 == 0o640


def test_nothing_to_fix_leaves_the_file_alone(file: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = file(MODEL)
    before = path.stat().st_mtime_ns
    assert cli.run(["check", "--fix", str(path)]) == 0
    assert path.stat().st_mtime_ns == before and capsys.readouterr().err == ""


@pytest.mark.parametrize("arguments", [["--diff", "m.dgm"], ["--fix", "-"]])
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_select_ignore_and_strict(file: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    half = MODEL.replace("permute(reverse); coupling(affine, mask = half, net = mlp(8))", "actnorm")
    path = str(file(half.removeprefix("dgm 1\n")))

    def shown(*arguments: str) -> list[str]:
        code = cli.run(["check", "--format", "concise", *arguments, path])
        lines = capsys.readouterr().out.splitlines()
        return [line.partition("[")[2][:6] for line in lines] + [f"exit {code}"]

    assert shown() == ["DGM130", "DGM501", "exit 0"]
    assert shown("--strict") == ["DGM130", "DGM501", "exit 1"]
    assert shown("--select", "DGM5", "--strict") == ["DGM501", "exit 1"]
    assert shown("--select", "DGM7", "--strict") == ["exit 0"]
    assert shown("--select", "1,5", "--ignore", "dgm130") == ["DGM501", "exit 0"]
    assert shown("--ignore", "DGM1", "--ignore", "DGM501", "--strict") == ["exit 0"]
    assert cli.run(["check", "--ignore", "DGM06", path]) == 2
    assert "no code begins with DGM06" in capsys.readouterr().err


def test_errors_are_shown_and_count_whatever_is_selected(
    file: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = file("dgm 1\nfn g(x) = y\n")
    for arguments in (["--ignore", "DGM2"], ["--select", "DGM5"]):
        assert cli.run(["check", *arguments, str(path)]) == 1
        assert "DGM201" in capsys.readouterr().out


def test_fixes_of_reading_keep_what_was_right() -> None:
    assert not has_errors(dgmspec.diagnose(fixed(MODEL)).diagnostics) and fixed(MODEL) == MODEL
