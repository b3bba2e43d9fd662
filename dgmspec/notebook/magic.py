"""``%%dgm NAME [--set k=v] [--folder PATH]``: a cell as a spec."""

from __future__ import annotations

import argparse
import keyword
import shlex
import warnings
from pathlib import Path
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from dgmspec.core.diagnostics import has_errors
from dgmspec.core.markup import Html, fragment, tag
from dgmspec.core.render import render, summary
from dgmspec.core.render_html import findings_html
from dgmspec.frontend import Diagnosis, diagnose_file
from dgmspec.syntax.highlight import highlight

__all__ = ["Cell", "load_ipython_extension", "read_cell"]


class Cell:
    """What a cell came to, as a notebook shows it: the text in colours, and what was found in it."""

    def __init__(self, text: str, found: Diagnosis) -> None:
        self.text, self.found = text, found

    def __repr__(self) -> str:
        return render(self.found.diagnostics, self.found.texts, names=self.found.names) + summary(
            self.found.diagnostics
        )

    def _repr_html_(self) -> Html:
        found = self.found
        said = findings_html(found.diagnostics, found.texts, found.names) if found.diagnostics else None
        return fragment(highlight(self.text), said, tag("p", summary(found.diagnostics), class_="dgm-soft"))


class _Parser(argparse.ArgumentParser):
    """Arguments of the magic; a mistake is IPython's own usage error, and nothing leaves the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"%%dgm: {message}\n{self.format_usage().strip()}")


def _parser() -> _Parser:
    parser = _Parser(prog="%%dgm", add_help=False)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--folder", type=Path, default=Path(), metavar="PATH")
    return parser


def read_cell(line: str, text: str) -> tuple[str, Cell]:
    """The name that the magic's line gives, and what its cell came to."""
    try:
        given = _parser().parse_args(shlex.split(line))
    except ValueError as error:
        raise UsageError(f"%%dgm: {error}") from None
    if not given.name.isidentifier() or keyword.iskeyword(given.name):
        raise UsageError(f"%%dgm: `{given.name}` is no name to store a spec under")
    values: dict[str, str] = {}
    for pair in given.set:
        left, equals, right = pair.partition("=")
        if not equals or not left.strip() or not right.strip():
            raise UsageError(f"%%dgm: `--set {pair}` says no value: write NAME=VALUE, such as --set depth=4")
        values[left.strip()] = right.strip()
    found = diagnose_file(text, given.folder / "cell", values)
    return given.name, Cell(text, found)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register ``%%dgm``; what ``%load_ext dgmspec.notebook`` calls."""
    # accelerate imports tqdm, which in a notebook asks for widgets that nothing here draws.
    warnings.filterwarnings("ignore", message="IProgress not found")

    show: Any = display

    def dgm(line: str, cell: str) -> None:
        """Read the cell as a spec, show its findings, and store it under NAME: %%dgm NAME [--set k=v]."""
        name, read = read_cell(line, cell)
        show(read)
        namespace: dict[str, Any] = shell.user_ns
        if read.found.spec is None or has_errors(read.found.diagnostics):
            # A name that kept an older spec would be used as if this one had been read.
            namespace.pop(name, None)
        else:
            namespace[name] = read.found.spec

    register: Any = shell.register_magic_function  # IPython's annotations of it are those of a method unbound
    register(dgm, magic_kind="cell", magic_name="dgm")
