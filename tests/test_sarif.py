"""SARIF 2.1.0: every property that the standard requires is there, and regions point where the spans do."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import dgmspec
from dgmspec import cli
from dgmspec.core.codes import CODES
from dgmspec.core.diagnostics import Diagnostic, Edit, Fix, Label, Span
from dgmspec.core.render import render

BAD = sorted((Path(__file__).parent / "bad").glob("*.dgm"))
LEVELS = {"none", "note", "warning", "error"}


def log(diagnostics: list[Diagnostic], sources: dict[str, str], **more: Any) -> Any:
    return json.loads(render(diagnostics, sources, "sarif", **more))


def check_region(region: dict[str, int]) -> None:
    """3.30: lines and columns from 1, the end not before the start."""
    assert set(region) == {"startLine", "startColumn", "endLine", "endColumn"}
    assert (1, 1) <= (region["startLine"], region["startColumn"]) <= (region["endLine"], region["endColumn"])


def check_location(location: dict[str, Any]) -> None:
    if "physicalLocation" in location:
        physical = location["physicalLocation"]
        assert physical["artifactLocation"]["uri"]
        if "region" in physical:
            check_region(physical["region"])
    else:
        assert location["logicalLocations"][0]["fullyQualifiedName"]


def check_log(found: Any) -> None:
    """The properties that the standard requires of a log, its run, rules, results and fixes."""
    assert found["version"] == "2.1.0" and found["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = found["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "dgmspec"
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    identifiers = [rule["id"] for rule in driver["rules"]]
    assert len(set(identifiers)) == len(identifiers)
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"] and rule["fullDescription"]["text"] and rule["help"]["text"]
        assert rule["defaultConfiguration"]["level"] in LEVELS
    for result in run["results"]:
        assert result["message"]["text"] and result["level"] in LEVELS
        assert identifiers[result["ruleIndex"]] == result["ruleId"]
        for location in result["locations"]:
            check_location(location)
        related = result.get("relatedLocations", [])
        assert len({location["id"] for location in related}) == len(related)
        for location in related:
            check_location(location)
            assert location["message"]["text"]
        for fix in result.get("fixes", []):
            assert fix["description"]["text"] and fix["artifactChanges"]
            for change in fix["artifactChanges"]:
                assert change["artifactLocation"]["uri"] and change["replacements"]
                for replacement in change["replacements"]:
                    check_region(replacement["deletedRegion"])
                    assert isinstance(replacement["insertedContent"]["text"], str)


def test_an_empty_log_is_a_log() -> None:
    found = log([], {})
    check_log(found)
    assert found["runs"][0]["results"] == []
    assert [rule["id"] for rule in found["runs"][0]["tool"]["driver"]["rules"]] == list(CODES)
    assert "version" not in found["runs"][0]["tool"]["driver"]


@pytest.mark.parametrize("path", BAD, ids=lambda p: p.stem)
def test_every_bad_program_gives_a_log(path: Path) -> None:
    found = dgmspec.diagnose(path.read_text(), sources=path.parent, name=path.name)
    data = log(list(found.diagnostics), dict(found.texts), names=dict(found.names), version="1.2.3")
    check_log(data)
    (run,) = data["runs"]
    assert run["tool"]["driver"]["version"] == "1.2.3"
    assert [(r["ruleId"], r["level"]) for r in run["results"]] == [(d.code, d.severity) for d in found.diagnostics]


def test_places_labels_and_fixes() -> None:
    text = "dgm 1\nparam σ𝒳 = 2 x\n"
    start = text.index("2 x")
    fix = Fix((Edit(Span("", start + 1, start + 2), " * "),), "safe", "write `2 * x`")
    d = Diagnostic(
        "DGM111",
        "a product needs its `*`",
        Span("", start, start + 3),
        "here",
        (Label(Span("sub dir/b.dgm", 0, 3), "first"), Label("M/x->z", "second")),
        ("a note",),
        ("write `2 * x`",),
        fix,
    )
    data = log([d], {"": text, "sub dir/b.dgm": "dgm 1"}, names={"": "a b.dgm"})
    check_log(data)
    (result,) = data["runs"][0]["results"]
    physical = result["locations"][0]["physicalLocation"]
    assert unquote(physical["artifactLocation"]["uri"]) == "a b.dgm" and " " not in physical["artifactLocation"]["uri"]
    assert physical["region"] == {"startLine": 2, "startColumn": 12, "endLine": 2, "endColumn": 15}
    assert result["message"]["text"].splitlines() == [d.message, "here", "note: a note", "help: write `2 * x`"]
    first, second = result["relatedLocations"]
    assert first["physicalLocation"]["artifactLocation"]["uri"] == "sub%20dir/b.dgm"
    assert second["logicalLocations"] == [{"fullyQualifiedName": "M/x->z"}]
    (replacement,) = result["fixes"][0]["artifactChanges"][0]["replacements"]
    assert replacement["deletedRegion"] == {"startLine": 2, "startColumn": 13, "endLine": 2, "endColumn": 14}
    assert replacement["insertedContent"]["text"] == " * "


def test_an_absolute_path_is_a_file_uri(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a b.dgm"
    path.write_text("dgm 1\nfn f(x) = 2 x\n")
    assert cli.run(["check", "--format", "sarif", str(path)]) == 1
    data = json.loads(capsys.readouterr().out)
    check_log(data)
    (result,) = data["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == path.as_uri()
    assert data["runs"][0]["tool"]["driver"]["version"] == dgmspec.__version__


def test_a_display_fix_is_not_offered_to_machines() -> None:
    fix = Fix((Edit(Span("", 0, 1), "b"),), "display", "write b")
    d = Diagnostic("DGM111", "wrong", Span("", 0, 1), fix=fix)
    assert "fixes" not in log([d], {"": "a"})["runs"][0]["results"][0]
