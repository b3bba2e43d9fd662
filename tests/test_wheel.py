"""The grammar is found wherever the package lives: in the source tree, and in a built wheel far from it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from this tree, unpacked."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out / "site")
    return out / "site"


def test_the_wheel_holds_grammar_types_and_no_tests(unpacked: Path) -> None:
    assert (unpacked / "dgmspec/grammar/dgm.lark").read_text() == (ROOT / "grammar/dgm.lark").read_text()
    assert (unpacked / "dgmspec/py.typed").exists()
    for spec in (ROOT / "specs").glob("*.dgm"):
        assert (unpacked / "dgmspec/templates" / spec.name).read_text() == spec.read_text()
    assert not (unpacked / "tests").exists()


def test_the_wheel_checks_a_spec(unpacked: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r})\n"
        "import dgmspec; assert dgmspec.__file__.startswith(sys.path[0]), dgmspec.__file__\n"
        f"assert not dgmspec.load({str(ROOT / 'specs/realnvp.dgm')!r}).check()"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, cwd=tmp_path, timeout=120)


def test_the_source_tree_reads_its_own_grammar(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from dgmspec.syntax import grammar\n"
        "source = Path(grammar.__file__).parents[2] / 'grammar' / 'dgm.lark'\n"
        f"assert str(source) == {str(ROOT / 'grammar/dgm.lark')!r}, source\n"
        "assert grammar.grammar_text() == source.read_text(encoding='utf-8')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
