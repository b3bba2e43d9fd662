"""`residual`: the identity plus a contraction, certified by the norms of its weights."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Fact, Jacobian, Structure
from dgmspec.core.op import AbstractNet, AbstractStep, Cost, Direction, NetUse, ParamSpec
from dgmspec.core.types import Type
from dgmspec.ops.nets import Mlp, context_shape
from dgmspec.ops.structure import need_real

EXACT_LOG_DET: Final = 256
"""Largest event whose log-determinant is computed: it forms the Jacobian of every sample."""


class Residual(AbstractStep):
    """An invertible residual block: the identity plus a net that contracts.

    Formula: ``y = x + g(x, c)`` with ``|g(x) - g(x')| ≤ L |x - x'|``, L < 1: each weight that x passes through is
    scaled down to the spectral norm L^(1/n) where it is larger, n the number of layers (the norm is that of a singular
    value decomposition, a certificate and no estimate); activations are scaled to slope at most 1.
    Shapes: ``[d]`` -> ``[d]``, d at most 256.
    Domain: real -> real, onto (Banach).
    Log-determinant: ``log det(I + ∂g/∂x)``, exact: tangents through the known net, O(d² h + d³) a sample.
    Caveat: the inverse takes Newton steps where they shrink the error by more than L, else steps of the fixed point
    ``x ← y - g(x)``, which always shrink it by L; a fixed number of them, and NaN where that was not enough.
    Reference: Behrmann, Grathwohl, Chen, Duvenaud and Jacobsen, Invertible residual networks, ICML 2019, theorem 1;
    Chen, Behrmann, Duvenaud and Jacobsen, Residual flows, NeurIPS 2019.
    """

    name: ClassVar[str] = "residual"
    examples: ClassVar[tuple[str, ...]] = (
        "residual(mlp(16, 16))",
        "residual(net = mlp(8, activation = tanh), lipschitz = 0.5)",
    )

    net: AbstractNet = Field(description="an `mlp` without normalisation and dropout")
    lipschitz: float = Field(0.9, gt=0, lt=1, description="bound L of the net's Lipschitz constant")

    def infer_type(self, x: Type, c: Type | None) -> Type:
        need_real(self.name, x)
        self.chain()
        if len(x.shape) != 1:
            remedy = "put `flatten` before it" if x.shape else f"declare the event as {x}[1]"
            raise Refusal("DGM304", f"`residual` acts on a vector, and {x} is none", help=(remedy,))
        if x.size > EXACT_LOG_DET:
            raise Refusal(
                "DGM304",
                f"`residual` forms the Jacobian of every sample, for at most {EXACT_LOG_DET} coordinates, and {x} has "
                f"{x.size}",
                help=("use a `coupling`, whose Jacobian is triangular",),
            )
        return x

    def infer_input(self, y: Type, c: Type | None) -> Type:
        return self.infer_type(y, c)

    def chain(self) -> Mlp:
        """The net, as one whose Lipschitz constant is the product of its layers'."""
        net = self.net
        if not isinstance(net, Mlp) or net.normed() or net.dropout or net.inputs is not None:
            has = "normalisation, dropout or features in it" if isinstance(net, Mlp) else f"`{net.name}`"
            raise Refusal(
                "DGM465",
                f"the Lipschitz constant of a chain of layers is certified layer by layer; there is none for {has}",
                argument="net",
                help=("write a plain `mlp(…)`",),
            )
        return net

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian.of(Structure.DENSE, x.size, constant=Fact.NO, unit_det=Fact.NO, orthogonal=Fact.NO)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("O(d² h + d³)", Direction(), Direction("iterative"))

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        use = NetUse((x.shape,), x.shape, context_shape(c))
        return tuple(spec.under("net") for spec in self.chain().net_parameters(use))
