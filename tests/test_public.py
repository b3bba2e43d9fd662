"""The public face: one sorted list, every name documented, and light imports wherever no tensor is needed."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import dgmspec

SPECS = Path(__file__).parent.parent / "specs"
HEAVY = ("torch", "accelerate", "sympy", "sklearn", "matplotlib", "pyarrow", "scipy", "numpy")


def test_all_is_sorted_complete_and_documented() -> None:
    assert dgmspec.__all__ == sorted(dgmspec.__all__)
    for name in dgmspec.__all__:
        value = getattr(dgmspec, name)
        if name != "__version__":
            assert inspect.getdoc(value), f"dgmspec.{name} has no docstring"
    with pytest.raises(AttributeError, match="no attribute"):
        _ = dgmspec.nothing_of_this_name


def test_a_path_is_no_text_and_a_folder_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'r\.dgm' is a path: read a file by dgmspec\.load"):
        dgmspec.parse("r.dgm")
    with pytest.raises(IsADirectoryError, match="is a folder, and a spec is a file"):
        dgmspec.load(tmp_path)


def test_constructors_are_reached_from_the_package() -> None:
    code = "import dgmspec; assert 'lang' in dir(dgmspec); print(dgmspec.lang.mlp(32).name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "mlp\n", done.stderr


LIGHT = [
    ["check", str(SPECS / "realnvp.dgm")],
    ["check", "--explain", str(SPECS / "maf.dgm")],
    ["fmt", "--check", str(SPECS / "nsf.dgm")],
    ["explain", "DGM302"],
    ["list", "rqs"],
    ["show", str(SPECS / "maf.dgm"), "--to", "svg"],
    ["new", "maf", "-"],
    ["--version"],
    ["--help"],
]


def test_commands_without_tensors_import_nothing_heavy() -> None:
    code = (
        "import sys; from dgmspec.cli import main\n"
        f"for arguments in {LIGHT!r}:\n"
        "    sys.argv[1:] = arguments\n"
        "    try: main()\n"
        "    except SystemExit as stop: assert not stop.code, (arguments, stop.code)\n"
        f"    heavy = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "    assert not heavy, (arguments, heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_is_light() -> None:
    code = f"import sys, dgmspec; assert not [m for m in {HEAVY!r} if m in sys.modules]"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_classes_are_abstract_or_final() -> None:
    from dgmspec.core.op import AbstractOp
    from dgmspec.ops import library

    library()
    todo = [AbstractOp]
    while todo:
        cls = todo.pop()
        children = cls.__subclasses__()
        todo += children
        if children:
            assert cls.__name__.startswith("Abstract"), f"{cls.__name__} is concrete and has subclasses"


def test_a_model_starts_without_what_compiles_it() -> None:
    """Inductor takes a second to import, what torch tells open sizes apart with (sympy) a third."""
    code = (
        "import sys, dgmspec; dgmspec.compile(dgmspec.parse('dgm 1\\nmodel M { observe x : real[2] ~ normal(0, 1) }'));"
        "assert not [m for m in ('sympy', 'torch._inductor') if m in sys.modules]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
