"""What the commands share: reading and writing files, printing what was found, and the doors for mistakes and bugs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO

import typer

from dgmspec import __version__
from dgmspec.checks.drawing import RENDERERS, drawing
from dgmspec.checks.explain import explain
from dgmspec.checks.latex import latex
from dgmspec.core.codes import CODES
from dgmspec.core.diagnostics import Diagnostic, SpecError, did_you_mean, has_errors
from dgmspec.core.render import Format, render, summary
from dgmspec.frontend import Diagnosis, diagnose_file, repair

__all__ = [
    "INTERRUPTED",
    "checked",
    "chosen",
    "crash",
    "diagnosed",
    "difference",
    "drawn",
    "lines",
    "mistakes",
    "paths",
    "read",
    "repaired",
    "report",
    "selected",
    "stop",
    "tables",
    "write",
]

INTERRUPTED = 130
"""Exit code after ctrl-C, as shells have it."""


def stop(message: str, code: int = 2) -> NoReturn:
    """End with one line on standard error."""
    sys.stderr.write(f"dgmspec: {message}\n")
    raise typer.Exit(code)


# ---- files ----------------------------------------------------------------------------------------------------------


def read(name: str) -> str:
    """The text of a file, or of standard input for ``-``."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        stop(f"{name} is not UTF-8 text: byte {error.start} cannot be read")
    except OSError as error:
        stop(f"cannot read {name}: {error.strerror}")


def write(path: Path, text: str) -> None:
    """Write a file in one step: whatever happens, it holds the old text or the new one, and keeps its permissions."""
    try:
        target = path.resolve()
        part = target.with_name(target.name + ".part")
        part.write_text(text, encoding="utf-8", newline="")
        if target.exists():
            shutil.copymode(target, part)
        part.replace(target)
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


def repaired(name: str, overrides: Sequence[str] | None, show: bool) -> Diagnosis:
    """The front end over a file after its safe fixes, which are written to it, or only shown as a difference."""
    if name == "-" and not show:
        stop("--fix writes to a file: give --diff to see the fixes of standard input")
    text = read(name)
    done = repair(text, None if name == "-" else Path(name), _pairs(overrides))
    if show:
        sys.stdout.write(difference(text, done.text, name, "fixed"))
    elif done.count:
        write(Path(name), done.text)
        fixes = f"{done.count} fix{'' if done.count == 1 else 'es'}"
        sys.stderr.write(f"{fixes} written to {name}\n")
    return done.found


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


def report(
    diagnostics: Sequence[Diagnostic], found: Diagnosis, format: Format = "full", file: TextIO | None = None
) -> None:
    """Print what was found (on standard output unless told); the full form ends with a line that counts it."""
    _print(diagnostics, found, format, file or sys.stdout)
    if format == "full":
        print(summary(diagnostics), file=file or sys.stdout)


def _print(diagnostics: Sequence[Diagnostic], found: Diagnosis, format: Format, file: TextIO) -> None:
    color = format == "full" and file.isatty() and not os.environ.get("NO_COLOR")
    width = shutil.get_terminal_size().columns if file.isatty() else None
    text = render(diagnostics, found.texts, format, color=color, width=width, names=found.names, version=__version__)
    file.write(text)
    if diagnostics and format == "full":
        file.write("\n")


def checked(name: str, overrides: Sequence[str] | None, visible: bool = True) -> Diagnosis:
    """The front end over a file; errors end the command, warnings go to standard error."""
    found = diagnosed(name, overrides)
    shown = [d for d in found.diagnostics if visible or d.severity == "error"]
    if shown:
        _print(shown, found, "full", sys.stderr)
        sys.stderr.write(summary(shown) + "\n")
    if has_errors(found.diagnostics) or found.spec is None:
        raise typer.Exit(1)
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
    external = [net.name for net in found.graphs[model].nets.values() if net.op == "external"]
    if external:
        stop(f"net `{external[0]}` is external: only Python can supply it, by nets={{'{external[0]}': module}}")
    return model


def tables(found: Diagnosis, model: str | None) -> str:
    """The tables of steps of one model, or of all."""
    names = [name for name in found.graphs if model in (None, name)]
    return "\n\n".join(explain(found.graphs[name], found.names.get("", "")) for name in names)


def drawn(found: Diagnosis, model: str | None, to: str) -> str:
    """One model as a drawing (``dot``, ``mermaid``, ``svg``) or as its equations (``latex``)."""
    graph = found.graphs[chosen(found, model)]
    return latex(graph) if to == "latex" else RENDERERS[to](drawing(graph))


# ---- figures --------------------------------------------------------------------------------------------------------


def lines(figures: dict[str, Any]) -> str:
    """Figures one a line, aligned."""
    width = max(map(len, figures), default=0)
    return "\n".join(
        f"{key:{width}}  {value:.6g}" if isinstance(value, float) else f"{key:{width}}  {value}"
        for key, value in figures.items()
    )


def difference(before: str, after: str, name: str, how: str = "formatted") -> str:
    """A unified diff; `how` says what became of the file."""
    import difflib

    parts = difflib.unified_diff(before.splitlines(True), after.splitlines(True), name, f"{name} ({how})")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in parts)


# ---- doors ----------------------------------------------------------------------------------------------------------


@contextmanager
def mistakes() -> Iterator[None]:
    """The one door for a user's mistakes outside the spec: a clear line and an exit code, never a traceback."""
    from dgmspec.modules.bundle import CheckpointError
    from dgmspec.modules.compiled import UnavailableError
    from dgmspec.runtime.data import DataError
    from dgmspec.runtime.rundir import RunError

    try:
        yield
    except SpecError as error:
        sys.stderr.write(render(error.diagnostics, error.sources) + summary(error.diagnostics) + "\n")
        raise typer.Exit(1) from None
    except DataError as error:
        sys.stderr.write(f"error[{error.code}]: {error.message}\nhelp: {error.help}\n")
        raise typer.Exit(1) from None
    except UnavailableError as error:
        stop(str(error), 1)
    except (RunError, CheckpointError) as error:
        stop(str(error))
    except OSError as error:
        stop(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt as interrupt:
        stop(str(interrupt) or "interrupted", INTERRUPTED)


def crash(error: Exception) -> int:
    """The door for our own bugs: a short note that can be passed on, or the traceback where it is asked for."""
    import platform
    import traceback

    if os.environ.get("DGMSPEC_TRACEBACK"):
        traceback.print_exception(error)
    torch = sys.modules.get("torch")
    reason = (str(error).splitlines() or [""])[0]
    note = [
        f"dgmspec: this is a bug in dgmspec: {type(error).__name__}: {reason}",
        f"  dgmspec {__version__}, Python {platform.python_version()}, {platform.system()}"
        + (f", torch {torch.__version__}" if torch else ""),
        f"  command: dgmspec {' '.join(sys.argv[1:])}",
        "  please report it with these lines and the spec; DGMSPEC_TRACEBACK=1 shows where it happened",
    ]
    sys.stderr.write("\n".join(note) + "\n")
    return 3
