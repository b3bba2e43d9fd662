"""The documentation: every example does what its fence says, and the reference is that of the library as it is.

Fences of .dgm texts say what is claimed of them:

    dgm                 a complete file without errors or warnings
    dgm wrong DGM302    a complete file that shows this code
    dgm members         members of a model, put between its braces; clean
    dgm steps TYPE      steps of a flow from x : TYPE to a normal z of the same size; no errors

The python blocks of a page run one after another in one namespace.
"""

from __future__ import annotations

import re
import runpy
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import dgmspec
from dgmspec.spec.reference import reference_pages

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```(\w+)(?: ([^\n]*))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STEPS = "observe x : {type}\nlatent z : real[*] ~ normal(0, 1)\nflow x -> z {{\n{text}}}\n"


@dataclass(frozen=True)
class Block:
    """One fenced example: its language, what the fence claims, its text and its place."""

    language: str
    claim: str
    text: str
    page: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    lines = ((m, text.count("\n", 0, m.start()) + 1) for m in _FENCE.finditer(text))
    return [Block(m[1], m[2] or "", m[3], str(page.relative_to(ROOT)), line) for m, line in lines]


WITH_PYTHON = [page for page in PAGES if any(block.language == "python" for block in blocks(page))]
EXAMPLES = [block for page in PAGES for block in blocks(page) if block.language == "dgm"]


def codes(text: str, *severities: str) -> set[str]:
    """The codes of those severities that a text gives."""
    return {d.code for d in dgmspec.diagnose(text).diagnostics if d.severity in severities}


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.place)
def test_examples_do_what_their_fences_say(block: Block) -> None:
    kind, _, rest = block.claim.partition(" ")
    match kind:
        case "":
            assert not codes(block.text, "error", "warning")
        case "wrong":
            assert rest in codes(block.text, "error", "warning", "note")
        case "members":
            assert not codes(f"dgm 1\nmodel M {{\n{block.text}}}\n", "error", "warning")
        case "steps":
            members = _STEPS.format(type=rest, text=block.text)
            assert not codes(f"dgm 1\nmodel M {{\n{members}}}\n", "error")
        case _:
            pytest.fail(f"{block.place}: no such claim, `{block.claim}`")


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda p: p.stem)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "specs").symlink_to(ROOT / "specs")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    script = ""
    for block in blocks(page):
        if block.language == "python":
            # Padded, so that a traceback names the line of the page.
            script += "\n" * (block.line - script.count("\n")) + block.text
    path = tmp_path / f"{page.stem}.py"
    path.write_text(script, encoding="utf-8")
    runpy.run_path(str(path))


def test_the_reference_is_current() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md")}
    assert written == reference_pages(), "write it anew: python -m dgmspec.spec.reference docs/reference"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", text):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [page for page in PAGES if "reference" not in page.parts], ids=lambda page: page.name)
def test_a_page_says_a_thing_in_one_place(page: Path) -> None:
    headings = re.findall(r"^## .*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(headings) == len(set(headings))


def rows_of_flows() -> list[tuple[str, str]]:
    """The lines of the table of flows with the types they stand behind."""
    text = (ROOT / "docs" / "flows.md").read_text(encoding="utf-8")
    rows = [row.split(" | ") for row in text.splitlines() if row.startswith("| ") and row.count("`") >= 6]
    return [(row[1].strip("`"), row[2].strip("`")) for row in rows]


@pytest.mark.parametrize(("line", "type_"), rows_of_flows())
def test_lines_of_the_table_of_flows_compile(line: str, type_: str) -> None:
    supports = ("real", "positive", "unit", "circle", "interval(-1, 1)")
    texts = [
        f"dgm 1\nmodel M {{\nobserve x : {type_}\nlatent z : {s}[*]\nflow x -> z {{ {line} }}\n}}\n" for s in supports
    ]
    text = next((text for text in texts if not codes(text, "error")), texts[0])
    assert not codes(text, "error")


def members_of_flows() -> list[str]:
    """The lists of members in the second table of flows."""
    text = (ROOT / "docs" / "flows.md").read_text(encoding="utf-8").partition("| feature | members")[2]
    rows = [re.split(r" (?<!\\)\| ", row) for row in text.splitlines() if row.startswith("| ") and "`" in row]
    return [row[1].strip("`").replace("\\|", "|") for row in rows]


@pytest.mark.parametrize("members", members_of_flows())
def test_members_of_the_table_of_flows_compile(members: str) -> None:
    text = f"dgm 1\nmodel M {{ observe x : real[2]; {members} }}\n"
    assert not codes(text, "error")


def test_the_table_of_flows_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "flows.md").read_text(encoding="utf-8")
    for name in set(re.findall(r"`(?:tests/)?(test_\w+\.py)`", text)):
        assert (ROOT / "tests" / name).exists(), name
