"""The command line: parse arguments, call a verb, print its answer.

Exit codes: 0 clean, or warnings only; 1 errors in the spec or the data, or figures that cannot be right; 2 usage, or
input and output; 3 a bug of ours; 130 interrupted.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import typer

import dgmspec
from dgmspec.answers import INTERRUPTED, Answer, Failure, bug, installed, put
from dgmspec.commands import runs, specs
from dgmspec.device import device_name

__all__ = ["VERBS", "app", "main", "run"]

app = typer.Typer(
    name="dgmspec",
    help="Deep generative models as mathematics: check, compile, train and sample .dgm files.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

VERBS: dict[str, Callable[..., Answer]] = {
    "new": specs.new,
    "check": specs.check,
    "fmt": specs.fmt,
    "explain": specs.explain,
    "show": specs.show,
    "list": specs.list_,
    "compile": runs.compile,
    "verify": runs.verify,
    "train": runs.train,
    "sample": runs.sample,
    "eval": runs.evaluate,
    "report": runs.report,
}
"""The verbs by the names that they are called by."""

for _name, _verb in VERBS.items():
    app.command(_name)(_verb)

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What typer raises for arguments that it cannot read; it has no public name for it."""


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version, torch's and the device.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --version: print one JSON object.")] = False,
) -> Answer | None:
    """Deep generative models as mathematics: check, compile, train and sample .dgm files."""
    if version:
        found = {"dgmspec": dgmspec.__version__, "python": platform.python_version(), "torch": installed("torch")}
        found["device"] = device_name(found["torch"])
        text = "dgmspec {dgmspec} (Python {python}, torch {torch}, device {device})\n".format(**found)
        return Answer(text, found)
    return None if context.invoked_subcommand else Answer(f"{context.get_help()}\n")


# ---- the entry ------------------------------------------------------------------------------------------------------


def run(arguments: list[str] | None = None) -> int:
    """Run a command line; returns its exit code, whatever happens."""
    given = sys.argv[1:] if arguments is None else arguments
    options = given[: given.index("--")] if "--" in given else given
    verb = next((word for word in given if not word.startswith("-")), "")
    try:
        return put(_answer(given), verb, "--json" in options)
    except OSError as error:
        # What is still buffered must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader of a pipe had enough
            return 141
        with suppress(OSError):
            sys.stderr.write(f"dgmspec: cannot write to standard output: {error.strerror}\n")
        return 2


def _answer(arguments: list[str]) -> Answer | Failure:
    """What the verb comes to; every exception ends here."""
    try:
        found = app(arguments, prog_name="dgmspec", standalone_mode=False)
    except Failure as failure:
        return failure
    except UsageError as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return Failure("interrupted", INTERRUPTED, "interrupted")
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        return Answer(code=end.code if isinstance(end.code, int) else 0)
    except BrokenPipeError:
        raise
    except Exception as error:
        return bug(error, arguments)
    return found if isinstance(found, Answer) else Answer(code=found if isinstance(found, int) else 0)


def _usage(error: Any) -> Failure:
    """Arguments that cannot be read: the usage of the verb, what is wrong, and where help is."""
    message = str(error.format_message())
    context = error.ctx
    head = f"{context.get_usage()}\nTry '{context.command_path} -h' for help.\n\n" if context else ""
    return Failure(message, text=f"{head}Error: {message}\n")


def main() -> None:
    """The console script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
