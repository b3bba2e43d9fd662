"""Conditioners: where the raw parameters of a scalar bijector come from.

`elementwise` learns them (or reads them off the context), `coupling` computes them from the untouched coordinates,
`autoregressive` from the coordinates before. Each works with every scalar bijector, and each is triangular, so its
log-determinant is the sum of the scalar log-derivatives. Events of any shape are read as flat vectors, row-major.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import EXACT_UP_TO, Dependency, Fact, Jacobian, Structure, row_bits
from dgmspec.core.masking import AbstractMask, AbstractOrder
from dgmspec.core.nets import AbstractNet, NetUse
from dgmspec.core.parameters import Init, ParamSpec
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.steps import AbstractStep, Cost, Direction, Facts
from dgmspec.core.types import REAL, Part, Shape, Support, Type
from dgmspec.ops.masks import image_shape, parts, require_divisible
from dgmspec.ops.nets import AbstractMasked, Mlp, context_shape, features, masked_net, masked_use
from dgmspec.ops.orders import Natural


class Elementwise(AbstractStep):
    """``y_i = T(x_i; θ_i)``: one set of learned constants per coordinate, or with a context ``θ = net(c)``.

    Shapes: any event, kept. Domain -> codomain: that of T. Log-det: Σ log|T'|, O(d); O(1) where the slope is constant.
    Parameters: ``raw`` (number of raw parameters, *event), none where T has none, those of the net with a context.
    A scalar bijector without parameters written as a step is this one.
    """

    name: ClassVar[str] = "elementwise"
    examples: ClassVar[tuple[str, ...]] = ("elementwise(affine)", "elementwise(rqs(4), net = mlp(8))")

    scalar: AbstractScalar = Field(description="the scalar bijector T")
    net: AbstractNet = Field(Mlp(hidden=(64,)), description="the net that reads the context, where there is one")

    @property
    def part(self) -> Part | None:
        return self.scalar.part()

    @property
    def density(self) -> Literal["exact", "lower bound"]:  # type: ignore[override]  # it depends on the scalar
        return "lower bound" if self.part else "exact"

    def infer_type(self, x: Type, c: Type | None) -> Type:
        self.scalar.fixed(x.size)
        return x.with_support(self.scalar.image(x.support))

    def infer_input(self, y: Type, c: Type | None) -> Type:
        self.scalar.fixed(y.size)
        return y.with_support(self.scalar.preimage(y.support))

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        if self.scalar.fixed(x.size) and not self.scalar.unit_slope():
            return Jacobian.of(Structure.DIAGONAL, x.size, constant=Fact.YES)
        constant, unit = _slopes(self.scalar)
        return Jacobian.of(Structure.DIAGONAL, x.size, constant, unit, orthogonal=unit)

    def cost(self, x: Type, c: Type | None) -> Cost:
        net = 1 if self.reads(x, c) else 0
        log_det = "O(1)" if self.scalar.constant_slope() and not net else "O(d)"
        return Cost(log_det, *self.scalar.directions(net))

    def facts(self, x: Type, c: Type | None) -> Facts:
        return self.scalar.facts(x.support)

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        raw = self.scalar.raw(x.support)
        if not raw:
            return ()
        if self.reads(x, c):
            use = NetUse((), (len(raw) * x.size,), context_shape(c), zero=True)
            return tuple(spec.under("net") for spec in self.net.net_parameters(use))
        return (ParamSpec("raw", (len(raw), *x.shape), _together(raw, x.size)),)

    def reads(self, x: Type, c: Type | None) -> bool:
        """Whether the raw parameters are a net of the context."""
        return c is not None and bool(self.scalar.raw(x.support))


class Coupling(AbstractStep):
    """``y_A = x_A``, ``y_B = T(x_B; net(x_A, c))``: part A, which the mask names, is untouched and read by the net.

    Shapes: any event, kept; of an angle the net reads cosine and sine. Domain -> codomain: a support that T maps onto
    itself. Log-det: Σ_B log|T'|, O(d), one pass of the net each way. Part A may be empty where there is a context; part
    B may not. A net of images reads an event [c, h, w]: a part of whole channels is an image of these, any other is the
    event with zeros elsewhere.
    Parameters: those of the net, whose last layer starts at zero, so that the step starts at T(·; 0).
    Reference: Dinh, Krueger and Bengio 2015, "NICE", section 3.
    """

    name: ClassVar[str] = "coupling"
    examples: ClassVar[tuple[str, ...]] = (
        "coupling(affine, mask = alternate(0), net = mlp(8, 8))",
        "coupling(inverse rqs(4), mask = random(1), net = mlp(8))",
        "coupling(affine, mask = checkerboard(1), net = conv(4))",
        "coupling(rqs(4), mask = channels(0), net = resnet(4, blocks = 1))",
    )

    scalar: AbstractScalar = Field(description="the scalar bijector T")
    mask: AbstractMask = Field(description="which coordinates stay untouched")
    net: AbstractNet = Field(description="the net from the untouched coordinates to the parameters of the others")

    def infer_type(self, x: Type, c: Type | None) -> Type:
        kept, moved = self.parts(x.shape)
        _require_parameters(self, self.scalar, x.support)
        if not moved or not (kept or c):
            part = "transformed" if not moved else "untouched"
            raise Refusal(
                "DGM402",
                f"the mask leaves no {part} coordinate in an event of {x.size}",
                argument="mask",
                help=("`elementwise` takes the same scalar bijector with learned constants",),
            )
        if x.support.circular and self.by_image(x.shape):
            raise Refusal(
                "DGM313",
                f"`{self.net.name}` would read angles as numbers, with a jump at ±π",
                argument="net",
                help=("write an `mlp`, which reads the cosine and the sine of each angle",),
            )
        image = self.scalar.image(x.support)
        if image != x.support:
            raise Refusal(
                "DGM440",
                f"the coupling takes some coordinates onto {image.describe()} and leaves others in "
                f"{x.support.describe()}",
                help=(
                    "use a scalar bijector that maps the support onto itself, such as `rqs`, or `sigmoid_mixture`, "
                    "which is `logistic_mixture_cdf` and then `logit`",
                ),
            )
        return x

    def infer_input(self, y: Type, c: Type | None) -> Type:
        return self.infer_type(y, c)

    def untouched(self, x: Type) -> tuple[int, ...] | None:
        return self.parts(x.shape)[0]

    def divides(self, x: Type) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        return self.parts(x.shape)

    def parts(self, shape: Shape) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The flat indices of part A (untouched) and of part B (transformed), ascending."""
        return parts(self.mask, shape)

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        kept, moved = self.parts(x.shape)
        constant, unit = _slopes(self.scalar)
        if kept:
            constant = Fact.NO
        orthogonal = Fact.NO if kept else unit
        if x.size > EXACT_UP_TO:
            return Jacobian(Structure.BLOCK_TRIANGULAR, None, constant, unit, orthogonal)
        rows, read = [1 << i for i in range(x.size)], row_bits(kept)
        for i in moved:
            rows[i] |= read
        return Jacobian(Structure.BLOCK_TRIANGULAR, Dependency(tuple(rows), x.size), constant, unit, orthogonal)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("O(1)" if self.scalar.unit_slope() else "O(d)", *self.scalar.directions(1))

    def facts(self, x: Type, c: Type | None) -> Facts:
        return self.scalar.facts(x.support)

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        kept, moved = self.parts(x.shape)
        planes, context = len(self.scalar.raw(x.support)), context_shape(c)
        if self.by_image(x.shape):
            read = (image_shape(x.shape, kept),) if kept else ()
            channels, *sides = image_shape(x.shape, moved)
            use = NetUse(read, (planes * channels, *sides), context, zero=True)
        else:
            use = NetUse(((features(x.support) * len(kept),),), (planes * len(moved),), context, zero=True)
        return tuple(spec.under("net") for spec in self.net.net_parameters(use))

    def by_image(self, shape: Shape) -> bool:
        """Whether the net reads part A as an image: its outputs are then an image of parameters, read at part B."""
        return self.net.reads == "image" and len(shape) == 3


class Autoregressive(AbstractStep):
    """``y_i = T(x_i; net(x_j before i, c))``: the parameters of a coordinate read those before it in the order.

    Shapes: any event, kept; of an angle the net reads cosine and sine. Domain -> codomain: that of T. Log-det:
    Σ log|T'|, O(d). Forward is one pass of the masked net. The inverse finds one level of the order after the other (in
    a linear order one coordinate, d dependent passes; over a graph all coordinates whose parents are known), each pass
    computing only the hidden units that have become determined: the arithmetic of about one pass of the net.
    Parameters: those of the masked net, stored with their zeros; its last layer starts at zero.
    Reference: Papamakarios, Pavlakou and Murray 2017, "Masked autoregressive flow for density estimation"; as an
    ``inverse`` it is that of Kingma et al. 2016, "Improving variational inference with inverse autoregressive flow".
    """

    name: ClassVar[str] = "autoregressive"
    examples: ClassVar[tuple[str, ...]] = (
        "autoregressive(affine, net = made(16, 16))",
        "autoregressive(rqs(4), order = random(2), net = mlp(16))",
        "inverse autoregressive(affine, net = made(16))",
        "autoregressive(affine, order = raster(1), net = masked_conv(4))",
    )

    scalar: AbstractScalar = Field(description="the scalar bijector T")
    order: AbstractOrder = Field(Natural(), description="in which order coordinates are conditioned")
    net: AbstractNet = Field(
        description="made, masked_conv on images, or an mlp or resmlp that is read as its masked version"
    )

    def infer_type(self, x: Type, c: Type | None) -> Type:
        self._require(x, c)
        return x.with_support(self.scalar.image(x.support))

    def infer_input(self, y: Type, c: Type | None) -> Type:
        x = y.with_support(self.scalar.preimage(y.support))
        self._require(x, c)
        return x

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        _, unit = _slopes(self.scalar)
        order = self.order.precedence(x.shape)
        if x.size > EXACT_UP_TO:
            named = {tuple(range(x.size)): Structure.LOWER, tuple(reversed(range(x.size))): Structure.UPPER}
            return Jacobian(named.get(order.ranks, Structure.BLOCK_TRIANGULAR), None, Fact.NO, unit, Fact.NO)
        seen = self.masked().seen(x.shape, order, c is not None)
        pattern = Dependency(tuple(row | 1 << i for i, row in enumerate(seen)), x.size)
        return Jacobian(Structure.BLOCK_TRIANGULAR, pattern, Fact.NO, unit, Fact.NO)

    def cost(self, x: Type, c: Type | None) -> Cost:
        forward, _ = self.scalar.directions(1)
        depth = max(self.masked().levels(x.shape, self.order.precedence(x.shape))) + 1
        return Cost("O(1)" if self.scalar.unit_slope() else "O(d)", forward, Direction("sequential", depth))

    def facts(self, x: Type, c: Type | None) -> Facts:
        return self.scalar.facts(x.support)

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        use = masked_use(self.net, x, len(self.scalar.raw(x.support)), c)
        specs = self.masked().masked_parameters(use, self.order.precedence(x.shape))
        return tuple(spec.under("net") for spec in specs)

    def masked(self) -> AbstractMasked:
        """The net, as one that can be masked."""
        return masked_net(self.net)

    def _require(self, x: Type, c: Type | None) -> None:
        """Refuse a scalar without parameters, a net that cannot be masked, a lone coordinate without a context."""
        require_divisible(x.size)
        _require_parameters(self, self.scalar, x.support)
        self.masked()
        self.order.precedence(x.shape)
        if x.size == 1 and c is None:
            raise Refusal(
                "DGM443",
                "an event of one coordinate has none before it to condition on",
                help=("`elementwise` takes the same scalar bijector with learned constants",),
            )


def as_step(scalar: AbstractScalar) -> AbstractStep:
    """A scalar bijector written as a step: itself in every coordinate, refused where it has parameters."""
    if scalar.raw(REAL):
        name = scalar.spelled()
        raise Refusal(
            "DGM442",
            f"`{name}` has parameters, and nothing here says where they come from",
            help=(f"write `elementwise({name})` for learned constants, or a `coupling` or `autoregressive` of it",),
        )
    return Elementwise(scalar=scalar)


def _slopes(scalar: AbstractScalar) -> tuple[Fact, Fact]:
    """Whether the slope is constant in x, and whether it is ±1."""
    return (
        Fact.YES if scalar.constant_slope() else Fact.NO,
        Fact.YES if scalar.unit_slope() else Fact.NO,
    )


def _require_parameters(step: AbstractStep, scalar: AbstractScalar, support: Support) -> None:
    """Refuse a conditioner of a scalar bijector that has nothing to condition."""
    if not scalar.raw(support):
        name = scalar.spelled()
        raise Refusal(
            "DGM441",
            f"`{name}` has no parameters for the net of `{step.name}` to give",
            argument="scalar",
            help=(f"write `{name}` as a step by itself",),
        )


def _together(raw: tuple[Init, ...], size: int) -> Init:
    """One start for all planes of learned constants: the common one, or the list of each plane's constant."""
    if len(set(raw)) == 1:
        return raw[0]
    assert all(init.kind == "constant" for init in raw), "planes that start differently start at constants"
    return Init("values", data=tuple(init.value for init in raw for _ in range(size)))
