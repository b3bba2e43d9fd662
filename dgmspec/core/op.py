"""The abstract operation: what every entry of the library declares, without a line of torch.

An operation is a frozen pydantic class with concrete fields; its fields, in order, are its argument schema in the
language (``rqs(bins = 8, bound = 3.0)``). `lower` evaluates a call's arguments and only then builds the class. Facts
follow from the fields and the types alone: the type it gives, its Jacobian, the cost of each direction, the parameters
it owns. The torch code is a twin of the same name and path in ``modules/``.

A mistake of the author that only the operation can see (an odd size, a bad range) is raised as `Refusal`, which the
graph room turns into a located diagnostic. The kinds of operation are the abstract classes of the files beside this one
(`steps`, `scalars`, `masking`, `nets`, `distributions`, `losses`, `samplers`) and of those families in ``ops/`` that
need one.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class AbstractOp(BaseModel, ABC):
    """An entry of the library. `role` is the list of names it is looked up in; `name` its name there."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)

    role: ClassVar[str]
    name: ClassVar[str]
    written: ClassVar[bool] = True
    """Whether authors write it; what the compiler alone puts into a graph is no entry of the library."""
    examples: ClassVar[tuple[str, ...]] = ()
    """Calls as an author writes them, at least one per argument: the law tests, docs and generators use them."""

    def equations(self) -> tuple[tuple[str, Any], ...]:
        """The updates that define it, (what changes, its formula), where an author wrote them."""
        return ()


@dataclass(frozen=True)
class Variadic:
    """Marks the tuple field that takes all positional arguments: ``mlp(64, 64)``, ``mixture(a, b)``."""


@dataclass(frozen=True)
class Keywords:
    """Marks the tuple field of (name, value) pairs that takes arguments of all other names: ``npz("a", x = "k")``."""
