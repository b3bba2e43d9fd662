"""Objects and JSON that are no spec: pydantic's findings as diagnostics."""

from pydantic import ValidationError

from dgmspec.core.diagnostics import Diagnostic

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
