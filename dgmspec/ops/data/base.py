"""What every data source declares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from dgmspec.core.op import AbstractOp
from dgmspec.core.types import Type

Binarize = Literal["none", "threshold", "stochastic", "dynamic"]
White = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]


class Bits(AbstractOp):
    """One variable's grey levels as bits, beside the other variables of a file: ``x = binarize(stochastic)``.

    1 from half of `white` on (``threshold``), or with the level's share of it as probability, drawn once by the run's
    seed (``stochastic``), or again at each step of training (``dynamic``), where what is tested is drawn once.
    Reference: Salakhutdinov and Murray 2008, "On the quantitative analysis of deep belief networks", MNIST drawn once;
    Burda, Grosse and Salakhutdinov 2016, "Importance weighted autoencoders", section 5, at each step.
    """

    role: ClassVar[str] = "bits"
    name: ClassVar[str] = "binarize"
    examples: ClassVar[tuple[str, ...]] = ("binarize(stochastic)", "binarize(how = dynamic, white = 255)")

    how: Literal["threshold", "stochastic", "dynamic"] = Field(description="how levels become 0 and 1")
    white: White | None = Field(None, description="the level that is surely 1, where the numbers do not tell")


class AbstractData(AbstractOp, ABC):
    """A source of rows. Its columns go to the variables of their names, others to the rest in order of declaration."""

    role: ClassVar[str] = "data"

    @abstractmethod
    def columns(self) -> dict[str, Type] | None:
        """The type of each column by its name; None where only a file tells."""

    def rows_known(self) -> int | None:
        """How many rows it gives; None where only a file tells."""
        return None

    def mapping(self) -> Mapping[str, int | None]:
        """The variables that arguments name, each with the number of columns it is given; None where a file tells."""
        return {}

    def bits(self) -> Mapping[str, Bits]:
        """The variables that are binarised by themselves, each with how."""
        return {}

    def arguments(self) -> dict[str, Any]:
        """What the run-time source takes besides the seed of its draws."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "seed"}


class NamedData(AbstractData):
    """A source under the name that its file gives it: ``data start = two_moons`` and then ``empirical(start)``."""

    name: ClassVar[str] = "named"
    written: ClassVar[bool] = False

    of: AbstractData
    label: str

    def columns(self) -> dict[str, Type] | None:
        return self.of.columns()
