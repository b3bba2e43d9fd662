"""What a verb answers and how it is printed: text or one JSON envelope; and the doors for mistakes and for bugs.

A verb returns an `Answer` or raises a `Failure`. With ``--json`` either becomes one object on standard output:

    {"format_version": 1, "verb": "eval", "exit": 0, "result": {…}, "diagnostics": [], "error": null}
"""

from __future__ import annotations

import io
import json
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Literal, NoReturn

from dgmspec import __version__
from dgmspec.core.diagnostics import Diagnostic, SpecError
from dgmspec.core.render import as_data, render, summary
from dgmspec.core.width import ellipsis
from dgmspec.frontend import Diagnosis

__all__ = [
    "BUG",
    "FORMAT_VERSION",
    "INTERRUPTED",
    "Answer",
    "Failure",
    "bug",
    "first_process",
    "installed",
    "mistakes",
    "put",
    "stop",
    "write_utf8",
    "wrong",
]

FORMAT_VERSION: Final = 1

BUG: Final = 3
"""Exit code for a bug of ours."""

INTERRUPTED: Final = 130
"""Exit code after ctrl-C, as shells have it."""

Kind = Literal["spec", "data", "model", "run", "usage", "interrupted", "bug"]


@dataclass(frozen=True)
class Answer:
    """What a verb found: `text` for standard output, `aside` for standard error, `result` for programs, exit `code`.

    `found` is the diagnosis of the spec that was read, whose findings the envelope carries. A `document` is the text of
    a file, such as a spec or a drawing, and UTF-8 as files are.
    """

    text: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
    code: int = 0
    aside: str = ""
    found: Diagnosis | None = None
    diagnostics: Sequence[Diagnostic] | None = None
    document: bool = False

    def envelope(self, verb: str) -> dict[str, Any]:
        """The answer as one JSON object."""
        listed: list[dict[str, Any]] = []
        if self.found is not None:
            shown = self.found.diagnostics if self.diagnostics is None else self.diagnostics
            listed = as_data(shown, self.found.texts, self.found.names)
        return _envelope(verb, self.code, dict(self.result), listed, None)


class Failure(Exception):
    """What ends a verb: its message, exit `code` and `kind`; for a wrong spec or wrong data the diagnostics."""

    def __init__(
        self,
        message: str,
        code: int = 2,
        kind: Kind = "usage",
        diagnostics: Sequence[Diagnostic] = (),
        sources: Mapping[str, str] | None = None,
        names: Mapping[str, str] | None = None,
        text: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.kind = message, code, kind
        self.diagnostics, self.sources, self.names = diagnostics, dict(sources or {}), dict(names or {})
        self.text = f"dgmspec: {message}\n" if text is None else text

    def envelope(self, verb: str) -> dict[str, Any]:
        """The failure as one JSON object."""
        error = {"kind": self.kind, "message": self.message}
        return _envelope(verb, self.code, None, as_data(self.diagnostics, self.sources, self.names), error)


def _envelope(
    verb: str, code: int, result: dict[str, Any] | None, diagnostics: list[dict[str, Any]], error: Any
) -> dict[str, Any]:
    head = {"format_version": FORMAT_VERSION, "verb": verb, "exit": code}
    return {**head, "result": result, "diagnostics": diagnostics, "error": error}


def stop(message: str, code: int = 2, kind: Kind = "usage") -> NoReturn:
    """End the verb with one line."""
    raise Failure(message, code, kind)


def first_process() -> bool:
    """Whether this is the first, or only, process that a launcher started: the one that speaks for all."""
    return os.environ.get("RANK", "0") == "0"


def put(answer: Answer | Failure, verb: str, as_json: bool) -> int:
    """Print what a verb came to, and return its exit code."""
    if not first_process():
        # What all processes find is said once; what one alone met, such as a disk of its own, it says itself.
        if isinstance(answer, Failure) and answer.kind in ("data", "run", "bug"):
            sys.stderr.write(answer.text)
    elif as_json:
        plain = (sys.stdout.encoding or "utf-8").lower() != "utf-8"  # JSON is UTF-8, or escapes what is not ASCII
        print(json.dumps(answer.envelope(verb), indent=2, ensure_ascii=plain, allow_nan=False))
    elif isinstance(answer, Failure):
        sys.stderr.write(answer.text)
    else:
        if answer.document:
            write_utf8()
        sys.stdout.write(answer.text)
        sys.stderr.write(answer.aside)
    sys.stdout.flush()
    return answer.code


def write_utf8() -> None:
    """Let standard output be UTF-8 from here on, whatever the locale, unless a terminal shows it."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")


# ---- doors ----------------------------------------------------------------------------------------------------------


@contextmanager
def mistakes() -> Iterator[None]:
    """The one door for a user's mistakes outside the spec: a clear failure, never a traceback."""
    from dgmspec.modules.bundle import CheckpointError
    from dgmspec.modules.compiled import UnavailableError
    from dgmspec.modules.solvers import SolverError
    from dgmspec.runtime.data import DataError
    from dgmspec.runtime.rundir import RunError, ToldError

    try:
        yield
    except SpecError as error:
        raise wrong(error.diagnostics, error.sources) from None
    except DataError as error:
        raise wrong([Diagnostic(error.code, error.message, None, help=(error.help,))], {}, "data") from None
    except UnavailableError as error:
        stop(str(error), 1, "model")
    except ToldError as error:
        raise Failure(str(error), 2, "run", text="") from None
    except (RunError, CheckpointError, SolverError) as error:
        stop(str(error), 2, "run")
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        stop(f"{error.filename}: {error.strerror}" if error.filename else str(error), 2, "run")
    except KeyboardInterrupt as interrupt:
        stop(str(interrupt) or "interrupted", INTERRUPTED, "interrupted")


def wrong(
    diagnostics: Sequence[Diagnostic],
    sources: Mapping[str, str],
    kind: Kind = "spec",
    names: Mapping[str, str] | None = None,
    shown: str | None = None,
) -> Failure:
    """The failure that these findings are; `shown` is their text where it was rendered already."""
    text = render(diagnostics, sources, names=names) + ("" if kind == "data" else f"{summary(diagnostics)}\n")
    return Failure(summary(diagnostics), 1, kind, diagnostics, sources, names, text if shown is None else shown)


def bug(error: Exception, arguments: Sequence[str]) -> Failure:
    """The page for a bug of ours: what happened, with which versions, and where the traceback lies."""
    lines = (str(error).splitlines() or [""])[0]
    what = f"{type(error).__name__}: {lines}" if lines else type(error).__name__
    about = f"dgmspec {__version__}, Python {platform.python_version()}, torch {installed('torch')}, " + (
        f"{platform.system()} {platform.release()} {platform.machine()}"
    )
    command = f"dgmspec {' '.join(arguments)}"
    where = _traceback_file(error, [what, about, command])
    page = [
        "dgmspec: this is a bug in dgmspec, not in your spec",
        "",
        f"  what      {ellipsis(what, 200)}",
        f"  version   {about}",
        f"  command   {ellipsis(command, 200)}",
        f"  traceback {where or 'could not be written; DGMSPEC_TRACEBACK=1 prints it'}",
        "",
        "  Please report it with that file and the spec that shows it.",
        "  The file holds the traceback and these lines: no data, no environment.",
    ]
    if os.environ.get("DGMSPEC_TRACEBACK"):
        page = [*traceback.format_exception(error), *page]
    return Failure(f"{what}; traceback in {where}", BUG, "bug", text="\n".join(page) + "\n")


def _traceback_file(error: Exception, head: list[str]) -> str | None:
    """The traceback in a file that only its owner reads; None where none can be written."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="dgmspec-crash-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write("\n".join([*head, "", *traceback.format_exception(error)]))
        return file.name
    except OSError:
        return None


def installed(package: str) -> str:
    """The version of an installed package, from its metadata: nothing is imported."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
