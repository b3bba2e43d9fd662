"""Whole programs of other languages, told before they are read statement by statement."""

import re
from typing import NamedTuple

from dgmspec.syntax.lexeme import Sink

__all__ = ["report_program"]


class _Language(NamedTuple):
    """What a program is called, where it shows, and how to say the same here."""

    what: str
    shows: re.Pattern[str]
    help: str


# A statement that only a spec has: then single lines were taken from elsewhere, and each has its own message.
_SPEC = re.compile(r"^[ \t]*(?:dgm[ \t]+\d|model[ \t]+[^\W\d]\w*[ \t]*\{)", re.MULTILINE)

_LANGUAGES = (
    _Language(
        "a program in Stan, of blocks for data, parameters and a model",
        re.compile(
            r"^[ \t]*(?:data|parameters|transformed[ \t]+(?:data|parameters)|generated[ \t]+quantities)\s*\{",
            re.MULTILINE,
        ),
        "write one `model M { … }`: the parameters are a variable with a prior, `observe theta : real[2] ~ "
        "normal(0, 5)`, the data `observe y : real[4]` with their law, `generate y | theta ~ normal(theta[0], "
        "exp(theta[1]))`; `dgmspec explain DGM133` shows both, and how to draw the posterior",
    ),
    _Language(
        "a program in Python",
        re.compile(
            r"^(?:import[ \t]+\w|from[ \t]+[\w.]+[ \t]+import\b|def[ \t]+\w+\(|class[ \t]+\w[^:\n]*:)", re.MULTILINE
        ),
        "a spec states the model and runs no code: begin with `dgmspec new realnvp m.dgm`; Python then reads it by "
        '`dgmspec.load("m.dgm")`',
    ),
)


def report_program(sink: Sink) -> bool:
    """Report a text that is a program of another language as a whole; whether it is one."""
    if _SPEC.search(sink.text):
        return False
    for language in _LANGUAGES:
        if found := language.shows.search(sink.text):
            start = found.end() - len(found.group().lstrip())
            end = start + len(found.group().strip())
            sink.report("DGM133", f"this is {language.what}", start, end, help=language.help)
            return True
    return False
