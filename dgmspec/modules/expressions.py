"""Expressions as torch calls: the only place where a formula of the language becomes arithmetic on tensors.

A value is a tensor ``(batch, *event)`` (batch may be 1, as for learned parameters) or a Python float, which stays one
until it meets a tensor, so that literals are exact in any precision. Events of different rank broadcast aligned on the
right, after the batch: a scalar ``(batch,)`` times a vector ``(batch, d)`` is a vector. `prepare` reads an expression
once, folds what is constant in float64 and returns a closure; nothing is parsed, and nothing executed, per call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.algebra.nodes import (
    AbstractExpr,
    Call,
    Constant,
    Index,
    Name,
    Neg,
    Number,
    Power,
    Product,
    Sum,
    Vector,
    walk,
)

__all__ = ["FUNCTIONS", "as_tensor", "evaluate", "prepare"]

Value = Tensor | float
Env = Mapping[str, Value]
Prepared = Callable[[Env, Tensor | None], Value]


def evaluate(expression: AbstractExpr, env: Env, like: Tensor | None = None) -> Value:
    """The value of `expression` where names stand for the tensors ``(batch, *event)`` or floats of `env`.

    `like` fixes dtype and device of constant vectors; by default the first tensor of `env` does.
    """
    if like is None:
        like = next((v for v in env.values() if isinstance(v, Tensor) and v.is_floating_point()), None)
    return prepare(expression)(env, like)


def prepare(expression: AbstractExpr) -> Prepared:
    """The expression as a closure of (env, like), constants folded in float64."""
    run = _prepare(expression)
    if any(isinstance(node, (Name, Vector)) for node in walk(expression)):
        return run
    value = run({}, None)
    return lambda env, like: value


def _prepare(node: AbstractExpr) -> Prepared:
    match node:
        case Number():
            number = float(node.value)
            return lambda env, like: number
        case Constant():
            constant = _CONSTANTS[node.name]
            return lambda env, like: constant
        case Name():
            name = node.id
            return lambda env, like: env[name]
        case Neg():
            of = prepare(node.of)
            return lambda env, like: -of(env, like)
        case Sum():
            return _fold([(_add if t.sign == "+" else _subtract, t.of) for t in node.terms])
        case Product():
            return _fold([(_PRODUCTS[f.op], f.of) for f in node.factors])
        case Power():
            return _fold([(_power, node.base), (_power, node.exponent)])
        case Index():
            return _index(node)
        case Vector():
            return _vector(node)
        case Call():
            return _call(node)
    raise AssertionError(f"{type(node).__name__} is no formula")


# ---- operators ------------------------------------------------------------------------------------------------------


def _fold(parts: list[tuple[Callable[[Value, Value], Value], AbstractExpr]]) -> Prepared:
    """An n-ary operator, read from the left."""
    head, *rest = [(operator, prepare(of)) for operator, of in parts]
    first = head[1]
    if len(rest) == 1:
        operator, second = rest[0]
        return lambda env, like: operator(first(env, like), second(env, like))

    def run(env: Env, like: Tensor | None) -> Value:
        value = first(env, like)
        for operator, of in rest:
            value = operator(value, of(env, like))
        return value

    return run


def _aligned(a: Value, b: Value) -> tuple[Any, Any]:
    """Both values with the same event rank, ones put between batch and event of the smaller."""
    if not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.dim() == b.dim() or not a.dim() or not b.dim():
        return a, b
    missing = a.dim() - b.dim()
    if missing > 0:
        return a, b.reshape(b.shape[0], *(1,) * missing, *b.shape[1:])
    return a.reshape(a.shape[0], *(1,) * -missing, *a.shape[1:]), b


def _add(a: Value, b: Value) -> Value:
    a, b = _aligned(a, b)
    return a + b


def _subtract(a: Value, b: Value) -> Value:
    a, b = _aligned(a, b)
    return a - b


def _multiply(a: Value, b: Value) -> Value:
    a, b = _aligned(a, b)
    return a * b


def _divide(a: Value, b: Value) -> Value:
    a, b = _aligned(a, b)
    return a / b


def _power(a: Value, b: Value) -> Value:
    a, b = _aligned(a, b)
    return a**b


def _matmul(a: Value, b: Value) -> Value:
    """Matrix products of events: matrix·matrix, matrix·vector, vector·matrix, and the dot of two vectors.

    Never in half precision: a formula is part of the density, and no net.
    """
    assert isinstance(a, Tensor) and isinstance(b, Tensor)
    with torch.autocast(a.device.type, enabled=False):
        return _product(a, b)


def _product(a: Tensor, b: Tensor) -> Value:
    if a.dim() == 3 and b.dim() == 2:
        return b @ a[0].mT if a.shape[0] == 1 else (a @ b.unsqueeze(2)).squeeze(2)
    if a.dim() == 2 and b.dim() == 3:
        return a @ b[0] if b.shape[0] == 1 else (a.unsqueeze(1) @ b).squeeze(1)
    return _dot(a, b) if a.dim() == b.dim() == 2 else a @ b


_PRODUCTS: dict[str, Callable[[Value, Value], Value]] = {"*": _multiply, "/": _divide, "@": _matmul}
_CONSTANTS: dict[str, float] = {"pi": math.pi, "inf": math.inf, "true": 1.0, "false": 0.0}


def _index(node: Index) -> Prepared:
    """``v[i]`` with a constant i: along the first event dimension."""
    of, place = prepare(node.of), prepare(node.index)({}, None)
    assert not isinstance(place, Tensor)
    index = int(place)

    def run(env: Env, like: Tensor | None) -> Value:
        value = of(env, like)
        assert isinstance(value, Tensor)
        return value.select(1, index)

    return run


def _vector(node: Vector) -> Prepared:
    """``[a, b]``: scalars make a vector, vectors the rows of a matrix."""
    items = [prepare(item) for item in node.items]

    def run(env: Env, like: Tensor | None) -> Value:
        values = [as_tensor(item(env, like), like) for item in items]
        return torch.stack(torch.broadcast_tensors(*values), 1)  # type: ignore[no-untyped-call]

    return run


def as_tensor(value: Value, like: Tensor | None) -> Tensor:
    """A float as a tensor of batch 1, filled on the device so that no copy from the host waits."""
    if isinstance(value, Tensor):
        return value
    if like is None:
        return torch.full((1,), value, dtype=torch.float64)
    return torch.full((1,), value, dtype=like.dtype, device=like.device)


# ---- functions ------------------------------------------------------------------------------------------------------


def _call(node: Call) -> Prepared:
    function = FUNCTIONS[node.name]
    args = [prepare(arg.value) for arg in node.args]
    if len(args) == 1:
        only = args[0]
        return lambda env, like: _apply(function, (only(env, like),))
    return lambda env, like: _apply(function, tuple(arg(env, like) for arg in args))


def _apply(function: Callable[..., Tensor], args: tuple[Value, ...]) -> Value:
    """A function of tensors; floats alone are taken in float64 and stay floats."""
    if any(isinstance(arg, Tensor) for arg in args):
        return function(*args)
    return function(*(torch.tensor([arg], dtype=torch.float64) for arg in args)).item()


def _event(x: Tensor) -> Tensor:
    """The event as one flat dimension: (batch, size)."""
    return x.flatten(1) if x.dim() > 1 else x.unsqueeze(-1)


def _dot(a: Value, b: Value) -> Tensor:
    return _event(_multiply(a, b)).sum(1)  # type: ignore[arg-type]


def _tensors(a: Value, b: Value) -> tuple[Tensor, Tensor]:
    """Two values, one of them perhaps a float, as aligned tensors."""
    a, b = _aligned(a, b)
    like = next(v for v in (a, b) if isinstance(v, Tensor))
    return as_tensor(a, like), as_tensor(b, like)


def _extreme(pairwise: Callable[[Tensor, Tensor], Tensor], clamp: str, whole: Callable[..., Tensor]) -> Any:
    """``min`` and ``max``: of several values coordinatewise, of one over its event."""

    def run(*args: Value) -> Value:
        if len(args) == 1:
            return whole(_event(args[0]), 1)  # type: ignore[arg-type]
        value = args[0]
        for other in args[1:]:
            a, b = _aligned(value, other)
            if isinstance(a, Tensor) and isinstance(b, Tensor):
                value = pairwise(a, b)
            elif isinstance(a, Tensor) or isinstance(b, Tensor):
                tensor, number = (a, b) if isinstance(a, Tensor) else (b, a)
                value = torch.clamp(tensor, **{clamp: number})
            else:
                value = (min if clamp == "max" else max)(a, b)
        return value

    return run


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": torch.tan,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "tanh": torch.tanh,
    "arcsinh": torch.asinh,
    "arctan": torch.atan,
    "sigmoid": torch.sigmoid,
    "logit": torch.logit,
    # F.softplus turns linear beyond 20, an error of 2e-9 that float64 sees.
    "softplus": lambda x: -F.logsigmoid(-x),
    "relu": torch.relu,
    "abs": torch.abs,
    "sign": torch.sign,
    "erf": torch.erf,
    "erfinv": torch.erfinv,
    "log1p": torch.log1p,
    "expm1": torch.expm1,
    "min": _extreme(torch.minimum, "max", torch.amin),
    "max": _extreme(torch.maximum, "min", torch.amax),
    "sum": lambda x: _event(x).sum(1),
    "mean": lambda x: _event(x).mean(1),
    "norm": lambda x: torch.linalg.vector_norm(_event(x), dim=1),
    "dot": _dot,
    "logsumexp": lambda x: torch.logsumexp(_event(x), 1),
    "transpose": lambda x: x.mT if x.dim() > 2 else x,
    "diagonal": lambda x: x.diagonal(dim1=-2, dim2=-1),
    "arcsin": torch.asin,
    "arccos": torch.acos,
    "arccosh": torch.acosh,
    "arctanh": torch.atanh,
    "log_expm1": lambda y: y + torch.log(-torch.expm1(-y)),
    "logaddexp": lambda a, b: torch.logaddexp(*_tensors(a, b)),
    "step": lambda x: (x >= 0).to(x.dtype),
}
"""Every function of formulas, written or derived, on tensors ``(batch, *event)``; reductions run over the event."""
