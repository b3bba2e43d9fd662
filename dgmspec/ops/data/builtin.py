"""Sources that come with the language: the digits, and sets in the plane whose density is known."""

from __future__ import annotations

import math
from abc import ABC
from typing import Annotated, Any, ClassVar

from pydantic import Field

from dgmspec.core.types import BINARY, CIRCLE, REAL, Type, category, integers
from dgmspec.ops.data.base import AbstractData, Binarize

Count = Annotated[int, Field(ge=1, strict=True)]
Rows = Annotated[int, Field(ge=1, le=100_000_000, strict=True)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]

_PLANE = Type(REAL, (2,))


class Digits(AbstractData):
    """The 1,797 handwritten digits that come with scikit-learn: grey levels 0..16, 8 × 8.

    Gives `x`: integer(0..16)[1, 8, 8], or [64] when flat; with `labels` also `label`: category(10). `binarize` makes
    `x` binary: 1 from half the levels on, or with the level as probability, drawn once by the run's seed
    (`stochastic`), or again at each step of training (`dynamic`), where what is tested is drawn once.
    Source: Alpaydin and Kaynak, UCI Machine Learning Repository, 1998 (its test part).
    """

    name: ClassVar[str] = "digits"
    examples: ClassVar[tuple[str, ...]] = (
        "digits",
        "digits(flat = true)",
        "digits(labels = true)",
        "digits(flat = true, binarize = stochastic)",
        "digits(flat = true, binarize = dynamic)",
    )

    flat: Flag = Field(False, description="one vector of 64 levels, row by row, in place of an image")
    labels: Flag = Field(False, description="also the digit that each image shows")
    binarize: Binarize = Field("none", description="how levels become 0 and 1")

    def columns(self) -> dict[str, Type]:
        support = integers(0, 16) if self.binarize == "none" else BINARY
        image = Type(support, (64,) if self.flat else (1, 8, 8))
        return {"x": image, "label": Type(category(10))} if self.labels else {"x": image}

    def rows_known(self) -> int:
        return 1797


class AbstractToy(AbstractData, ABC):
    """A set in the plane whose density is known: `n` independent rows of `x`: real[2], drawn by `seed`, or by the run's
    seed where none is given."""

    n: int

    def columns(self) -> dict[str, Type]:
        return {"x": _PLANE}

    def rows_known(self) -> int:
        return self.n


_N: Any = Field(20_000, description="rows drawn")
_SEED: Any = Field(None, description="source of the draws; the run's where none is given")


class TwoMoons(AbstractToy):
    """Two interleaving half circles of radius 1, blurred by Gaussian noise (scikit-learn's `make_moons`)."""

    name: ClassVar[str] = "two_moons"
    examples: ClassVar[tuple[str, ...]] = ("two_moons", "two_moons(n = 5_000, noise = 0.1, seed = 1)")

    n: Rows = _N
    noise: Positive = Field(0.05, description="standard deviation around the curves")
    seed: Seed | None = _SEED


class EightGaussians(AbstractToy):
    """Eight equal Gaussians on a circle."""

    name: ClassVar[str] = "eight_gaussians"
    examples: ClassVar[tuple[str, ...]] = (
        "eight_gaussians",
        "eight_gaussians(n = 5_000, radius = 4, noise = 0.5, seed = 1)",
    )

    n: Rows = _N
    radius: Positive = Field(4 / math.sqrt(2), description="distance of the centres from the origin")
    noise: Positive = Field(0.5 / math.sqrt(2), description="standard deviation of each")
    seed: Seed | None = _SEED


class Checkerboard(AbstractToy):
    """Uniform on the dark squares of a board centred at the origin."""

    name: ClassVar[str] = "checkerboard"
    examples: ClassVar[tuple[str, ...]] = ("checkerboard", "checkerboard(n = 5_000, cells = 8, side = 1, seed = 1)")

    n: Rows = _N
    cells: Annotated[int, Field(ge=2, multiple_of=2, strict=True)] = Field(4, description="squares along a side")
    side: Positive = Field(2.0, description="length of a square")
    seed: Seed | None = _SEED


class Circles(AbstractToy):
    """Two concentric circles, blurred by Gaussian noise (scikit-learn's `make_circles`, times 3)."""

    name: ClassVar[str] = "circles"
    examples: ClassVar[tuple[str, ...]] = (
        "circles",
        "circles(n = 5_000, radius = 1, factor = 0.5, noise = 0.08, seed = 1)",
    )

    n: Rows = _N
    radius: Positive = Field(3.0, description="radius of the outer circle")
    factor: Positive = Field(0.5, description="radius of the inner circle over that of the outer")
    noise: Positive = Field(0.24, description="standard deviation around the circles")
    seed: Seed | None = _SEED


class Pinwheel(AbstractToy):
    """Gaussian blades bent into a wheel, each point turned by an angle that grows with its distance from the centre."""

    name: ClassVar[str] = "pinwheel"
    examples: ClassVar[tuple[str, ...]] = (
        "pinwheel",
        "pinwheel(n = 5_000, arms = 7, radial_std = 0.2, tangential_std = 0.05, rate = 0.3, scale = 1, seed = 1)",
    )

    n: Rows = _N
    arms: Count = Field(5, description="number of blades")
    radial_std: Positive = Field(0.3, description="standard deviation along a blade")
    tangential_std: Positive = Field(0.1, description="standard deviation across a blade")
    rate: Finite = Field(0.25, description="how fast the blades turn with the distance from the centre")
    scale: Positive = Field(2.0, description="factor of the whole set")
    seed: Seed | None = _SEED


class Rings(AbstractToy):
    """Four concentric rings at 1/4, 1/2, 3/4 and 1 of a radius, blurred by Gaussian noise."""

    name: ClassVar[str] = "rings"
    examples: ClassVar[tuple[str, ...]] = ("rings", "rings(n = 5_000, radius = 1, noise = 0.03, seed = 1)")

    n: Rows = _N
    radius: Positive = Field(3.0, description="radius of the outermost ring")
    noise: Positive = Field(0.08, description="standard deviation around the rings")
    seed: Seed | None = _SEED


class TwoSpirals(AbstractToy):
    """Two Archimedean spirals, one the other's reflection in the origin, blurred by Gaussian noise."""

    name: ClassVar[str] = "two_spirals"
    examples: ClassVar[tuple[str, ...]] = (
        "two_spirals",
        "two_spirals(n = 5_000, turns = 1, scale = 0.5, noise = 0.2, seed = 1)",
    )

    n: Rows = _N
    turns: Positive = Field(1.5, description="turns of each arm")
    scale: Positive = Field(1 / 3, description="distance from the origin over the angle")
    noise: Positive = Field(0.1, description="standard deviation around the arms")
    seed: Seed | None = _SEED


class SwissRoll(AbstractToy):
    """One Archimedean spiral, the Swiss roll seen from the side, blurred by Gaussian noise."""

    name: ClassVar[str] = "swiss_roll"
    examples: ClassVar[tuple[str, ...]] = ("swiss_roll", "swiss_roll(n = 5_000, scale = 0.1, noise = 0.1, seed = 1)")

    n: Rows = _N
    scale: Positive = Field(0.2, description="distance from the origin over the angle")
    noise: Positive = Field(0.2, description="standard deviation around the arm")
    seed: Seed | None = _SEED


class Torus(AbstractToy):
    """Two clusters of pairs of angles that wind around a torus: `x` is circle[2]."""

    name: ClassVar[str] = "torus"
    examples: ClassVar[tuple[str, ...]] = ("torus", "torus(n = 5_000, concentration = 2, seed = 1)")

    n: Rows = _N
    concentration: Positive = Field(4.0, description="how narrow both von Mises laws are")
    seed: Seed | None = _SEED

    def columns(self) -> dict[str, Type]:
        return {"x": Type(CIRCLE, (2,))}
