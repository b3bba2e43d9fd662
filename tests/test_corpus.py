"""The corpus: good programs that must be clean, bad ones whose whole output is recorded.

`pytest tests/test_corpus.py --promote` accepts the output as it is now.
"""

import re
from pathlib import Path

import pytest

import dgmspec
from dgmspec.core.codes import CODES
from dgmspec.core.render import render

HERE = Path(__file__).parent
GOOD = sorted((HERE / "good").glob("*.dgm"))
BAD = sorted((HERE / "bad").glob("*.dgm"))

UNSTORED = {
    "DGM120", "DGM121", "DGM123", "DGM125", "DGM126",  # texts of many kilobytes
    "DGM215",  # a text without a folder, and these have one
}  # fmt: skip
"""Codes that a text shows but no stored program: the test of the registry makes them."""


def output(path: Path) -> str:
    """What a reader sees of a program, "" where nothing is wrong."""
    found = dgmspec.diagnose(path.read_text(), sources=path.parent, name=path.name)
    return render(found.diagnostics, found.texts, names=found.names)


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_good_programs_are_clean(path: Path) -> None:
    assert not output(path)


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_good_programs_print_back(path: Path) -> None:
    spec = dgmspec.parse(path.read_text(), sources=path.parent)
    assert dgmspec.parse(spec.text(), sources=path.parent) == spec


@pytest.mark.parametrize("path", BAD, ids=lambda p: p.stem)
def test_bad_programs_say_what_was_recorded(path: Path, request: pytest.FixtureRequest) -> None:
    found = output(path)
    assert found, "a bad program must be refused or warned about"
    expected = path.with_suffix(".expected")
    if request.config.getoption("--promote"):
        expected.write_text(found)
    assert found == expected.read_text()


def test_records_belong_to_programs() -> None:
    assert {p.stem for p in (HERE / "bad").glob("*.expected")} <= {p.stem for p in BAD}


def test_every_code_that_a_text_can_show_has_a_bad_program() -> None:
    shown = {code for path in BAD for code in re.findall(r"DGM\d{3}", path.with_suffix(".expected").read_text())}
    assert {number for number, code in CODES.items() if code.wrong} - UNSTORED <= shown
