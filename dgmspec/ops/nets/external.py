"""A network of the user's own, handed over from Python, where a formula reads it."""

from __future__ import annotations

from typing import ClassVar

from dgmspec.core.nets import AbstractNet, NetUse
from dgmspec.core.parameters import ParamSpec

__all__ = ["External"]


class External(AbstractNet):
    """``net f(x, t) = external``: a torch module that ``compile(spec, nets={"f": module})`` supplies with its weights.

    It is called with what it is applied to, (batch, *event) each, the time too as it is, and gives (batch, *value).
    """

    name: ClassVar[str] = "external"
    written: ClassVar[bool] = False

    def net_parameters(self, use: NetUse) -> tuple[ParamSpec, ...]:
        return ()
