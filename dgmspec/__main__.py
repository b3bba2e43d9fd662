"""``python -m dgmspec`` and the ``dgmspec`` command: the command line, started quickly and stopped quietly."""

import gc
import io
import json
import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # On a shared machine an OpenMP thread that spins while it waits takes the core from the thread it waits for (12
    # times slower steps were measured); a short spin costs nothing where cores are free. Read when torch is loaded.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # A short command is mostly imports. What they allocate lives to the end, and the collector would walk it each time.
    gc.disable()
    _prepare_standard_files()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    try:
        from dgmspec.cli import run

        gc.freeze()
        gc.enable()
        code = run()
    except KeyboardInterrupt:
        say_interrupted()
        code = 130
    sys.exit(code)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Ctrl-C as an exception; but in the midst of an import, where libraries swallow it and stay half loaded, the end
    of the process."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            say_interrupted()
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt


def say_interrupted() -> None:
    """What `dgmspec.answers` says of an interrupt, without it: it may be half loaded itself."""
    given = sys.argv[1:]
    if "--json" not in (given[: given.index("--")] if "--" in given else given):
        os.write(2, b"dgmspec: interrupted\n")
    elif os.environ.get("RANK", "0") == "0":
        verb = next((word for word in given if not word.startswith("-")), "")
        error = {"kind": "interrupted", "message": "interrupted"}
        found = {"format_version": 1, "verb": verb, "exit": 130, "result": None, "diagnostics": [], "error": error}
        os.write(1, f"{json.dumps(found, indent=2)}\n".encode())


def _prepare_standard_files() -> None:
    """Put the null device where the caller closed a standard file, so that none that is opened later takes its number
    and gets what libraries print; and let standard output write ``\\u211d`` where its encoding has no ℝ."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
