"""Paths of well-known processes beside their closed forms, and formulas from text."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.affine import NotAffine, Times
from dgmspec.algebra.paths.derive import of_chain, of_drift, of_kernel
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.spec import parse
from dgmspec.spec.model import Fn


def formula(text: str, reads: str = "x, t") -> AbstractExpr:
    """A formula as the language reads it."""
    found = parse(f"dgm 1\nfn f({reads}) = {text}\n").items[0]
    assert isinstance(found, Fn)
    return found.value


@dataclass(frozen=True)
class Known:
    """A process with α(t)² and σ(t)² as they stand in the literature."""

    path: GaussianPath
    alpha2: Callable[[float], float]
    sigma2: Callable[[float], float]


def drifting(drift: str, diffusion: str, low: float = 0.0, high: float = 1.0, noise: float = 0.0) -> GaussianPath:
    """The path of an sde over two coordinates."""
    found = of_drift(formula(drift), formula(diffusion), "x", Times("t", low, high), (2,), noise)
    assert not isinstance(found, NotAffine)
    return found


def kernel(loc: str, scale: str, low: float = 0.0, high: float = 1.0) -> GaussianPath:
    """The path of a kernel over two coordinates."""
    found = of_kernel(formula(loc), formula(scale), "x", Times("t", low, high), (2,))
    assert not isinstance(found, NotAffine)
    return found


def chain(loc: str, scale: str, count: int) -> GaussianPath:
    """The path of a chain of `count` steps over two coordinates."""
    found = of_chain(formula(loc), formula(scale), "x", "t", 1, count, (2,))
    assert not isinstance(found, NotAffine)
    return found


def _grown(t: float) -> float:
    """∫ β of the usual β(t) = 0.1 + 19.9 t."""
    return 0.1 * t + 9.95 * t * t


BETA = "(0.1 + 19.9 * t)"

KNOWN: dict[str, Callable[[], Known]] = {
    "vp": lambda: Known(
        drifting(f"-{BETA} / 2 * x", f"sqrt({BETA})"),
        lambda t: math.exp(-_grown(t)),
        lambda t: -math.expm1(-_grown(t)),
    ),
    "ve": lambda: Known(
        drifting("0 * x", "0.01 * 5000^t * sqrt(2 * log(5000))", noise=0.01),
        lambda t: 1.0,
        lambda t: (0.01 * 5000**t) ** 2,
    ),
    "sub_vp": lambda: Known(
        drifting(f"-{BETA} / 2 * x", f"sqrt({BETA} * (1 - exp(-2 * (0.1 * t + 9.95 * t^2))))"),
        lambda t: math.exp(-_grown(t)),
        lambda t: math.expm1(-_grown(t)) ** 2,
    ),
    "ou": lambda: Known(
        drifting("-3 * x", "0.7", high=2.0),
        lambda t: math.exp(-6 * t),
        lambda t: -0.49 / 6 * math.expm1(-6 * t),
    ),
    "edm": lambda: Known(drifting("0 * x", "sqrt(2 * t)", high=80.0), lambda t: 1.0, lambda t: t * t),
    "cosine": lambda: Known(
        kernel("cos(pi * t / 2) * x", "sin(pi * t / 2)", high=0.999),
        lambda t: math.cos(math.pi * t / 2) ** 2,
        lambda t: math.sin(math.pi * t / 2) ** 2,
    ),
    "brownian": lambda: Known(drifting("0 * x", "2"), lambda t: 1.0, lambda t: 4 * t),
}
