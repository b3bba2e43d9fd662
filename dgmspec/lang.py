"""Python constructors with the language's names; see `dgmspec.spec.lang`."""

from dgmspec.spec.lang import *  # noqa: F403
from dgmspec.spec.lang import WORDS, Word, __all__  # noqa: F401


def __getattr__(name: str) -> Word:
    if name not in WORDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return WORDS[name]
