"""``python -m dgmspec`` and the ``dgmspec`` command: the command line, started quickly and stopped quietly."""

import gc
import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
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
