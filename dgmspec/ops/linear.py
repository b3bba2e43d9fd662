"""`linear` and `orthogonal`: an invertible matrix applied to a vector, in eight parametrisations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Fact, Jacobian, Structure
from dgmspec.core.masking import DegreeMask
from dgmspec.core.op import AbstractOp
from dgmspec.core.parameters import Init, ParamSpec
from dgmspec.core.steps import AbstractStep, Cost, Direction, Facts
from dgmspec.core.types import Type
from dgmspec.ops.structure import need_real, shuffled

_LINEAR = Direction(passes=0)


class AbstractLinearForm(AbstractOp, ABC):
    """A parametrisation of an invertible d × d matrix W; parameter names are relative to the `linear` step."""

    role: ClassVar[str] = "linear_form"
    log_det: ClassVar[str] = "O(d), once a batch"
    assumed: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def form_parameters(self, d: int) -> tuple[ParamSpec, ...]:
        """The parameters of W."""

    @abstractmethod
    def form_jacobian(self, d: int) -> Jacobian:
        """The structure of W."""


def _scaled(structure: Structure, d: int) -> Jacobian:
    """A constant Jacobian whose diagonal is learned."""
    return Jacobian.of(structure, d, constant=Fact.YES, unit_det=Fact.NO, orthogonal=Fact.NO)


def _strictly_lower(name: str, d: int) -> ParamSpec:
    """A d × d weight that is zero on and above the diagonal; it starts at zero."""
    return ParamSpec(name, (d, d), Init(), DegreeMask(tuple(range(d)), tuple(range(d)), strict=True))


def strictly_upper(name: str, d: int) -> ParamSpec:
    """A d × d weight that is zero on and below the diagonal; it starts at zero."""
    down = tuple(range(d, 0, -1))
    return ParamSpec(name, (d, d), Init(), DegreeMask(down, down, strict=True))


class Diagonal(AbstractLinearForm):
    """``W = diag(exp(log_diagonal))``: one positive factor a coordinate. log|det W| = Σ log_diagonal."""

    name: ClassVar[str] = "diagonal"
    examples: ClassVar[tuple[str, ...]] = ("diagonal",)

    def form_parameters(self, d: int) -> tuple[ParamSpec, ...]:
        return (ParamSpec("log_diagonal", (d,)),)

    def form_jacobian(self, d: int) -> Jacobian:
        return _scaled(Structure.DIAGONAL, d)


class Triangular(AbstractLinearForm):
    """``W = weight + diag(exp(log_diagonal))``, weight strictly lower (or, with `upper`, upper) triangular.

    Its inverse is one triangular solve, O(d²) a sample. log|det W| = Σ log_diagonal.
    """

    name: ClassVar[str] = "triangular"
    examples: ClassVar[tuple[str, ...]] = ("triangular", "triangular(upper = true)")

    upper: Annotated[bool, Field(strict=True)] = False

    def form_parameters(self, d: int) -> tuple[ParamSpec, ...]:
        weight = strictly_upper("weight", d) if self.upper else _strictly_lower("weight", d)
        return weight, ParamSpec("log_diagonal", (d,))

    def form_jacobian(self, d: int) -> Jacobian:
        return _scaled(Structure.UPPER if self.upper else Structure.LOWER, d)


class Plu(AbstractLinearForm):
    """``W = P (I + lower) (upper + diag(exp(log_diagonal)))``, P a fixed permutation drawn by `seed`.

    Positive diagonals keep W invertible for all values; its inverse is two triangular solves. log|det W| =
    Σ log_diagonal. Kingma and Dhariwal, Glow, NeurIPS 2018, section 3.2.
    """

    name: ClassVar[str] = "plu"
    examples: ClassVar[tuple[str, ...]] = ("plu", "plu(seed = 1)")

    seed: Annotated[int, Field(ge=0, strict=True)] = 0

    def source(self, d: int) -> tuple[int, ...]:
        """Output i is row source[i] of the product of the triangular factors."""
        return shuffled(d, self.seed)

    def form_parameters(self, d: int) -> tuple[ParamSpec, ...]:
        return _strictly_lower("lower", d), strictly_upper("upper", d), ParamSpec("log_diagonal", (d,))

    def form_jacobian(self, d: int) -> Jacobian:
        return _scaled(Structure.DENSE, d)


class Qr(AbstractLinearForm):
    """``W = Q (upper + diag(exp(log_diagonal)))``, Q the product of d Householder reflections.

    Its inverse is one triangular solve and the reflections in reverse. log|det W| = Σ log_diagonal. Starts at a random
    rotation (and reflection). Hoogeboom, van den Berg and Welling, Emerging convolutions, ICML 2019, section 4.
    """

    name: ClassVar[str] = "qr"
    examples: ClassVar[tuple[str, ...]] = ("qr",)

    def form_parameters(self, d: int) -> tuple[ParamSpec, ...]:
        return _reflections(d, d), strictly_upper("upper", d), ParamSpec("log_diagonal", (d,))

    def form_jacobian(self, d: int) -> Jacobian:
        return _scaled(Structure.DENSE, d)


class Householder(AbstractLinearForm):
    """``W = H(v₁) … H(v_k)``, ``H(v) = I - 2 v vᵀ / (vᵀ v)``: orthogonal, the identity plus a matrix of rank at most k.
    Without k there are d reflections, which reach every orthogonal matrix.

    Applied as ``I - V T Vᵀ`` with a triangular k × k matrix T, O(d k) a sample. log|det W| = 0. A vector that reaches
    zero counts as no reflection. Tomczak and Welling, Householder flow, 2016; compact form: Schreiber and Van Loan,
    SIAM J. Sci. Stat. Comput. 10, 1989.
    """

    name: ClassVar[str] = "householder"
    examples: ClassVar[tuple[str, ...]] = ("householder(1)", "householder(k = 4)", "householder")
    log_det: ClassVar[str] = "0"

    k: Annotated[int, Field(ge=1, strict=True)] | None = None

    def form_parameters(self, d: int) -> tuple[ParamSpec, ...]:
        return (_reflections(self.k or d, d),)

    def form_jacobian(self, d: int) -> Jacobian:
        return _orthogonal(d, self.k if self.k is not None and self.k < d else None)


class Cayley(AbstractLinearForm):
    """``W = (I + A)⁻¹ (I - A)``, A skew-symmetric: orthogonal with determinant 1, for all values of A.

    Reaches every rotation that turns no plane by 180°. The product costs O(d³) once a batch, the inverse is Wᵀ.
    log|det W| = 0. Cayley 1846; as weights: Helfrich, Willmott and Ye, Orthogonal recurrent neural networks with scaled
    Cayley transform, ICML 2018.
    """

    name: ClassVar[str] = "cayley"
    examples: ClassVar[tuple[str, ...]] = ("cayley",)
    log_det: ClassVar[str] = "0"

    def form_parameters(self, d: int) -> tuple[ParamSpec, ...]:
        return _skew(d)

    def form_jacobian(self, d: int) -> Jacobian:
        return _orthogonal(d)


class Expm(AbstractLinearForm):
    """``W = exp(A)``, A skew-symmetric: orthogonal with determinant 1, for all values of A; reaches every rotation.

    The product costs O(d³) once a batch, the inverse is Wᵀ. log|det W| = 0. Golinski, Lezcano-Casado and Rainforth,
    Improving normalizing flows via better orthogonal parameterizations, ICML 2019 workshop.
    """

    name: ClassVar[str] = "expm"
    examples: ClassVar[tuple[str, ...]] = ("expm",)
    log_det: ClassVar[str] = "0"

    def form_parameters(self, d: int) -> tuple[ParamSpec, ...]:
        return _skew(d)

    def form_jacobian(self, d: int) -> Jacobian:
        return _orthogonal(d)


def _orthogonal(d: int, rank: int | None = None) -> Jacobian:
    """A constant orthogonal matrix, which is a single sign where there is one coordinate."""
    return Jacobian.of(Structure.DENSE, d, Fact.YES, unit_det=Fact.YES, orthogonal=Fact.YES, rank=rank)


def _skew(d: int) -> tuple[ParamSpec, ...]:
    """The lower half of a skew-symmetric matrix; the rotation starts at random. One coordinate cannot turn."""
    return (replace(_strictly_lower("half", d), init=Init("normal", d**-0.5)),) if d > 1 else ()


def _reflections(count: int, d: int) -> ParamSpec:
    """One vector a row, started in a uniformly random direction."""
    return ParamSpec("vectors", (count, d), Init("normal", 1.0))


class Dense(AbstractLinearForm):
    """``W = weight``, any matrix, started orthogonal.

    log|det W| by an LU factorisation and the inverse by a solve, both O(d³) a batch. Singular matrices have measure
    zero, but nothing keeps training away from them: `plu` cannot reach one.
    """

    name: ClassVar[str] = "dense"
    examples: ClassVar[tuple[str, ...]] = ("dense",)
    log_det: ClassVar[str] = "O(d³), once a batch"
    assumed: ClassVar[tuple[str, ...]] = ("`linear(dense)` is invertible: true for almost every matrix",)

    def form_parameters(self, d: int) -> tuple[ParamSpec, ...]:
        return (ParamSpec("weight", (d, d), Init("orthogonal")),)

    def form_jacobian(self, d: int) -> Jacobian:
        return _scaled(Structure.DENSE, d)


class AbstractMatrixStep(AbstractStep, ABC):
    """A step that multiplies a real vector by the matrix of a form."""

    form: AbstractLinearForm

    def infer_type(self, x: Type, c: Type | None) -> Type:
        need_real(self.name, x)
        if len(x.shape) != 1:
            remedy = "put `flatten` before it" if x.shape else f"declare the event as {x}[1], or write `actnorm`"
            raise Refusal("DGM304", f"`{self.name}` acts on a vector, and {x} is none", help=(remedy,))
        return x

    def infer_input(self, y: Type, c: Type | None) -> Type:
        return self.infer_type(y, c)

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return self.form.form_jacobian(x.size)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost(self.form.log_det, _LINEAR, _LINEAR)

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        return self.form.form_parameters(x.size)

    def facts(self, x: Type, c: Type | None) -> Facts:
        return Facts(assumed=self.form.assumed)


class Orthogonal(AbstractMatrixStep):
    """A learned rotation (or, by reflections, any orthogonal map) that stays orthogonal under training.

    Formula: ``y = W x``, W by its form: `householder(k)`, `cayley` or `expm`.
    Shapes: ``[d]`` -> ``[d]``; larger events are flattened first.
    Domain: real -> real, onto.
    Log-determinant: 0.
    Caveat: `cayley` and `expm` form a d × d matrix once a batch; `householder(k)` costs O(d k) a sample.
    Reference: as for its form.
    """

    name: ClassVar[str] = "orthogonal"
    examples: ClassVar[tuple[str, ...]] = (
        "orthogonal(householder)",
        "orthogonal(householder(2))",
        "orthogonal(cayley)",
        "orthogonal(form = expm)",
    )

    @field_validator("form")
    @classmethod
    def _is_orthogonal(cls, form: AbstractLinearForm) -> AbstractLinearForm:
        if form.form_jacobian(2).orthogonal is not Fact.YES:
            raise ValueError(f"`{form.name}` is not orthogonal for all values of its parameters; `linear` takes it")
        return form


class Linear(AbstractMatrixStep):
    """A learned invertible matrix, with a learned shift where `bias` is true.

    Formula: ``y = W x`` (``+ bias``), W by its form: `diagonal`, `triangular`, `plu`, `qr`, `householder(k)`,
    `cayley`, `expm`, `dense`.
    Shapes: ``[d]`` -> ``[d]``; larger events are flattened first.
    Domain: real -> real, onto.
    Log-determinant: constant in x; O(d) once a batch, O(d³) for `dense`, 0 for the orthogonal forms.
    Caveat: triangular solves lose accuracy as the diagonal spreads over many orders of magnitude.
    Reference: Kingma and Dhariwal, Glow, NeurIPS 2018; Hoogeboom et al., Emerging convolutions, ICML 2019.
    """

    name: ClassVar[str] = "linear"
    examples: ClassVar[tuple[str, ...]] = (
        "linear(diagonal)",
        "linear(triangular)",
        "linear(triangular(upper = true))",
        "linear(plu)",
        "linear(plu(seed = 1), bias = true)",
        "linear(qr)",
        "linear(householder(2))",
        "linear(form = dense)",
    )

    bias: Annotated[bool, Field(strict=True)] = False

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        bias = (ParamSpec("bias", (x.size,)),) if self.bias else ()
        return *self.form.form_parameters(x.size), *bias
