"""Notebooks: the cell magic, what objects show of themselves, and the tutorial run from its first cell to its last."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.testing.globalipapp import start_ipython

import dgmspec
from dgmspec.core.diagnostics import Diagnostic, SpecError
from dgmspec.notebook.magic import read_cell
from dgmspec.spec import Spec
from dgmspec.syntax.highlight import words

ROOT = Path(__file__).parent.parent
TUTORIAL = ROOT / "docs" / "tutorial.ipynb"

SPEC = """dgm 1
# a comment & <b>
param width = 8
model M {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z { actnorm; coupling(affine, mask = half, net = mlp(width)); linear(plu) }
    loss = nll
}
"""
WRONG = SPEC.replace("actnorm;", "actnrm;")


class Balanced(HTMLParser):
    """Refuses elements that are closed out of order or never."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("img", "br", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(value: Any) -> str:
    """The text of an object's HTML, which must be well formed and run nothing."""
    html = value._repr_html_()
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert not parser.open and "<script" not in html and 'src="http' not in html
    return parser.text


# ---- objects --------------------------------------------------------------------------------------------------------


def test_a_spec_shows_its_text_in_colours() -> None:
    spec = dgmspec.parse(SPEC)
    assert spec.text().strip() in shown(spec) and str(spec) == spec.text()
    assert '<span class="dgm-keyword">model</span>' in spec._repr_html_()


def test_a_finding_shows_its_message_and_its_help() -> None:
    found = Diagnostic("DGM302", "a < b & c", "M/x->z", notes=("<i>",), help=("write `x`",))
    assert all(part in shown(found) for part in ("error[DGM302]: a < b & c", "M/x->z", "note: <i>", "help: write `x`"))


def test_a_model_shows_its_plan_and_its_graph() -> None:
    model = dgmspec.compile(dgmspec.parse(SPEC))
    text = shown(model)
    assert all(
        part in text for part in ("M", "exact", "coupling(affine, half)", "all 3 steps", "normal(0, 1)", "float32")
    )
    assert model._repr_html_().count("data:image/png") == 6
    assert repr(model) == f"CompiledModel({model.extra_repr()})" and "M: log-density exact, " in repr(model)


def test_a_model_of_laws_shows_them() -> None:
    laws = "generate x | z ~ bernoulli(mlp(4)); infer z | x ~ normal(mlp(4))"
    text = f"dgm 1\nmodel V {{ observe x : binary[9]; latent z : real[2] ~ normal(0, 1); {laws}; loss = elbo }}"
    said = shown(dgmspec.compile(dgmspec.parse(text)))
    assert "laws; log-density lower bound" in said and "in closed form" in said and "no flows" not in said


def test_a_ledger_shows_means_that_sum() -> None:
    model = dgmspec.compile(dgmspec.parse(SPEC))
    ledger = model.ledger(model.sample(50, seed=0))
    text = shown(ledger)
    assert "50 rows" in text and f"{float(ledger.total.detach().mean()):+.4f}".replace("-", "−") in text
    said = repr(ledger)
    assert len(said.splitlines()) == len(ledger) + 2 and f"{float(ledger.total.detach().mean()):+.4f}" in said


def test_an_error_prints_its_message_without_a_traceback() -> None:
    with pytest.raises(SpecError) as caught:
        dgmspec.compile(dgmspec.parse(WRONG))
    assert any("actnrm" in line for line in caught.value._render_traceback_())
    with pytest.raises(dgmspec.DataError) as wrong:
        dgmspec.train(dgmspec.parse(SPEC + "train M { steps = 1 }"), data=[1])  # type: ignore[arg-type]
    assert wrong.value._render_traceback_()[0].startswith("error[DGM853]: `data` is a dict of arrays")
    assert dgmspec.RunError("a\nb")._render_traceback_() == ["a", "b"]


@pytest.mark.parametrize("text", [SPEC, WRONG, "", "model", 'data d = csv("a', "x ∑ ² `$ < & >\n{{{ )", "# only"])
def test_any_text_is_coloured_and_none_of_it_lost(text: str) -> None:
    found = words(text)
    assert all(0 <= start < end <= len(text) for start, end, _ in found)
    assert all(end <= following for (_, end, _), (following, _, _) in pairwise(found))


def test_words_know_what_they_are() -> None:
    text = 'dgm 1\nmodel flow { observe x : real[2] }  # end\ntrain flow { data = csv("a.csv"); lr = 1e-3 }\n'
    found = {(text[a:b], role) for a, b, role in words(text)}
    assert {("model", "keyword"), ("real", "type"), ("# end", "comment"), ('"a.csv"', "string"), ("1e-3", "number"),
            ("lr", "argument")} <= found  # fmt: skip
    assert ("flow", "keyword") not in found


# ---- the magic ------------------------------------------------------------------------------------------------------


def test_the_magic_stores_a_spec_and_forgets_one_that_is_wrong() -> None:
    shell = start_ipython() or get_shell()
    shell.run_line_magic("load_ext", "dgmspec.notebook")
    shell.run_cell_magic("dgm", "spec --set width=4", SPEC)
    assert isinstance(shell.user_ns["spec"], Spec) and "param width = 4" in shell.user_ns["spec"].text()
    shell.run_cell_magic("dgm", "spec", WRONG)
    assert "spec" not in shell.user_ns


def get_shell() -> Any:
    """The shell that an earlier test started."""
    from IPython import get_ipython

    return get_ipython()


def test_a_cell_shows_its_text_and_its_findings() -> None:
    name, cell = read_cell("spec", WRONG)
    text = shown(cell)
    assert name == "spec" and "did you mean `actnorm`" in text and "# a comment & <b>" in text and "1 error" in text
    assert "did you mean `actnorm`" in repr(cell)
    assert "valid" in shown(read_cell("spec", SPEC)[1])


@pytest.mark.parametrize(
    ("line", "said"),
    [("", "NAME"), ("1x", "no name"), ("a --set b", "NAME=VALUE"), ("a --what", "--what"), ("a 'b", "quotation")],
)
def test_a_wrong_line_is_said(line: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_cell(line, SPEC)


# ---- the tutorial ---------------------------------------------------------------------------------------------------


def test_the_tutorial_is_committed_with_its_outputs() -> None:
    book = json.loads(TUTORIAL.read_text())
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert TUTORIAL.stat().st_size < 200_000
    assert all(cell["outputs"] for cell in code[1:]) and not any(
        "stderr" in json.dumps(cell["outputs"]) for cell in code
    )
    assert "/tmp/" not in TUTORIAL.read_text()


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path) -> None:
    code = (
        "import sys, nbformat\nfrom nbclient import NotebookClient\n"
        f"book = nbformat.read({str(TUTORIAL)!r}, 4)\n"
        "NotebookClient(book, timeout=200, kernel_name='python3').execute()\n"
        "kinds = [[sorted(o.get('data', {})) for o in c.outputs] for c in book.cells if c.cell_type == 'code']\n"
        "import json; print(json.dumps(kinds))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    environment = {
        "PYTHONPATH": str(ROOT),
        "PATH": str(Path(sys.executable).parent),
        "HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    recorded = [
        [sorted(output.get("data", {})) for output in cell["outputs"]]
        for cell in json.loads(TUTORIAL.read_text())["cells"]
        if cell["cell_type"] == "code"
    ]
    assert json.loads(done.stdout.splitlines()[-1]) == recorded
