"""Used files: where they are looked for, what they offer, and every way in which that can go wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

import dgmspec
from dgmspec.core.diagnostics import Span, SpecError
from dgmspec.spec import Spec, diagnose, load, parse
from dgmspec.spec.uses import used

BLOCKS = """dgm 1
use "sub/more.dgm" as more
param width = 8
fn double(t) = 2 * t
bijector block(w = 64) = { actnorm; more.inner }
"""
MORE = 'dgm 1\nuse "../last.dgm" as last\nbijector inner = { last.core }\n'
LAST = "dgm 1\nbijector core(x; b) { x <- x + b }\n"
SOURCES = {"blocks.dgm": BLOCKS, "sub/more.dgm": MORE, "last.dgm": LAST}
MAIN = """dgm 1
use "blocks.dgm" as blocks
model M {
    observe x : real[2]
    latent z : real[2] ~ normal(0, blocks.double(2))
    flow x -> z {
        blocks.block(w = 8)
        blocks.block
    }
    loss = nll
}
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def codes(text: str, sources: object = None, **more: str) -> list[str]:
    return [d.code for d in diagnose(text, sources, **more).diagnostics]  # type: ignore[arg-type]


def test_texts_and_folders_give_the_same_spec(tmp_path: Path) -> None:
    write(tmp_path, {"main.dgm": MAIN, **SOURCES})
    spec = load(tmp_path / "main.dgm")

    assert spec == parse(MAIN, SOURCES) == parse(MAIN, tmp_path)
    assert spec.sources == SOURCES
    assert parse(spec.text(), spec.sources) == spec
    assert Spec.from_json(spec.model_dump_json()) == spec


def test_used_files_are_specs_with_their_own_sources() -> None:
    blocks = used(parse(MAIN, SOURCES))["blocks"]
    more = used(blocks)["more"]
    last = used(more)["last"]

    assert [item.kind for item in blocks.items] == ["use", "param", "fn", "chain"]
    assert [item.kind for item in more.items] == ["use", "chain"]
    assert [item.kind for item in last.items] == ["bijector"]


def test_addresses_of_used_definitions_lie_in_their_files() -> None:
    diagnosis = diagnose(MAIN, SOURCES)
    span = diagnosis.source_map("blocks/block/0")

    assert span is not None and span.source == "blocks.dgm"
    assert diagnosis.texts[span.source][span.start : span.end] == "actnorm"


@pytest.mark.parametrize(
    ("call", "code"),
    [("blocks.blokc", "DGM201"), ("block.block", "DGM201"), ("blocks.block(v = 1)", "DGM211")],
)
def test_qualified_names_are_checked(call: str, code: str) -> None:
    assert codes(MAIN.replace("blocks.block(w = 8)", call), SOURCES) == [code]


def test_a_mistake_in_a_used_file_is_reported_there() -> None:
    found = diagnose(MAIN, SOURCES | {"last.dgm": LAST.replace("+ b", "+ c")}).diagnostics

    assert [d.code for d in found] == ["DGM201"]
    assert isinstance(found[0].at, Span) and found[0].at.source == "last.dgm"


def test_a_text_alone_uses_nothing() -> None:
    assert codes(MAIN) == ["DGM215"]


@pytest.mark.parametrize(
    "path", ["../blocks.dgm", "/etc/passwd", "https://a.b/c.dgm", "C:/a.dgm", "a\\\\b.dgm", "sub/../../x", "~/a.dgm"]
)
def test_paths_stay_inside_the_folder(tmp_path: Path, path: str) -> None:
    text = f'dgm 1\nuse "{path}" as b\n'

    assert codes(text, tmp_path) == ["DGM217"]
    assert codes(text, {path: LAST, "../blocks.dgm": LAST}) == ["DGM217"]


def test_links_do_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "outside.dgm").write_text(LAST)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link.dgm").symlink_to(tmp_path / "outside.dgm")
    (folder / "loop.dgm").symlink_to(folder / "loop.dgm")

    assert codes('dgm 1\nuse "link.dgm" as b', folder) == ["DGM217"]
    assert codes('dgm 1\nuse "loop.dgm" as b', folder) in (["DGM216"], ["DGM220"])


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    write(tmp_path, {"blocks.dgm": LAST})
    (tmp_path / "picture.dgm").write_bytes(b"\x89PNG\xff\xfe")
    (tmp_path / "large.dgm").write_text("#" * (2**20 + 1))
    found = diagnose('dgm 1\nuse "blokcs.dgm" as b', tmp_path).diagnostics

    assert [d.code for d in found] == ["DGM216"]
    assert found[0].help == ("did you mean `blocks.dgm`?",)
    assert codes('dgm 1\nuse "picture.dgm" as b', tmp_path) == ["DGM220"]
    assert codes('dgm 1\nuse "large.dgm" as b', tmp_path) == ["DGM220"]
    assert codes('dgm 1\nuse "." as b', tmp_path) == ["DGM216"]
    with pytest.raises(SpecError):
        load(tmp_path / "picture.dgm")


def test_of_one_alias_twice_the_missing_file_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"blocks.dgm": LAST})
    text = 'dgm 1\nuse "none.dgm" as b\nuse "blocks.dgm" as b\nmodel M { observe x : real ~ normal(0, 1) }'
    assert [d.code for d in dgmspec.diagnose(text, tmp_path).diagnostics] == ["DGM216", "DGM202"]
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.dgm")


def test_circles_are_printed(tmp_path: Path) -> None:
    sources = {"a.dgm": 'dgm 1\nuse "b.dgm" as b', "b.dgm": 'dgm 1\nuse "a.dgm" as a'}
    found = diagnose('dgm 1\nuse "a.dgm" as a', sources).diagnostics
    write(tmp_path, sources)

    assert [d.code for d in found] == ["DGM218"]
    assert "`a.dgm` -> `b.dgm` -> `a.dgm`" in found[0].message
    with pytest.raises(SpecError) as error:
        load(tmp_path / "a.dgm")
    assert [d.code for d in error.value.diagnostics] == ["DGM218"]


def test_depth_and_number_are_limited() -> None:
    def chain(length: int) -> dict[str, str]:
        links = {f"f{i}.dgm": f'dgm 1\nuse "f{i + 1}.dgm" as g\n' for i in range(length)}
        return {**links, f"f{length}.dgm": LAST}

    main = 'dgm 1\nuse "f0.dgm" as f'
    wide = {f"g{i}.dgm": "dgm 1\n" + "".join(f'use "g{i + 1}.dgm" as a{j}\n' for j in range(9)) for i in range(9)}

    assert codes(main, chain(9)) == []
    assert codes(main, chain(10)) == ["DGM219"]
    assert "DGM219" in codes('dgm 1\nuse "g0.dgm" as g', wide | {"g9.dgm": LAST})


def test_sources_of_objects_are_checked_when_needed() -> None:
    spec = parse(MAIN, SOURCES)
    alone = Spec(*spec.items)

    assert [d.code for d in diagnose(alone.text(), alone.sources).diagnostics] == ["DGM216"]
    with pytest.raises(SpecError):
        used(alone)
