"""Which operations a call that fits none may have meant: signatures ranked by what was written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dgmspec.algebra.nodes import Argument
from dgmspec.core.diagnostics import did_you_mean, distance
from dgmspec.core.op import AbstractOp
from dgmspec.ops import library, signature
from dgmspec.spec.catalogue import call_form

__all__ = ["nearest_forms", "others_that_fit"]

MOST: Final = 3
"""Candidates that a message lists."""


def nearest_forms(role: str, name: str, args: Sequence[Argument]) -> tuple[str, ...]:
    """For a name that `role` does not have: the forms nearest to the call, one note each with what speaks against it.

    Ranked by how many arguments do not fit, then by the distance of the names; a candidate is listed when its name is
    near, or when it takes all that was written and at least one argument by name. Nothing where the nearest name takes
    the call: "did you mean" says it all.
    """
    entries = library().entries.get(role, {})
    near = did_you_mean(name, entries)
    if near and not misfits(entries[near], args):
        return ()
    named = any(arg.name for arg in args)
    found = []
    for cls in entries.values():
        reasons = misfits(cls, args)
        if cls.name == near or (named and not reasons):
            found.append((len(reasons), distance(name, cls.name), call_form(cls), reasons))
    return tuple(
        f"near is `{form}`, which {reasons[0] if reasons else 'takes these arguments'}"
        for _, _, form, reasons in sorted(found)[:MOST]
    )


def others_that_fit(cls: type[AbstractOp], args: Sequence[Argument]) -> tuple[str, ...]:
    """For an argument that `cls` does not have: the other operations of its role that take the call as it stands."""
    entries = library().entries.get(cls.role, {}).values()
    fitting = [call_form(other) for other in entries if other is not cls and not misfits(other, args)]
    return tuple(f"`{form}` takes these arguments" for form in fitting[:MOST])


def misfits(cls: type[AbstractOp], args: Sequence[Argument]) -> list[str]:
    """Why a call's arguments do not fit an operation by their names and number, each as the end of a sentence."""
    parameters = signature(cls)
    if any(parameter.keywords for parameter in parameters):
        return ["takes arguments of any name"]
    known = [parameter.name for parameter in parameters]
    variadic = any(parameter.variadic for parameter in parameters)
    by_position = sum(arg.name is None for arg in args)
    unknown = [arg.name for arg in args if arg.name is not None and arg.name not in known]
    reasons = [f"has no argument `{name}`" for name in unknown]
    if by_position > len(known) and not variadic:
        reasons.append(f"takes at most {len(known)} by position")
    given = {arg.name for arg in args} | set(known[:by_position])
    reasons += [f"needs `{p.name}`" for p in parameters if p.required and p.name not in given]
    return reasons
