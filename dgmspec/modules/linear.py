"""The twins of `linear` and `orthogonal`: each form multiplies rows by its matrix and solves with it.

A batch holds events as rows, so ``y = x Wᵀ`` and ``x = y W⁻ᵀ``. Masked weights come with their zeros stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from dgmspec.core.op import AbstractOp
from dgmspec.core.types import Type
from dgmspec.modules.twin import Parameters, StepContext, StepTwin
from dgmspec.ops.linear import Cayley, Dense, Diagonal, Expm, Householder, Linear, Orthogonal, Plu, Qr, Triangular


@dataclass(frozen=True)
class FormTwin:
    """``multiply(op, p, x) -> x Wᵀ``, ``solve(op, p, y) -> y W⁻ᵀ``, ``log_det(p, x) -> log|det W|`` (0-dimensional)
    in the precision of x."""

    multiply: Callable[[Any, Parameters, Tensor], Tensor]
    solve: Callable[[Any, Parameters, Tensor], Tensor]
    log_det: Callable[[Parameters, Tensor], Tensor]


def _sum_log_diagonal(p: Parameters, like: Tensor) -> Tensor:
    return p["log_diagonal"].sum()


def _add_diagonal(strict: Tensor, p: Parameters) -> Tensor:
    """The triangular matrix with the given strict part."""
    return strict + torch.diag(p["log_diagonal"].exp())


def _times(x: Tensor, strict: Tensor, p: Parameters) -> Tensor:
    """x (strict + diag(exp(log_diagonal)))ᵀ, without forming the sum."""
    return torch.addmm(x * p["log_diagonal"].exp(), x, strict.mT)


def _solve(transposed: Tensor, y: Tensor, lower: bool, unit: bool = False) -> Tensor:
    """x with x Wᵀ = y, given Wᵀ; `lower` says that Wᵀ is lower triangular, `unit` that its diagonal counts as ones."""
    x: Tensor = torch.linalg.solve_triangular(transposed, y, upper=not lower, left=False, unitriangular=unit)
    return x


def _diagonal_multiply(op: Diagonal, p: Parameters, x: Tensor) -> Tensor:
    return x * p["log_diagonal"].exp()


def _diagonal_solve(op: Diagonal, p: Parameters, y: Tensor) -> Tensor:
    return y * torch.exp(-p["log_diagonal"])


def _triangular_multiply(op: Triangular, p: Parameters, x: Tensor) -> Tensor:
    return _times(x, p["weight"], p)


def _triangular_solve(op: Triangular, p: Parameters, y: Tensor) -> Tensor:
    return _solve(_add_diagonal(p["weight"], p).mT, y, lower=op.upper)


def _plu_multiply(op: Plu, p: Parameters, x: Tensor) -> Tensor:
    h = _times(x, p["upper"], p)
    return torch.addmm(h, h, p["lower"].mT).index_select(1, p["source"])


def _plu_solve(op: Plu, p: Parameters, y: Tensor) -> Tensor:
    h = _solve(p["lower"].mT, y.index_select(1, p["target"]), lower=False, unit=True)
    return _solve(_add_diagonal(p["upper"], p).mT, h, lower=True)


def _reflect(vectors: Tensor, x: Tensor, transposed: bool) -> Tensor:
    """x Qᵀ (or x Q) with Q = H(v₁) … H(v_k) = I - U T Uᵀ, the columns of U being the normalised vectors.

    T⁻¹ = ½ I + the strictly upper part of Uᵀ U (compact WY form); the k × k triangular solve that applies T does not
    involve the batch.
    """
    rows = torch.nn.functional.normalize(vectors, dim=1)
    core = (rows @ rows.mT).triu(1) + 0.5 * torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
    core = core if transposed else core.mT
    applied = torch.linalg.solve_triangular(core, rows, upper=transposed)
    return torch.addmm(x, x @ rows.mT, applied, alpha=-1)


def first_columns(vectors: Tensor) -> Tensor:
    """The first k columns of H(v₁) … H(v_k), as k orthonormal rows (k, d)."""
    rows = torch.eye(*vectors.shape, dtype=vectors.dtype, device=vectors.device)
    return _reflect(vectors, rows, transposed=False)


def _householder_multiply(op: Householder, p: Parameters, x: Tensor) -> Tensor:
    return _reflect(p["vectors"], x, transposed=False)


def _householder_solve(op: Householder, p: Parameters, y: Tensor) -> Tensor:
    return _reflect(p["vectors"], y, transposed=True)


def _qr_multiply(op: Qr, p: Parameters, x: Tensor) -> Tensor:
    return _reflect(p["vectors"], _times(x, p["upper"], p), transposed=False)


def _qr_solve(op: Qr, p: Parameters, y: Tensor) -> Tensor:
    h = _reflect(p["vectors"], y, transposed=True)
    return _solve(_add_diagonal(p["upper"], p).mT, h, lower=True)


def _dense_multiply(op: Dense, p: Parameters, x: Tensor) -> Tensor:
    return x @ p["weight"].mT


def _dense_solve(op: Dense, p: Parameters, y: Tensor) -> Tensor:
    x: Tensor = torch.linalg.solve(p["weight"].mT, y, left=False)
    return x


def _dense_log_det(p: Parameters, like: Tensor) -> Tensor:
    found: Tensor = torch.linalg.slogdet(p["weight"]).logabsdet
    return found


def _skew(p: Parameters, like: Tensor) -> Tensor:
    """The skew-symmetric matrix whose lower half is the weight."""
    return p["half"] - p["half"].mT if "half" in p else like.new_zeros(1, 1)


def _cayley(p: Parameters, like: Tensor) -> Tensor:
    a = _skew(p, like)
    eye = torch.eye(len(a), dtype=a.dtype, device=a.device)
    w: Tensor = torch.linalg.solve(eye + a, eye - a)
    return w


def _expm(p: Parameters, like: Tensor) -> Tensor:
    w: Tensor = torch.linalg.matrix_exp(_skew(p, like))
    return w


def _rotation(matrix: Callable[[Parameters, Tensor], Tensor]) -> FormTwin:
    """A form whose orthogonal matrix is formed once a batch: its inverse is the transpose."""

    def multiply(op: AbstractOp, p: Parameters, x: Tensor) -> Tensor:
        return x @ matrix(p, x).mT

    def solve(op: AbstractOp, p: Parameters, y: Tensor) -> Tensor:
        return y @ matrix(p, y)

    return FormTwin(multiply, solve, _no_log_det)


def _no_log_det(p: Parameters, like: Tensor) -> Tensor:
    return like.new_zeros(())


FORMS: Final[dict[type[AbstractOp], FormTwin]] = {
    Diagonal: FormTwin(_diagonal_multiply, _diagonal_solve, _sum_log_diagonal),
    Triangular: FormTwin(_triangular_multiply, _triangular_solve, _sum_log_diagonal),
    Plu: FormTwin(_plu_multiply, _plu_solve, _sum_log_diagonal),
    Qr: FormTwin(_qr_multiply, _qr_solve, _sum_log_diagonal),
    Householder: FormTwin(_householder_multiply, _householder_solve, _no_log_det),
    Cayley: _rotation(_cayley),
    Expm: _rotation(_expm),
    Dense: FormTwin(_dense_multiply, _dense_solve, _dense_log_det),
}


def _tables(op: Linear | Orthogonal, event: Type, given: Type | None) -> dict[str, Tensor]:
    return plu_tables(op.form, event.size)


def plu_tables(form: AbstractOp, size: int) -> dict[str, Tensor]:
    """The index tensors of a `plu` form's permutation, both ways; other forms have none."""
    if not isinstance(form, Plu):
        return {}
    source = torch.tensor(form.source(size))
    return {"source": source, "target": torch.argsort(source)}


def _forward(op: Linear | Orthogonal, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    form, x = FORMS[type(op.form)], widened(x, p)
    with torch.autocast(x.device.type, enabled=False):
        y = form.multiply(op.form, p, x)
        return y + p["bias"] if "bias" in p else y, form.log_det(p, x)


def _inverse(op: Linear | Orthogonal, p: Parameters, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    form, y = FORMS[type(op.form)], widened(y, p)
    with torch.autocast(y.device.type, enabled=False):
        return form.solve(op.form, p, y - p["bias"] if "bias" in p else y), -form.log_det(p, y)


def widened(x: Tensor, p: Parameters) -> Tensor:
    """x in the precision of the weights: in half precision a product would be no inverse of its solve."""
    weight = next((value for value in p.values() if value.is_floating_point()), x)
    return x.to(weight.dtype)


TWINS: Final[dict[type[Any], StepTwin]] = {
    Linear: StepTwin(_forward, _inverse, _tables),
    Orthogonal: StepTwin(_forward, _inverse, _tables),
}
