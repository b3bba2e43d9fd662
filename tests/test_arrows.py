"""The rooms of the house and the arrows between them: any other import, and any cycle, is refused."""

import ast
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parent.parent / "dgmspec"

LIGHT = {"core", "algebra", "syntax", "ops", "spec", "graph", "checks", "passes", "program"}
ALL = LIGHT | {"modules", "runtime"}
MAY_IMPORT = {
    "core": set(),
    "algebra": {"core"},
    "syntax": {"core"},
    "ops": {"core", "algebra"},
    "spec": {"core", "algebra", "syntax", "ops"},
    "graph": {"core", "algebra", "ops", "spec"},
    "checks": {"core", "algebra", "graph"},
    "passes": {"core", "algebra", "graph"},
    "program": {"core", "algebra", "graph", "passes"},
    "modules": {"core", "algebra", "ops", "graph", "checks", "program"},
    "runtime": ALL | {"compiler", "frontend"},
    "frontend": LIGHT | {"dgmspec"},
    "compiler": ALL | {"frontend"},
    "cli": {"answers", "commands", "device", "dgmspec"},
    "commands": ALL | {"answers", "console", "options", "dgmspec"},
    "console": LIGHT | {"answers", "frontend", "dgmspec"},
    "answers": {"core", "frontend", "modules", "runtime", "dgmspec"},
    "options": {"core", "ops", "spec"},
    "device": set(),
    "notebook": LIGHT | {"frontend"},
    "__main__": {"cli"},
    "dgmspec": ALL | {"compiler", "frontend", "lang"},
    "lang": {"spec"},
}
HEAVY = {"torch", "numpy", "accelerate", "sympy", "sklearn", "matplotlib", "pyarrow", "safetensors", "scipy"}
DOORS = {"compiler", "answers", "commands", "console", "options", "dgmspec", "__main__"}


def files() -> list[Path]:
    return sorted(p for p in ROOT.rglob("*.py"))


def room(path: Path) -> str:
    """The room of a file: its top folder, or its own name at the top (``dgmspec`` for the package face)."""
    parts = path.relative_to(ROOT).parts
    if len(parts) > 1:
        return parts[0]
    return "dgmspec" if parts[0] == "__init__.py" else parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every module imported by a file, and whether the import stands inside a function."""
    tree = ast.parse(path.read_text())
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    found: list[tuple[str, bool]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in inner) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(name if is_module(name) else node.module, id(node) in inner) for name in names]
    return found


def is_module(name: str) -> bool:
    """Whether a dotted name is a file of ours (rather than something defined in one)."""
    path = ROOT.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def target_room(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] != "dgmspec":
        return None
    return parts[1] if len(parts) > 1 else "dgmspec"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_import_follows_an_arrow(path: Path) -> None:
    here = room(path)
    assert here in MAY_IMPORT, f"{here} is no room of the house"
    for module, _ in imports(path):
        there = target_room(module)
        assert there is None or there == here or there in MAY_IMPORT[here], f"{here} may not import {module}"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_light_rooms_import_nothing_heavy(path: Path) -> None:
    if room(path) in LIGHT:
        assert not [m for m, _ in imports(path) if m.split(".")[0] in HEAVY]


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_inside_functions_only_at_the_doors(path: Path) -> None:
    lazy = [module for module, inside in imports(path) if inside]
    assert not lazy or room(path) in DOORS, lazy


def test_no_import_cycles() -> None:
    graph: nx.DiGraph = nx.DiGraph()
    for path in files():
        name = ".".join(("dgmspec", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for module, inside in imports(path):
            if module.startswith("dgmspec") and not inside and module != name:
                graph.add_edge(name, module)
    assert not list(nx.simple_cycles(graph, length_bound=8))
