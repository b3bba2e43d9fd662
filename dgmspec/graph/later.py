"""Names of the language that later versions give code to: known here so that messages can say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LATER: Final[Mapping[str, tuple[str, ...]]] = {
    "loss": (
        "fisher",
        "flow_matching",
        "cd",
        "kinetic",
        "jacobian",
    ),
}
"""By role. An entry that the library has is never read here: the library comes first."""

MEMBERS: Final[Mapping[str, str]] = {
    "learn": "a learned function (`learn … = net`)",
}
"""Members of a model that are documents already and are not compiled yet, in words."""

LATER_SETTINGS: Final[Mapping[str, tuple[str, ...]]] = {"train": ("weights",), "sample": ()}
"""Settings of train and sample blocks, likewise."""
