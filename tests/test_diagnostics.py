"""Diagnostics: the registry, the values, the four renderings, did-you-mean."""

import dataclasses
import json

import pytest

from dgmspec.core.codes import CODES
from dgmspec.core.diagnostics import (
    Diagnostic,
    Edit,
    Fix,
    Label,
    Refusal,
    Span,
    SpecError,
    did_you_mean,
    has_errors,
    line_column,
    locate,
)
from dgmspec.core.render import FORMAT_VERSION, render, summary

TEXT = """dgm 1
model M {
    observe x : real[2]
    latent  z : real[2] ~ normal(0, 1)

    flow x -> z {
        sigmoid
    }
}
"""


def span(piece: str, source: str = "") -> Span:
    start = TEXT.index(piece)
    return Span(source, start, start + len(piece))


IMAGE = Diagnostic(
    "DGM110",
    "the image of `sigmoid` is (0, 1), but the prior of `z` lives on all of ℝ",
    span("sigmoid"),
    "maps real[2] into unit[2], not onto real[2]",
    (Label(span("normal(0, 1)"), "this prior needs every real number to be reachable"),),
    ('as written, the "density" of x would not integrate to 1',),
    ("drop the step, or give z a prior on (0, 1): `latent z : unit[2] ~ uniform(0, 1)`",),
)


def full(d: Diagnostic, text: str = TEXT, **options: object) -> list[str]:
    return render([d], {"": text}, "full", names={"": "wrong.dgm"}, **options).removesuffix("\n").split("\n")  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------- registry


def test_codes_are_ordered_complete_sentences() -> None:
    assert list(CODES) == sorted(CODES)
    for code in CODES.values():
        assert code.title and not code.title.endswith(".")
        assert code.rule.endswith(".") and code.reason.endswith("."), code.number


def test_the_severity_is_that_of_the_code_unless_given() -> None:
    assert Diagnostic("DGM130", "m", None).severity == "warning"
    assert Diagnostic("DGM130", "m", None, severity="error").severity == "error"
    assert not has_errors([Diagnostic("DGM130", "m", None)])


def test_an_unknown_code_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        Diagnostic("DGM000", "m", None)


def test_diagnostics_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        IMAGE.message = "m"  # type: ignore[misc]


# ------------------------------------------------------------------------------------------------------------ values


def test_locate_turns_addresses_into_spans() -> None:
    found = Diagnostic("DGM110", "m", "M/x->z/0", labels=(Label("M/z", "here"), Label("M/?", "there")))
    places = {"M/x->z/0": span("sigmoid"), "M/z": span("latent")}
    located = locate(found, places.get)
    assert located.at == span("sigmoid")
    assert [label.at for label in located.labels] == [span("latent"), "M/?"]


def test_a_refusal_becomes_a_diagnostic_where_the_address_is_known() -> None:
    refusal = Refusal("DGM110", "bins must be positive", argument="bins", help=("write `bins = 8`",))
    found = refusal.diagnostic("M/x->z/0/bins")
    assert (found.at, found.message, found.help) == ("M/x->z/0/bins", "bins must be positive", ("write `bins = 8`",))


def test_spec_error_reads_as_its_findings() -> None:
    error = SpecError([IMAGE], {"": TEXT})
    assert error.diagnostics == (IMAGE,)
    assert str(error) == f"<text>:7:9: error[DGM110]: {IMAGE.message}"


def test_lines_and_columns_count_from_one() -> None:
    assert line_column("ab\ncd", 0) == (1, 1)
    assert line_column("ab\ncd", 2) == (1, 3)
    assert line_column("ab\ncd", 3) == (2, 1)
    assert line_column("ab\ncd", 99) == (2, 3)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("copling", "coupling"),
        ("cuopling", "coupling"),
        ("Coupling", "coupling"),
        ("NLL", "nll"),
        ("sigmod", "sigmoid"),
        ("if_else", None),
        ("x", None),
        ("", None),
        ("affine", None),
    ],
)
def test_did_you_mean(name: str, near: str | None) -> None:
    assert did_you_mean(name, ["coupling", "nll", "sigmoid", "inverse", "affine", "z"]) == near


# -------------------------------------------------------------------------------------------------------------- full


def test_full() -> None:
    assert full(IMAGE) == [
        "error[DGM110]: the image of `sigmoid` is (0, 1), but the prior of `z` lives on all of ℝ",
        "  --> wrong.dgm:7:9",
        "   |",
        " 4 |     latent  z : real[2] ~ normal(0, 1)",
        "   |                           ------------ this prior needs every real number to be reachable",
        " 7 |         sigmoid",
        "   |         ^^^^^^^ maps real[2] into unit[2], not onto real[2]",
        '   = note: as written, the "density" of x would not integrate to 1',
        "  help: drop the step, or give z a prior on (0, 1): `latent z : unit[2] ~ uniform(0, 1)`",
    ]


def test_several_marks_on_a_line_hang_their_labels() -> None:
    labels = (Label(span("x -> z"), "the arrow"), Label(span("flow"), "a flow"))
    found = Diagnostic("DGM110", "m", span("{\n        sigmoid"), "not here", labels=labels)
    assert full(found)[3:] == [
        " 6 |     flow x -> z {",
        "   |     ---- ------ ^",
        "   |     |    |",
        "   |     |    the arrow",
        "   |     |",
        "   |     a flow",
        " 7 |         sigmoid",
        "   |         ^^^^^^^ not here",
    ]


def test_tabs_wide_and_combining_letters_keep_marks_in_place() -> None:
    text = "\tfn 變(e\u0301) = here\n"
    found = Diagnostic("DGM110", "m", Span("", text.index("here"), text.index("here") + 4))
    assert full(found, text)[3:] == [" 1 |     fn 變(e\u0301) = here", "   |                ^^^^"]


def test_nothing_that_a_terminal_obeys_is_printed() -> None:
    text = "a\x1b[31m \u202e b\rc\n"
    found = Diagnostic("DGM110", "m\x1b]", Span("", 0, 1), notes=("n\n\x07",), help=("h\x9b",))
    printed = "\n".join(full(found, text))
    assert not any(c in printed for c in "\x1b\u202e\x07\x9b\r")
    assert " 1 | a�[31m � b�c" in printed


def test_long_lines_are_cut_around_the_mark() -> None:
    text = "x + " * 100 + "here" + " + x" * 100
    printed = full(Diagnostic("DGM110", "m", Span("", 400, 404)), text, width=80)
    assert len(printed[3]) <= 80 and printed[3].startswith(" 1 | …") and printed[3].endswith("…")
    assert printed[4].index("^") == printed[3].index("here")


def test_places_beyond_the_text_are_shown_at_its_end() -> None:
    assert full(Diagnostic("DGM110", "m", Span("", 2, 2)), "ab")[3:] == [" 1 | ab", "   |   ^"]
    assert full(Diagnostic("DGM110", "m", Span("", 99, 120)), "ab")[3:] == [" 1 | ab", "   |   ^"]


def test_other_sources_have_snippets_of_their_own() -> None:
    found = Diagnostic("DGM110", "m", Span("", 0, 1), labels=(Label(Span("b.dgm", 2, 3), "there"),))
    printed = render([found], {"": "a\n", "b.dgm": "x\ny\n"}).splitlines()
    assert printed[1:] == [
        "  --> <text>:1:1",
        "   |",
        " 1 | a",
        "   | ^",
        "  ::: b.dgm:2:1",
        "   |",
        " 2 | y",
        "   | - there",
    ]


def test_places_without_a_text_are_named() -> None:
    found = Diagnostic("DGM110", "m", "M/x->z/0", "this step", labels=(Label("M/z", "the prior"),))
    assert full(found)[1:] == ["  --> M/x->z/0", "   = this step", "   = M/z: the prior"]
    assert full(Diagnostic("DGM110", "m", None)) == ["error[DGM110]: m"]


def test_colour_is_for_people() -> None:
    assert "\x1b[1;31m" in "\n".join(full(IMAGE, color=True))
    assert "\x1b" not in "\n".join(full(IMAGE))


# ----------------------------------------------------------------------------------------------------- other formats


def test_concise() -> None:
    printed = render([IMAGE, IMAGE], {"": TEXT}, "concise", names={"": "wrong.dgm"})
    assert printed == f"wrong.dgm:7:9: error[DGM110]: {IMAGE.message}\n" * 2


def test_json() -> None:
    fix = Fix((Edit(span("sigmoid"), ""),), "unsafe", "drop the step")
    data = json.loads(render([dataclasses.replace(IMAGE, fix=fix)], {"": TEXT}, "json", names={"": "wrong.dgm"}))
    assert data["format_version"] == FORMAT_VERSION
    (found,) = data["diagnostics"]
    assert found["code"] == "DGM110" and found["severity"] == "error"
    assert found["at"]["file"] == "wrong.dgm" and found["at"]["start"] == {"offset": 106, "line": 7, "column": 9}
    assert found["fix"]["edits"][0]["text"] == "" and found["fix"]["applicability"] == "unsafe"
    assert json.loads(render([], {}, "json")) == {"format_version": FORMAT_VERSION, "diagnostics": []}
    assert json.loads(render([Diagnostic("DGM110", "m", "M/z")], {}, "json"))["diagnostics"][0]["at"] == {
        "address": "M/z"
    }


def test_github() -> None:
    found = Diagnostic("DGM110", "100% wrong", Span("a,b.dgm", 0, 2), help=("do\nthis",))
    place = "file=a%2Cb.dgm,line=1,col=1,endLine=1,endColumn=3"
    printed = render([found], {"a,b.dgm": "ab\n"}, "github")
    assert printed == f"::error {place},title=DGM110::100%25 wrong%0Ahelp: do%0Athis\n"


def test_findings_stand_apart_and_end_their_line() -> None:
    plain = Diagnostic("DGM110", "m", None)
    assert render([plain, plain], {}) == "error[DGM110]: m\n\nerror[DGM110]: m\n"
    assert all(render([], {}, form) == "" for form in ("full", "concise", "github"))


def test_summary() -> None:
    assert summary([]) == "valid"
    assert summary([IMAGE, IMAGE, Diagnostic("DGM130", "m", None)]) == "2 errors, 1 warning"
