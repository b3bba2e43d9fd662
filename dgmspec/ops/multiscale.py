"""Multi-scale flows: `split` sets half of the channels aside, and the flow's end joins all parts to one flat event.

What was set aside is part of the type of every value behind a `split` (`Type.aside`); the steps in between act on what
goes on alone.
"""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import EXACT_UP_TO, Dependency, Fact, Jacobian, Structure
from dgmspec.core.nets import AbstractNet, NetUse
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.steps import AbstractStep, Cost, Direction
from dgmspec.core.types import Type
from dgmspec.ops.nets import context_shape
from dgmspec.ops.nets.planes import plane_output
from dgmspec.ops.scalar import Affine
from dgmspec.ops.structure import need_real

_FREE = Cost("0", Direction("free"), Direction("free"))
SCALE: Final = Affine()
"""How a net places the part set aside: h₂ = σ z₂ + μ, log σ within the clamp."""


class Split(AbstractStep):
    """The second half of the channels is set aside for the latent; the first half goes on.

    Formula: ``(h₁, h₂) = x``, h₂ set aside; with a net ``z₂ = (h₂ - μ(h₁)) / σ(h₁)`` is, so that under a normal prior
    h₂ given h₁ is normal with mean μ and standard deviation σ.
    Shapes: [c, …] -> [c/2, …], c even. The latent is one vector: what was set aside, in order, then what remains.
    Domain: any support without a net, real with one.
    Log-determinant: 0; with a net -Σ log σ(h₁), O(d), one pass each way.
    Caveat: log σ stays within ±5, softly; the net starts at μ = 0, σ = 1.
    Reference: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, ICLR 2017, section 3.6; the net:
    Kingma and Dhariwal, Glow, NeurIPS 2018 (its code's learned prior).
    """

    name: ClassVar[str] = "split"
    examples: ClassVar[tuple[str, ...]] = ("split", "split(prior = mlp(8))", "split(prior = conv(4))")
    aside: ClassVar[int] = 1

    prior: AbstractNet | None = Field(None, description="the net that places and scales what is set aside")

    def infer_type(self, x: Type, c: Type | None) -> Type:
        if self.prior is not None:
            need_real(f"{self.name}(prior = …)", x)
        if not x.shape or x.shape[0] % 2:
            raise Refusal(
                "DGM343",
                f"`split` halves the channels, the first dimension, and {x} has "
                + (f"{x.shape[0]}" if x.shape else "a single coordinate"),
                help=("put a `squeeze` before it, which makes four channels of one",),
            )
        half = Type(x.support, (x.shape[0] // 2, *x.shape[1:]))
        return Type(half.support, half.shape, (*x.aside, half))

    def infer_input(self, y: Type, c: Type | None) -> Type:
        if not y.aside or y.aside[-1] != Type(y.support, y.shape):
            held = f"{y.aside[-1]} was set aside last" if y.aside else "nothing is set aside here"
            raise Refusal(
                "DGM343",
                f"`inverse split` of {Type(y.support, y.shape)} puts its other half back, but {held}",
                help=("undo the steps in the opposite order: `inverse { split; … }` against `split; …`",),
            )
        return Type(y.support, (2 * y.shape[0], *y.shape[1:]), y.aside[:-1])

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        """What is set aside stands before what goes on, as in the latent."""
        half, size = x.size // 2, x.size
        if self.prior is None:
            moved = tuple(range(half, size)) + tuple(range(half))
            return Jacobian.permutation(moved)
        read = (1 << half) - 1
        rows = (*(read | 1 << i for i in range(half, size)), *(1 << i for i in range(half)))
        exact = Dependency(rows, size) if size <= EXACT_UP_TO else None
        return Jacobian(Structure.DENSE, exact, Fact.NO, Fact.NO, Fact.NO)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return _FREE if self.prior is None else Cost()

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        if self.prior is None:
            return ()
        half = (x.shape[0] // 2, *x.shape[1:])
        use = NetUse((half,), plane_output(self.prior, 2, half), context_shape(c), zero=True)
        return tuple(spec.under("prior") for spec in self.prior.net_parameters(use))


class Join(AbstractStep):
    """All parts as one vector: what was set aside, in order, then what remains. The compiler ends flows with it.

    Formula: ``y = [a_1, …, a_k, x]``, each part flat, row-major.
    Shapes: any with parts set aside -> [d].
    Domain: one support for all parts, kept as it is.
    Log-determinant: 0 at no cost.
    Caveat: its inverse does not know the parts; the flow's other end tells them.
    Reference: none needed.
    """

    name: ClassVar[str] = "join"
    written: ClassVar[bool] = False
    forgets: ClassVar[bool] = True

    def infer_type(self, x: Type, c: Type | None) -> Type:
        apart = next((part for part in x.aside if part.support != x.support), None)
        if apart is not None:
            raise Refusal(
                "DGM344",
                f"`split` set aside {apart}, and what remains is {Type(x.support, x.shape)}: their supports differ",
                help=("map the event onto the latent's support before the first `split`",),
            )
        return Type(x.support, (x.whole,))

    def infer_input(self, y: Type, c: Type | None) -> Type:
        raise Refusal(
            "DGM340",
            f"{y} does not say which parts `split` made of it",
            help=("declare the shape of the variable at the flow's other end",),
        )

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian.identity(x.whole)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return _FREE
