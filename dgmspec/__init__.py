"""dgmspec: deep generative models stated as mathematics, checked before a tensor exists, compiled to PyTorch.

    spec = dgmspec.load("specs/realnvp.dgm")
    model = dgmspec.compile(spec)
    model.log_prob(x); model.sample(1000, seed=0)

Names are imported when first used, so that reading and checking specs loads no tensor library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dgmspec import lang
    from dgmspec.compiler import Diagnosis, check, compile, diagnose, load, parse
    from dgmspec.core.diagnostics import Diagnostic, SpecError
    from dgmspec.modules.compiled import CheckpointError, CompiledModel
    from dgmspec.modules.runner import UnavailableError
    from dgmspec.runtime.data import DataError
    from dgmspec.runtime.evaluate import evaluate
    from dgmspec.runtime.rundir import RunError
    from dgmspec.runtime.sample import sample
    from dgmspec.runtime.stored import load_model
    from dgmspec.runtime.train import resume_run, train
    from dgmspec.spec.model import Spec

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "CompiledModel",
    "DataError",
    "Diagnosis",
    "Diagnostic",
    "RunError",
    "Spec",
    "SpecError",
    "UnavailableError",
    "__version__",
    "check",
    "compile",
    "diagnose",
    "evaluate",
    "lang",
    "load",
    "load_model",
    "parse",
    "resume_run",
    "sample",
    "train",
]

_HOMES = {
    "CheckpointError": "dgmspec.modules.compiled",
    "CompiledModel": "dgmspec.modules.compiled",
    "DataError": "dgmspec.runtime.data",
    "Diagnosis": "dgmspec.compiler",
    "Diagnostic": "dgmspec.core.diagnostics",
    "RunError": "dgmspec.runtime.rundir",
    "Spec": "dgmspec.compiler",
    "SpecError": "dgmspec.core.diagnostics",
    "UnavailableError": "dgmspec.modules.runner",
    "check": "dgmspec.compiler",
    "compile": "dgmspec.compiler",
    "diagnose": "dgmspec.compiler",
    "evaluate": "dgmspec.runtime.evaluate",
    "lang": "dgmspec.lang",
    "load": "dgmspec.compiler",
    "load_model": "dgmspec.runtime.stored",
    "parse": "dgmspec.compiler",
    "resume_run": "dgmspec.runtime.train",
    "sample": "dgmspec.runtime.sample",
    "train": "dgmspec.runtime.train",
}


def __getattr__(name: str) -> Any:
    """The public name, from the module that it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dgmspec' has no attribute {name!r}")
    from importlib import import_module

    home = import_module(_HOMES[name])
    return home if home.__name__ == f"dgmspec.{name}" else getattr(home, name)


def __dir__() -> list[str]:
    return __all__
