"""Settings of the language that later versions give code to: known here so that messages can say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LATER_SETTINGS: Final[Mapping[str, tuple[str, ...]]] = {"train": ("weights",), "sample": ()}
"""Of train and sample blocks."""
