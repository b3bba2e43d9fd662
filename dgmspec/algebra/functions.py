"""The functions of the language: how many arguments each takes, what it does to shapes, its value in float64.

``map`` works coordinate by coordinate and broadcasts, ``reduce`` turns arrays into one number, ``array`` rearranges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from dgmspec.core.diagnostics import Refusal


@dataclass(frozen=True)
class Function:
    """One function: its arity, its kind, and its value (on numbers for ``map``, on flat sequences for ``reduce``)."""

    arity: int
    kind: Literal["map", "reduce", "array"]
    value: Callable[..., Any]


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _sign(x: float) -> float:
    return float((x > 0) - (x < 0))


def _erfinv(y: float) -> float:
    """The inverse of erf on (-1, 1): Newton's method on erf below 1/2, on log erfc from its leading term beyond."""
    if not -1 < y < 1:
        raise ValueError("outside (-1, 1)")
    size, half = abs(y), math.sqrt(math.pi) / 2
    tail = 1 - size
    x = math.sqrt(max(-math.log(tail * math.sqrt(math.pi)), 0.0)) if tail < 0.3 else size * half
    for _ in range(60):
        gap = math.erf(x) - size if size < 0.5 else -math.log(math.erfc(x) / tail) * math.erfc(x)
        step = gap * half * math.exp(x * x)
        x -= step
        if abs(step) <= 1e-16 * x:
            break
    return math.copysign(x, y)


def _logsumexp(values: Iterable[float]) -> float:
    values = list(values)
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values)) if math.isfinite(top) else top


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return math.fsum(values) / len(values)


def _diagonal(matrix: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(row[i] for i, row in enumerate(matrix))


def _transpose(matrix: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(zip(*matrix, strict=True))


_MAPS: Final[dict[str, Callable[..., float]]] = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tanh": math.tanh,
    "arcsinh": math.asinh,
    "arctan": math.atan,
    "sigmoid": _sigmoid,
    "logit": lambda x: math.log(x) - math.log1p(-x),
    "softplus": _softplus,
    "relu": lambda x: max(x, 0.0),
    "abs": abs,
    "sign": _sign,
    "erf": math.erf,
    "erfinv": _erfinv,
    "log1p": math.log1p,
    "expm1": math.expm1,
}


def _log_expm1(y: float) -> float:
    """log(exp(y) - 1), the inverse of softplus."""
    return y + math.log(-math.expm1(-y))


def _logaddexp(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    return max(a, b) + math.log1p(math.exp(-abs(a - b))) if a != b else a + math.log(2)


FUNCTIONS: Final[dict[str, Function]] = {
    **{name: Function(1, "map", value) for name, value in _MAPS.items()},
    "min": Function(2, "map", min),
    "max": Function(2, "map", max),
    "sum": Function(1, "reduce", math.fsum),
    "mean": Function(1, "reduce", _mean),
    "norm": Function(1, "reduce", lambda values: math.hypot(*values)),
    "dot": Function(2, "reduce", lambda a, b: math.fsum(x * y for x, y in zip(a, b, strict=True))),
    "logsumexp": Function(1, "reduce", _logsumexp),
    "transpose": Function(1, "array", _transpose),
}

INTERNAL: Final[dict[str, Function]] = {
    "arcsin": Function(1, "map", math.asin),
    "arccos": Function(1, "map", math.acos),
    "arccosh": Function(1, "map", math.acosh),
    "arctanh": Function(1, "map", math.atanh),
    "log_expm1": Function(1, "map", _log_expm1),
    "logaddexp": Function(2, "map", _logaddexp),
    "step": Function(1, "map", lambda x: float(x >= 0)),
    "diagonal": Function(1, "array", _diagonal),
}
"""Functions that derived formulas (inverses, log-derivatives, divergences) use and that no author can write."""

OF_LOSSES: Final = ("anneal",)
"""Functions that losses alone have."""


def only_in_losses(name: str) -> Refusal:
    """The refusal of such a function anywhere else."""
    message = f"`{name}` changes a number of a loss while training, and stands nowhere else"
    return Refusal("DGM201", message, help=("write a number here, or a `param`",), label="not in a loss")


def function_of(name: str) -> Function:
    """The function of that name, written or derived."""
    return FUNCTIONS.get(name) or INTERNAL[name]
