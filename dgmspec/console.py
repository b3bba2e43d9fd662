"""What the verbs share: reading and writing files, reading specs, and the width and colour of what is printed."""

from __future__ import annotations

import codecs
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TextIO

from dgmspec import __version__
from dgmspec.answers import first_process, stop, wrong
from dgmspec.checks.drawing import drawing
from dgmspec.checks.explain import explain
from dgmspec.checks.latex import latex
from dgmspec.checks.renderers import RENDERERS
from dgmspec.core.codes import CODES
from dgmspec.core.diagnostics import Diagnostic, did_you_mean, has_errors
from dgmspec.core.disk import replacing
from dgmspec.core.render import Format, render, summary
from dgmspec.frontend import Diagnosis, diagnose_file, repair
from dgmspec.syntax.limits import FILE_BYTES

__all__ = [
    "checked",
    "chosen",
    "diagnosed",
    "difference",
    "drawn",
    "lines",
    "paths",
    "read",
    "rendered",
    "repaired",
    "selected",
    "tables",
    "width_of",
    "write",
]


def width_of(file: TextIO) -> int | None:
    """The columns that text for `file` may take: COLUMNS where it is set, a terminal's own; None for other files."""
    if os.environ.get("COLUMNS", "").isdigit() or file.isatty():
        return shutil.get_terminal_size().columns
    return None


def _coloured(file: TextIO) -> bool:
    return file.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


# ---- files ----------------------------------------------------------------------------------------------------------


def read(name: str) -> str:
    """The text of a file, or of standard input for ``-``; of one that is too large as much as shows that it is."""
    most = FILE_BYTES + len(codecs.BOM_UTF8) + 1
    try:
        with nullcontext(sys.stdin.buffer) if name == "-" else open(name, "rb") as file:
            data = file.read(most)
        return data.decode("utf-8-sig", "replace" if len(data) == most else "strict")
    except UnicodeDecodeError as error:
        stop(f"{name} is not UTF-8 text: byte {error.start} cannot be read")
    except OSError as error:
        stop(f"cannot read {name}: {error.strerror}")


def write(path: Path, text: str) -> None:
    """Write a file in one step: whatever happens, it holds the old text or the new one, and keeps its permissions."""
    try:
        target = path.resolve()
        with replacing(target) as part:
            part.write_text(text, encoding="utf-8", newline="")
            if target.exists():
                shutil.copymode(target, part)
    except OSError as error:
        stop(f"cannot write {path}: {error.strerror}")


def paths(written: Sequence[str] | None) -> dict[str, Path]:
    """The files of ``--data NAME=PATH`` by the names of their sources."""
    found: dict[str, Path] = {}
    for pair in written or ():
        name, equals, path = pair.partition("=")
        if not equals or not name.strip() or not path:
            stop(f"`--data {pair}` says no file: write NAME=PATH, such as --data events=/data/events.csv")
        found[name.strip()] = Path(path)
    return found


# ---- specs ----------------------------------------------------------------------------------------------------------


def diagnosed(name: str, overrides: Sequence[str] | None) -> Diagnosis:
    """The whole front end over a file."""
    pairs = _pairs(overrides)
    return diagnose_file(read(name), None if name == "-" else Path(name), pairs)


def repaired(name: str, overrides: Sequence[str] | None, show: bool) -> tuple[Diagnosis, int, str]:
    """The front end over a file after its safe fixes, how many, and the difference; written unless only shown."""
    if name == "-" and not show:
        stop("--fix writes to a file: give --diff to see the fixes of standard input")
    text = read(name)
    done = repair(text, None if name == "-" else Path(name), _pairs(overrides))
    if done.count and not show:
        write(Path(name), done.text)
    return done.found, done.count, difference(text, done.text, name, "fixed")


def _pairs(overrides: Sequence[str] | None) -> dict[str, str]:
    """Overrides by name, from NAME=VALUE."""
    pairs: dict[str, str] = {}
    for written in overrides or ():
        left, equals, right = written.partition("=")
        if not equals or not left.strip() or not right.strip():
            stop(f"`--set {written}` says no value: write NAME=VALUE, such as --set depth=4 or --set train.steps=20")
        pairs[left.strip()] = right.strip()
    return pairs


def selected(
    diagnostics: Sequence[Diagnostic], select: Sequence[str] | None, ignore: Sequence[str] | None
) -> list[Diagnostic]:
    """All errors, and the warnings and notes whose code begins as one of `select` (if given) and none of `ignore`."""
    wanted, unwanted = _prefixes(select, "--select"), _prefixes(ignore, "--ignore")

    def shown(found: Diagnostic) -> bool:
        chosen = not wanted or found.code.startswith(wanted)
        return found.severity == "error" or (chosen and not (unwanted and found.code.startswith(unwanted)))

    return [d for d in diagnostics if shown(d)]


def _prefixes(written: Sequence[str] | None, option: str) -> tuple[str, ...]:
    """What codes may begin with, from `DGM5,dgm708` or `5`; one that begins no code ends the command."""
    words = [word for part in written or () for word in part.replace(",", " ").split()]
    prefixes = tuple(f"DGM{word.upper().removeprefix('DGM')}" for word in words)
    for word, prefix in zip(words, prefixes, strict=True):
        if not any(code.startswith(prefix) for code in CODES):
            near = did_you_mean(prefix, CODES)
            stop(f"`{option} {word}`: no code begins with {prefix}" + (f"; did you mean {near}?" if near else ""))
    return prefixes


def rendered(diagnostics: Sequence[Diagnostic], found: Diagnosis, file: TextIO, format: Format = "full") -> str:
    """What was found as text for `file`; the full form ends with a line that counts it."""
    full = format == "full"
    color, width = full and _coloured(file), width_of(file) if full else None
    text = render(diagnostics, found.texts, format, color=color, width=width, names=found.names, version=__version__)
    return text + ("\n" if diagnostics else "") + f"{summary(diagnostics)}\n" if full else text


def checked(name: str, overrides: Sequence[str] | None, visible: bool = True) -> Diagnosis:
    """The front end over a file; errors end the verb, warnings go to standard error where `visible`, once."""
    visible = visible and first_process()
    found = diagnosed(name, overrides)
    if has_errors(found.diagnostics) or found.spec is None:
        shown = found.diagnostics if visible else [d for d in found.diagnostics if d.severity == "error"]
        raise wrong(shown, found.texts, names=found.names, shown=rendered(shown, found, sys.stderr))
    if visible and found.diagnostics:
        sys.stderr.write(rendered(found.diagnostics, found, sys.stderr))
    return found


def chosen(found: Diagnosis, model: str | None) -> str:
    """The model of that name, or the only one."""
    names = list(found.graphs)
    listed = ", ".join(f"`{name}`" for name in names)
    if model is None:
        if len(names) != 1:
            stop(f"the spec holds several models, {listed}: choose one with --model" if names else "it holds no model")
        return names[0]
    if model not in names:
        near = did_you_mean(model, names)
        stop(
            f"the spec has no model `{model}`; " + (f"did you mean `{near}`?" if near else f"it has {listed or 'none'}")
        )
    for name in found.graphs[model].externals:
        stop(f"net `{name}` is external: only Python can supply it, by nets={{'{name}': module}}")
    return model


def tables(found: Diagnosis, model: str | None) -> str:
    """The tables of steps of one model, or of all."""
    names = [name for name in found.graphs if model in (None, name)]
    width = width_of(sys.stdout)
    return "\n\n".join(explain(found.graphs[name], found.names.get("", ""), width) for name in names)


def drawn(found: Diagnosis, model: str | None, to: str) -> str:
    """One model as a drawing (``dot``, ``mermaid``, ``svg``) or as its equations (``latex``)."""
    graph = found.graphs[chosen(found, model)]
    return latex(graph) if to == "latex" else RENDERERS[to](drawing(graph))


# ---- figures --------------------------------------------------------------------------------------------------------


def lines(figures: dict[str, Any], remark: Callable[[str, dict[str, Any]], str]) -> str:
    """Figures one a line, aligned, each with what `remark` adds to it."""
    width = max(map(len, figures), default=0)
    return "\n".join(f"{key:{width}}  {_figure(value)}{remark(key, figures)}" for key, value in figures.items())


def _figure(value: Any) -> str:
    """A figure as text: numbers to six digits, of several each under its name, of no names `none`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_figure(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_figure, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else f"{value}"


def difference(before: str, after: str, name: str, how: str = "formatted") -> str:
    """A unified diff; `how` says what became of the file."""
    import difflib

    parts = difflib.unified_diff(before.splitlines(True), after.splitlines(True), name, f"{name} ({how})")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in parts)
