"""`empirical`: the law of a row of data, so that an arrow can start from data."""

from __future__ import annotations

import math
from typing import ClassVar, Final, Literal

from pydantic import Field

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.parameters import Draw, Init, ParamSpec
from dgmspec.core.types import Support, Type
from dgmspec.ops.data import AbstractData, NamedData

LARGEST: Final = 2**26
"""Numbers that a law keeps at most: 256 MiB in float32, in memory, in every checkpoint and in the saved model."""


class Empirical(AbstractDistribution):
    """A row of a data source, each as likely as any other.

    Formula: ``x = rows[⌊u n⌋]``, u uniform on (0, 1) and n the number of rows that are kept.
    Shapes: any; the source gives events of the variable's type.
    Support: the variable's own. There is no density: losses and samplers that need one are refused (DGM740), and those
    that draw, `flow_matching` above all, carry the rows to the data.
    Rows: a source with more than `rows` gives as many of them, drawn by the seed. Those of a source that comes with the
    language are there once the model is compiled; those of a file are recorded when training begins, or by
    ``model.set_rows``. They are kept with the weights and never trained.
    Caveat: draws repeat rows. A law with a density near the rows' is a `mixture` at their clusters.
    Reference: Tong et al. 2024, "Improving and generalizing flow-based generative models with minibatch optimal
    transport", for data at both ends of a flow.
    """

    name: ClassVar[str] = "empirical"
    examples: ClassVar[tuple[str, ...]] = ("empirical(two_moons)", "empirical(source = two_moons, rows = 500)")
    density: ClassVar[Literal["exact", "estimate", "none"]] = "none"

    source: AbstractData = Field(description="a data source, or the name that the file gives one")
    rows: int = Field(10_000, ge=1, le=1_000_000, strict=True, description="rows that are kept at most")

    def data(self) -> tuple[AbstractData, str | None]:
        return (self.source.of, self.source.label) if isinstance(self.source, NamedData) else (self.source, None)

    def kept(self) -> int:
        """How many rows there is room for."""
        known = self.data()[0].rows_known()
        return self.rows if known is None else min(self.rows, known)

    def support(self, type_: Type) -> Support:
        numbers = self.kept() * math.prod(type_.shape)
        if numbers > LARGEST:
            raise Refusal(
                "DGM490",
                f"{self.kept():,} rows of {type_} are {numbers:,} numbers, and a law keeps at most {LARGEST:,}",
                argument="rows",
                help=(f"keep fewer: `rows = {max(1, LARGEST // math.prod(type_.shape)):_}`",),
            )
        return type_.support

    def own_parameters(self, type_: Type, given: Type | None = None) -> tuple[ParamSpec, ...]:
        return (
            ParamSpec("rows", (self.kept(), *type_.shape), Init("constant", math.nan), trainable=False),
            ParamSpec("count", (), trainable=False),
        )

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        return (Draw("row", ()),)
