"""Specs: a `.dgm` file as objects, from text and back."""

from dgmspec.core.diagnostics import Diagnostic
from dgmspec.spec.diagnose import Diagnosis, diagnose, diagnose_file, load, parse
from dgmspec.spec.model import Spec
from dgmspec.spec.override import override
from dgmspec.spec.unresolve import text_of

__all__ = ["Diagnosis", "Spec", "diagnose", "diagnose_file", "load", "override", "parse"]


def _check(spec: Spec) -> tuple[Diagnostic, ...]:
    """Text and names, which is as far as this room sees; the compiler sets a check that goes on from there."""
    return diagnose(spec.text(), spec.sources).diagnostics


Spec.printer = text_of
Spec.checker = _check
