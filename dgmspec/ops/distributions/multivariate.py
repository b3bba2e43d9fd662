"""`multivariate_normal`: normal laws of vectors whose coordinates are correlated."""

from __future__ import annotations

import math
from typing import ClassVar, Final, Self

from pydantic import model_validator

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.nets import AbstractNet
from dgmspec.core.parameters import Draw
from dgmspec.core.types import CHOLESKY, REAL, Support, Type, is_cholesky_factor
from dgmspec.ops.distributions.line import Normal
from dgmspec.ops.distributions.product import AbstractParametric, Matrix, ParameterValue

_MATRICES: Final = ("covariance_matrix", "precision_matrix", "scale_tril")


class MultivariateNormal(AbstractParametric):
    """The normal law of a vector with a full covariance Σ = L Lᵀ.

    Formula: ``p(x) = exp(-|L⁻¹ (x - loc)|² / 2) / ((2π)^(d/2) Π_i L_ii)``.
    Shapes: [d]; `scale_tril` is L, lower triangular with a positive diagonal, [d, d]: numbers, a parameter learned as
    ``learn L : cholesky[d, d]``, or what a net gives. `covariance_matrix` is Σ, `precision_matrix` its inverse, both in
    numbers. One of the three is written.
    Support: real.
    Sampling: ``loc + L ε``, ε standard normal; differentiable in both parameters. Density and draw cost O(d²).
    Caveat: none.
    Reference: Johnson, Kotz and Balakrishnan, Continuous Multivariate Distributions, chapter 45.
    """

    name: ClassVar[str] = "multivariate_normal"
    examples: ClassVar[tuple[str, ...]] = (
        "multivariate_normal(scale_tril = [[1, 0], [0.5, 2]])",
        "multivariate_normal(loc = [1, -1], covariance_matrix = [[2, 0.5], [0.5, 1]])",
    )

    loc: ParameterValue = 0.0
    covariance_matrix: Matrix | None = None
    precision_matrix: Matrix | None = None
    scale_tril: Matrix | AbstractExpr | AbstractNet | None = None

    @model_validator(mode="after")
    def _one_matrix(self) -> Self:
        given = [name for name in _MATRICES if getattr(self, name) is not None]
        if len(given) != 1 and not (isinstance(self.loc, AbstractNet) and not given):
            raise Refusal(
                "DGM481",
                f"`{self.name}` has one matrix, `scale_tril` or `covariance_matrix`, and here "
                + (f"are {len(given)}" if given else "is none"),
                help=("declare `learn L : cholesky[d, d]` and write `scale_tril = L`",),
            )
        if isinstance(self.scale_tril, tuple) and not is_cholesky_factor(self.scale_tril):
            raise Refusal(
                "DGM481",
                "`scale_tril` is a square lower-triangular matrix with a positive diagonal, and this is none",
                argument="scale_tril",
                help=("write zeros above the diagonal and positive numbers on it",),
            )
        if given and given[0] != "scale_tril" and self.factor() is None:
            raise Refusal(
                "DGM481",
                f"`{given[0]}` is symmetric and positive definite, and this is not",
                argument=given[0],
                help=("write the factor of the covariance as `scale_tril`, or the same number on both sides",),
            )
        return self

    def parameters(self) -> dict[str, ParameterValue | Matrix]:
        found = {"loc": self.loc, "scale_tril": self.factor()}
        return {name: value for name, value in found.items() if value is not None}

    def factor(self) -> Matrix | AbstractExpr | AbstractNet | None:
        """L; None where the net of `loc` gives it too, or the numbers have none."""
        if self.covariance_matrix is not None:
            return _factor(self.covariance_matrix)
        return self.scale_tril if self.precision_matrix is None else _factor_of_inverse(self.precision_matrix)

    def domain_of(self, parameter: str) -> Support:
        return CHOLESKY if parameter == "scale_tril" else REAL

    def heads(self) -> tuple[str, ...]:
        given = self.covariance_matrix is not None or self.precision_matrix is not None
        return ("loc",) if given else ("loc", "scale_tril")

    def width(self, parameter: str, type_: Type) -> int | None:
        return type_.size if parameter == "scale_tril" else None

    def support(self, type_: Type) -> Support:
        factor = self.factor()
        if len(type_.shape) != 1:
            raise Refusal(
                "DGM310", f"`{self.name}` is a law of vectors, and the event is {type_}", help=("flatten it",)
            )
        for name, value in (("loc", self.loc), ("scale_tril", factor)):
            if isinstance(value, tuple) and len(value) != type_.size and not (name == "loc" and len(value) == 1):
                raise Refusal(
                    "DGM310",
                    f"`{name}` is of {len(value)} dimensions, and the event is {type_}",
                    argument=name,
                    help=(f"write it for {type_.size} dimensions",),
                )
        return REAL

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        return (Draw("noise", type_.shape, "normal"),)

    def has_divergence(self, other: AbstractDistribution) -> bool:
        return isinstance(other, MultivariateNormal | Normal)


def _factor(matrix: Matrix) -> Matrix | None:
    """The Cholesky factor of a symmetric matrix; None where it has none."""
    size = len(matrix)
    if any(len(row) != size for row in matrix) or any(
        matrix[i][j] != matrix[j][i] for i in range(size) for j in range(i)
    ):
        return None
    rows: list[list[float]] = []
    for i in range(size):
        row: list[float] = []
        for j in range(i):
            row.append((matrix[i][j] - sum(a * b for a, b in zip(row, rows[j], strict=False))) / rows[j][j])
        square = matrix[i][i] - sum(value * value for value in row)
        if not square > 1e-12 * abs(matrix[i][i]):
            return None
        rows.append([*row, math.sqrt(square)])
    return tuple((*row, *(0.0,) * (size - len(row))) for row in rows)


def _factor_of_inverse(matrix: Matrix) -> Matrix | None:
    """The Cholesky factor of a symmetric matrix's inverse: with J turning the order of coordinates round and C the
    factor of J P J, it is the inverse of (J C J)ᵀ."""
    turned = _factor(tuple(row[::-1] for row in matrix[::-1]))
    if turned is None:
        return None
    size = len(matrix)
    upper = [row[::-1] for row in turned[::-1]]
    rows: list[list[float]] = []
    for i in range(size):  # lower[i][j] = upper[j][i]; its inverse, row by row
        row = [-sum(upper[k][i] * rows[k][j] for k in range(j, i)) / upper[i][i] for j in range(i)]
        rows.append([*row, 1 / upper[i][i]])
    return tuple((*row, *(0.0,) * (size - len(row))) for row in rows)
