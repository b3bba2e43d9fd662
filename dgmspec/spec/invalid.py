"""Objects and JSON that are no spec: pydantic's findings as diagnostics, so that nobody meets a `ValidationError`."""

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from pydantic import ValidationError

from dgmspec.algebra.nodes import Node, Text
from dgmspec.core.diagnostics import Diagnostic, SpecError

_MAX = 20


def diagnostics_of(error: ValidationError) -> tuple[Diagnostic, ...]:
    """One diagnostic for each finding (the first 20), with the path into the document."""
    return tuple(
        Diagnostic("DGM225", f"at {_path(found['loc'])}: {_message(found['type'], found['msg'])}", None)
        for found in error.errors(include_url=False, include_context=False, include_input=False)[:_MAX]
    )


def _path(location: tuple[int | str, ...]) -> str:
    """``items[0].model.members[2].flow.steps``: fields, places and the kinds of nodes on the way."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).lstrip(".") or "the top"


def _message(kind: str, message: str) -> str:
    """Pydantic's message in the words of a document."""
    match kind:
        case "extra_forbidden":
            return "there is no such field"
        case "missing":
            return "a field is missing"
        case "json_invalid":
            return message[0].lower() + message[1:]
        case "recursion_loop":
            return "the nesting is too deep"
    return message.removeprefix("Value error, ")


# ---- what was built in Python ---------------------------------------------------------------------------------------

_P = ParamSpec("_P")
_T = TypeVar("_T")

_STANDS: Final = {
    "call": ("a step", "an operation is a step: `lang.actnorm()`, `lang.inverse(lang.exp)`"),
    "type": ("a type", "types are `lang.real[2]`, `lang.unit`, `lang.integer(0, 255)[1, 8, 8]`"),
    "members": ("a member of a model", "members are `lang.observe(…)`, `lang.flow(…)`, `lang.loss(…)` and so on"),
    "items": ("an item of a file", "items are `lang.model(…)`, `lang.param(…)`, `lang.train(…)` and so on"),
    "body": ("a line of these braces", "lines are `lang.define(…)`, `lang.update(…)`, `lang.net(…)` and so on"),
    **dict.fromkeys(
        ("name", "id", "model", "alias", "source", "target", "args", "parts"),
        ("a name", "a name is a word of letters, digits and `_`"),
    ),
}
"""What stands in a field of a document, and how it is built."""


def told(build: Callable[_P, _T]) -> Callable[_P, _T]:
    """A constructor that raises `SpecError` where its arguments make no document (DGM227)."""

    @wraps(build)
    def built(*args: _P.args, **keywords: _P.kwargs) -> _T:
        try:
            return build(*args, **keywords)
        except ValidationError as error:
            raise SpecError(refusals(build.__name__, error)) from None

    return built


def refusals(builder: str, error: ValidationError) -> list[Diagnostic]:
    """What a constructor was given that its document cannot hold: a finding for each field."""
    found: dict[str, Diagnostic] = {}
    for each in error.errors(include_url=False, include_context=False):
        field = str(each["loc"][0]) if each["loc"] else builder
        what, how = _STANDS.get(field, (f"its `{field}`", ""))
        message = f"`{builder}`: {_given(each['input'])} cannot be {what}"
        found.setdefault(message, Diagnostic("DGM227", message, None, help=(how,) if how else ()))
    return list(found.values())[:_MAX]


def _given(value: object) -> str:
    """A value as a message names it, never longer than part of a line."""
    if isinstance(value, Text):
        return f'the text "{value.value}"'
    if isinstance(value, Node):
        return f"a {value.kind}" if hasattr(value, "kind") else f"a {type(value).__name__}"
    written = repr(value)
    return written if len(written) <= 40 else f"{written[:37]}…"
