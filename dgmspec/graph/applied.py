"""A named net standing as a parameter of a distribution: ``normal(h(c))``."""

from __future__ import annotations

from typing import ClassVar, Literal

from dgmspec.core.address import Address
from dgmspec.core.nets import AbstractNet, NetUse
from dgmspec.core.parameters import ParamSpec
from dgmspec.graph.graph import ValueId

__all__ = ["AppliedNet"]


class AppliedNet(AbstractNet):
    """One use of a named net whose value has no type of its own: the parameters decide how many numbers it gives."""

    name: str  # type: ignore[misc]  # each use is called what its net is called
    written: ClassVar[bool] = False

    of: AbstractNet | Literal["external"]
    address: Address
    inputs: tuple[ValueId, ...]
    label: str

    def net_parameters(self, use: NetUse) -> tuple[ParamSpec, ...]:
        return () if self.of == "external" else self.of.net_parameters(use)
