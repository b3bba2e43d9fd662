"""`residual`: the identity plus a contraction, certified by the norms of its weights."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from pydantic import Field

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Fact, Jacobian, Structure
from dgmspec.core.nets import AbstractNet, NetUse
from dgmspec.core.parameters import Draw, ParamSpec
from dgmspec.core.steps import AbstractStep, Cost, Direction
from dgmspec.core.types import Type
from dgmspec.ops.nets import Conv, Mlp, context_shape
from dgmspec.ops.structure import need_real

EXACT_LOG_DET: Final = 256
"""Largest vector whose log-determinant is computed: it forms the Jacobian of every sample."""

EXACT_IMAGE: Final = 64
"""Largest image likewise: each layer carries an image of all its channels for every coordinate."""

REFINED: Final = 20
"""Terms of the series that are always taken where nothing trains."""


class Residual(AbstractStep):
    """An invertible residual block: the identity plus a net that contracts.

    Formula: ``y = x + g(x, c)`` with ``|g(x) - g(x')| ≤ L |x - x'|``, L < 1: each weight that x passes through is
    scaled down to the spectral norm L^(1/n) where it is larger, n the number of layers (its norm is bounded from above
    by the Schatten norm of order 514, a certificate and no estimate; that of a convolution by the largest Schatten norm
    of its symbol over all frequencies); activations are scaled to slope at most 1, and so is what a context multiplies
    them with.
    Shapes: ``[d]`` -> ``[d]``, with a `conv` ``[c, h, w]`` -> ``[c, h, w]``. Domain: real -> real, onto (Banach).
    Log-determinant: ``log det(I + J)``, J = ∂g/∂x. ``exact`` (the choice for at most 256 coordinates of a vector, 64 of
    an image): tangents through the known net, O(d² h + d³) a sample. ``series`` (the choice beyond): an unbiased
    estimate of ``Σ_k (-1)^(k+1) tr(J^k) / k``. A probe v of random signs gives ``vᵀ J^k v`` for the trace; the first
    `terms` terms (20 or more where nothing trains) are always taken, each further one after the last with probability
    q = l^1.5, l ≤ L the product of the layers' norms, and then divided by the chance to get there: q / (1 - q) more on
    average, O(d h) each. As q > l² the variance is finite.
    Its gradient is the unbiased estimate ``vᵀ Σ_k (-1)^k J^k ∂J v``, which needs the memory of one term.
    Caveat: of ``series`` only first derivatives are estimated, and its loops wait for the device. The inverse takes
    Newton steps where they shrink the error by more than L, else steps of the fixed point ``x ← y - g(x)``, which
    always shrink it by L; a fixed number of them, and NaN where that was not enough. With ``series`` all steps are of
    the fixed point, to rounding.
    Reference: Behrmann, Grathwohl, Chen, Duvenaud and Jacobsen, Invertible residual networks, ICML 2019, theorem 1;
    Chen, Behrmann, Duvenaud and Jacobsen, Residual flows for invertible generative modeling, NeurIPS 2019, sections 3.1
    and 3.2.
    """

    name: ClassVar[str] = "residual"
    examples: ClassVar[tuple[str, ...]] = (
        "residual(mlp(16, 16))",
        "residual(net = mlp(8, activation = tanh), lipschitz = 0.5)",
        "residual(mlp(8), log_det = series, terms = 2)",
        "residual(conv(4, kernel = [3, 1]))",
    )

    net: AbstractNet = Field(description="an `mlp`, or of images a `conv`, without normalisation and dropout")
    lipschitz: float = Field(0.9, gt=0, lt=1, description="bound L of the net's Lipschitz constant")
    log_det: Literal["exact", "series"] | None = Field(
        None, description="computed, or an unbiased estimate; by default by the size of the event"
    )
    terms: int = Field(4, ge=1, le=1000, description="terms of the series that training always takes")

    def infer_type(self, x: Type, c: Type | None) -> Type:
        need_real(self.name, x)
        image = isinstance(self.chain(), Conv)
        if len(x.shape) != (3 if image else 1):
            reads, remedy = "a vector", "put `flatten` before it" if x.shape else f"declare the event as {x}[1]"
            if image:
                reads, remedy = "an image [c, h, w]", "write `mlp` in its place"
            raise Refusal("DGM304", f"`residual({self.net.name})` acts on {reads}, and {x} is none", help=(remedy,))
        return x

    def infer_input(self, y: Type, c: Type | None) -> Type:
        return self.infer_type(y, c)

    def chain(self) -> Mlp | Conv:
        """The net, as one whose Lipschitz constant is the product of its layers'."""
        net = self.net
        known = isinstance(net, (Mlp, Conv))
        if not isinstance(net, (Mlp, Conv)) or net.normed() or net.dropout or net.input_embedding() is not None:
            has = "normalisation, dropout or features in it" if known else f"`{net.name}`"
            raise Refusal(
                "DGM465",
                f"the Lipschitz constant of a chain of layers is certified layer by layer; there is none for {has}",
                argument="net",
                help=("write a plain `mlp(…)`, or of images a plain `conv(…)`",),
            )
        return net

    # ---- what the log-determinant is --------------------------------------------------------------------------------

    def settled(self, x: Type) -> Residual:
        if self.log_det is not None:
            return self
        largest = EXACT_IMAGE if isinstance(self.net, Conv) else EXACT_LOG_DET
        return self.model_copy(update={"log_det": "exact" if x.size <= largest else "series"})

    def tightened(self) -> Residual:
        return self.model_copy(update={"log_det": "exact"})

    @property
    def density(self) -> Literal["exact", "estimate", "lower bound"]:  # type: ignore[override]  # as is the log-det
        return "estimate" if self.log_det == "series" else "exact"

    def draws(self, x: Type) -> tuple[Draw, ...]:
        probe = Draw("probe", x.shape, "rademacher"), Draw("stop", (), "exponential")
        return probe if self.log_det == "series" else ()

    def inverse_draws(self, x: Type) -> tuple[Draw, ...]:
        return self.draws(x)

    def stochastic(self, x: Type) -> bool:
        return False

    # ---- facts ------------------------------------------------------------------------------------------------------

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian.of(Structure.DENSE, x.size, constant=Fact.NO, unit_det=Fact.NO, orthogonal=Fact.NO)

    def cost(self, x: Type, c: Type | None) -> Cost:
        log_det = "O(d h) a term, an estimate" if self.log_det == "series" else "O(d² h + d³)"
        return Cost(log_det, Direction(), Direction("iterative"))

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        use = NetUse((x.shape,), x.shape, context_shape(c))
        return tuple(spec.under("net") for spec in self.chain().net_parameters(use))
