"""Maps that move an event along few directions: `planar`, `radial`, `sylvester(k)` and `low_rank(k)`.

Each keeps its constraint for all values of its parameters: the factor by which a direction is stretched is
``1 + g``, with ``g = softplus(r + c) - 1 + 0.001`` and c such that r = 0 gives g = 0. So none can reach a singular map,
and zero is the identity.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Final

from pydantic import Field

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Fact, Jacobian, Structure
from dgmspec.core.nets import AbstractNet, NetUse
from dgmspec.core.parameters import Init, ParamSpec
from dgmspec.core.steps import AbstractStep, Cost, Direction
from dgmspec.core.types import Type
from dgmspec.ops.linear import strictly_upper
from dgmspec.ops.nets import Mlp, context_shape
from dgmspec.ops.structure import need_real

MIN_STRETCH: Final = 1e-3
"""Smallest factor by which a direction is stretched."""

_ONCE = Direction(passes=0)
_SOLVED = Direction("iterative")


class AbstractFew(AbstractStep, ABC):
    """A step on a real vector, onto all of ℝᵈ, that moves it along few directions."""

    def infer_type(self, x: Type, c: Type | None) -> Type:
        need_real(self.name, x)
        if len(x.shape) != 1:
            remedy = "put `flatten` before it" if x.shape else f"declare the event as {x}[1]"
            raise Refusal("DGM304", f"`{self.name}` acts on a vector, and {x} is none", help=(remedy,))
        self.require(x.size)
        return x

    def infer_input(self, y: Type, c: Type | None) -> Type:
        return self.infer_type(y, c)

    def require(self, d: int) -> None:
        """Refuse a size of the event that the step cannot have."""


class AbstractConditioned(AbstractFew, ABC):
    """One whose few numbers are learned constants, or a net of the context where there is one."""

    net: AbstractNet = Field(Mlp(hidden=(64,)), description="the net that reads the context, where there is one")

    @abstractmethod
    def numbers(self, d: int) -> int:
        """How many raw numbers the step has on d coordinates."""

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        count = self.numbers(x.size)
        if c is None:
            return (ParamSpec("raw", (count,), Init("normal", 0.1)),)
        use = NetUse(((0,),), (count,), context_shape(c))
        return tuple(spec.under("net") for spec in self.net.net_parameters(use))


class Planar(AbstractConditioned):
    """A planar flow: the event is moved along u by how far it lies in the direction w.

    Formula: ``y = x + û tanh(eˢ w·x + b)``, |w| = 1, û = u with its part along w set so that eˢ w·û = g > -1.
    Shapes: ``[d]`` -> ``[d]``; raw: w, u, s, b (2d + 2 numbers), with a context a net of it.
    Domain: real -> real, onto.
    Log-determinant: ``log(1 + g (1 - tanh²))``, O(d).
    Caveat: the inverse solves one equation in one unknown by bracketed Newton, in a fixed number of steps.
    Reference: Rezende and Mohamed, Variational inference with normalizing flows, ICML 2015, eq. 10 and appendix A.1.
    """

    name: ClassVar[str] = "planar"
    examples: ClassVar[tuple[str, ...]] = ("planar", "planar(net = mlp(8))")

    def numbers(self, d: int) -> int:
        return 2 * d + 2

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return _dense(x.size, 1)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("O(d)", _ONCE if c is None else Direction(), _SOLVED)


class Radial(AbstractConditioned):
    """A radial flow: the event is moved towards or away from a centre.

    Formula: ``y = x + α g (x - x₀) / (α + |x - x₀|)``, α > 0, g > -1.
    Shapes: ``[d]`` -> ``[d]``; raw: x₀, log α, g (d + 2 numbers), with a context a net of it.
    Domain: real -> real, onto.
    Log-determinant: ``(d - 1) log(1 + α g / (α + r)) + log(1 + α² g / (α + r)²)`` with r = |x - x₀|, O(d).
    Caveat: the inverse is exact: r solves a quadratic.
    Reference: Rezende and Mohamed, Variational inference with normalizing flows, ICML 2015, eq. 14 and appendix A.2.
    """

    name: ClassVar[str] = "radial"
    examples: ClassVar[tuple[str, ...]] = ("radial", "radial(net = mlp(8))")

    def numbers(self, d: int) -> int:
        return d + 2

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return _dense(x.size, None)

    def cost(self, x: Type, c: Type | None) -> Cost:
        way = _ONCE if c is None else Direction()
        return Cost("O(d)", way, way)


class AbstractSubspace(AbstractFew, ABC):
    """One that moves the event within, or by its part in, a subspace of k dimensions with an orthonormal basis Q.

    Q is the first k columns of a product of k Householder reflections, so it stays orthonormal under training. Learned
    constants alone: a context is not read.
    """

    k: Annotated[int, Field(ge=1, strict=True, description="dimension of the subspace")]

    def require(self, d: int) -> None:
        if self.k > d:
            raise Refusal(
                "DGM304",
                f"`{self.name}` moves {self.k} directions, and the event has {d} coordinates",
                argument="k",
                help=(f"write a k of at most {d}",),
            )


class Sylvester(AbstractSubspace):
    """A Sylvester flow: k planar moves in orthonormal directions, coupled by triangular matrices.

    Formula: ``y = x + Q R tanh(S Qᵀ x + b)``, R and S upper triangular with Rᵢᵢ Sᵢᵢ = gᵢ > -1, Sᵢᵢ = exp(sᵢ).
    Shapes: ``[d]`` -> ``[d]``, k ≤ d.
    Domain: real -> real, onto.
    Log-determinant: ``Σ log(1 + gᵢ (1 - tanh²))``, O(k) beyond the products, O(d k).
    Caveat: the inverse solves k scalar equations one after another by bracketed Newton.
    Reference: van den Berg, Hasenclever, Tomczak and Welling, Sylvester normalizing flows, UAI 2018, eq. 12 to 16.
    """

    name: ClassVar[str] = "sylvester"
    examples: ClassVar[tuple[str, ...]] = ("sylvester(1)", "sylvester(k = 2)")

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return _dense(x.size, self.k)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("O(d k)", _ONCE, _SOLVED)

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        k = self.k
        return (
            ParamSpec("vectors", (k, x.size), Init("normal", 1.0)),
            *_above("outer", k),
            *_above("inner", k),
            ParamSpec("stretch", (k,), Init("normal", 0.1)),
            ParamSpec("log_scale", (k,)),
            ParamSpec("shift", (k,), Init("normal", 0.1)),
        )


class LowRank(AbstractSubspace):
    """The identity plus a matrix of rank k, invertible for all values of its parameters.

    Formula: ``y = x + U Qᵀ x`` with ``U = Q R + (I - Q Qᵀ) B``, R upper triangular with Rᵢᵢ = gᵢ > -1, B free (d × k).
    Shapes: ``[d]`` -> ``[d]``, k ≤ d.
    Domain: real -> real, onto.
    Log-determinant: ``Σ log(1 + gᵢ)``: by Sylvester's identity det(I + U Qᵀ) = det(I + Qᵀ U) = det(I + R). Constant.
    Caveat: eigenvalues of Qᵀ U are real and above -1, so no turn by 180° is reached. The inverse is
    ``x = y - U (I + R)⁻¹ Qᵀ y``, one triangular k × k solve, O(d k).
    Reference: the matrix determinant lemma; Woodbury 1950.
    """

    name: ClassVar[str] = "low_rank"
    examples: ClassVar[tuple[str, ...]] = ("low_rank(1)", "low_rank(k = 2)")

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return _dense(x.size, self.k, constant=Fact.YES)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("O(k), once a batch", _ONCE, _ONCE)

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        return (
            ParamSpec("vectors", (self.k, x.size), Init("normal", 1.0)),
            *_above("inner", self.k),
            ParamSpec("stretch", (self.k,)),
            ParamSpec("outside", (self.k, x.size)),
        )


def _above(name: str, k: int) -> tuple[ParamSpec, ...]:
    """The part of a k × k upper triangular matrix above its diagonal, where there is one."""
    return (strictly_upper(name, k),) if k > 1 else ()


def _dense(d: int, rank: int | None, constant: Fact = Fact.NO) -> Jacobian:
    """A dense Jacobian that is the identity plus rank `rank`, where that says anything."""
    rank = rank if rank is not None and rank < d else None
    return Jacobian.of(Structure.DENSE, d, constant=constant, unit_det=Fact.NO, orthogonal=Fact.NO, rank=rank)
