"""``python -m dgmspec`` and the ``dgmspec`` command: the command line, started quickly and stopped quietly."""

import gc
import os
import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # On a shared machine an OpenMP thread that spins while it waits takes the core from the thread it waits for (12
    # times slower steps were measured); a short spin costs nothing where cores are free. Read when torch is loaded.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # A short command is mostly imports. What they allocate lives to the end, and the collector would walk it each time.
    gc.disable()
    try:
        from dgmspec.cli import run

        gc.freeze()
        gc.enable()
        code = run()
    except KeyboardInterrupt:
        sys.stderr.write("dgmspec: interrupted\n")
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
