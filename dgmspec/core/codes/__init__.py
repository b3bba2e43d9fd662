"""The closed registry of diagnostic codes, gathered from the family modules of this package.

A family module (`text`, `names`, …) defines `CODES`, a tuple of `Code`. Adding a rule touches its family alone.
"""

import importlib
import pkgutil

from dgmspec.core.code import Code, Severity

__all__ = ["CODES", "Code", "Severity"]


def _gather() -> dict[str, Code]:
    """Every code by its number, in order; a number defined twice is a bug of ours."""
    found: dict[str, Code] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        for code in importlib.import_module(f"{__name__}.{module}").CODES:
            assert code.number not in found, f"{code.number} is defined twice (again in {module})"
            found[code.number] = code
    return dict(sorted(found.items()))


CODES: dict[str, Code] = _gather()
