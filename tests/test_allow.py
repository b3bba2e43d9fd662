"""Comments that allow a warning: where they speak, what they never silence, and what is said of idle ones."""

import pytest

import dgmspec
from dgmspec.core.diagnostics import Span
from dgmspec.syntax.allow import allowances, filtered
from dgmspec.syntax.tokens import comments

HALF = """dgm 1
model M {{
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
{above}    flow x -> z {{{behind}
        actnorm
        coupling(affine, mask = half, net = mlp(8))
        actnorm
    }}
}}
"""


def codes(text: str, **more: object) -> list[str]:
    return [d.code for d in dgmspec.diagnose(text, **more).diagnostics]  # type: ignore[arg-type]


def half(above: str = "", behind: str = "") -> list[str]:
    return codes(HALF.format(above=above and f"    {above}\n", behind=behind and f"  {behind}"))


def test_without_a_comment_the_warning_is_shown() -> None:
    assert half() == ["DGM501"]


@pytest.mark.parametrize(
    "comment",
    [
        "# dgm: allow DGM501 a label",
        "#dgm:allow dgm501 a label",
        "## dgm : allow DGM501: a label",
    ],
)
def test_a_comment_on_the_line_or_above_it_silences(comment: str) -> None:
    assert half(behind=comment) == []
    assert half(above=comment) == []


def test_above_speaks_past_comments_and_blank_lines_for_one_line_only() -> None:
    assert half(above="# dgm: allow DGM501 a label\n\n    # more") == []
    moved = HALF.format(above="", behind="").replace("    observe", "    # dgm: allow DGM501 far away\n    observe")
    assert codes(moved) == ["DGM150", "DGM501"]


def test_several_comments_speak_for_the_same_line() -> None:
    assert half(above="# dgm: allow DGM130 no\n    # dgm: allow DGM501 a label") == ["DGM150"]
    assert half(above="# dgm: allow DGM130, DGM501 a label") == ["DGM150"]


def test_another_code_is_not_silenced() -> None:
    assert half(behind="# dgm: allow DGM502 a label") == ["DGM501", "DGM150"]


def test_a_reason_is_needed_but_its_absence_does_not_unsilence() -> None:
    assert half(behind="# dgm: allow DGM501") == ["DGM151"]


@pytest.mark.parametrize("said", ["allow", "alow DGM501 x", "", "allow DGM999 no such code", "allow warnings"])
def test_a_comment_that_cannot_be_read_is_reported(said: str) -> None:
    assert half(behind=f"# dgm: {said}") == ["DGM501", "DGM152"]


def test_a_mistyped_code_is_pointed_at() -> None:
    text = "dgm 1\nparam a = 1  # dgm: allow DGM5011 why\n"
    (found,) = dgmspec.diagnose(text).diagnostics
    at = found.at
    assert isinstance(at, Span) and text[at.start : at.end] == "DGM5011"
    assert "did you mean `DGM501`?" in found.help


def test_errors_are_never_silenced() -> None:
    wrong = "dgm 1\nfn f(x) = y  # dgm: allow DGM201 later\n"
    assert codes(wrong) == ["DGM201", "DGM152"]


def test_idle_comments_are_judged_only_where_every_check_ran() -> None:
    idle = "# dgm: allow DGM502 no\n"
    assert codes("dgm 1\nparam a = 1  " + idle) == ["DGM150"]
    assert codes("dgm 1\nfn f(x) = y  " + idle) == ["DGM201"]


def test_strings_and_prose_are_no_permissions() -> None:
    assert codes('dgm 1\ndata d = csv("# dgm: allow DGM501 x")\n') == []
    assert codes("dgm 1\n# the dgm: allow form is explained elsewhere\nparam a = 1\n") == []


def test_used_files_speak_for_themselves() -> None:
    block = "{header}bijector block = {{ actnorm }}\n"
    main = 'dgm 1\nuse "b.dgm" as b\n'
    bare = codes(main, sources={"b.dgm": block.format(header="")})
    assert "DGM130" in bare
    allowed = block.format(header="# dgm: allow DGM130 written by a tool\n")
    assert [c for c in bare if c != "DGM130"] == codes(main, sources={"b.dgm": allowed})


def test_comments_and_permissions_know_their_places() -> None:
    text = 'dgm 1 # one\r\nparam s = "#"\n  # dgm: allow DGM501 why\r\nparam b = 2'
    assert [text[at : at + len(comment)] for at, comment in comments(text)] == ["# one", "# dgm: allow DGM501 why"]
    (allow,), wrong = allowances(text)
    assert (allow.code, allow.reason, allow.line) == ("DGM501", "why", 3) and not wrong
    assert text[allow.at.start : allow.at.end] == "DGM501"


def test_nothing_is_lost_where_nothing_is_allowed() -> None:
    found = dgmspec.diagnose(HALF.format(above="", behind="")).diagnostics
    assert filtered(found, {}) == found
