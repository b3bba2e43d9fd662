"""Where in the text each address was written."""

from collections.abc import Iterator, Mapping

from dgmspec.core.address import Address, prefixes
from dgmspec.core.diagnostics import Span


class SourceMap:
    """Spans by address. Called with an address it gives the span of that place, or of the nearest place around it."""

    __slots__ = ("_spans",)

    def __init__(self, spans: Mapping[Address, Span] | None = None) -> None:
        self._spans = dict(spans or {})

    def __call__(self, address: Address) -> Span | None:
        """The span for a message about `address`: turns of repeats point at the text that they repeat."""
        return self.nearest(self._spans, address)

    @staticmethod
    def nearest(spans: Mapping[Address, Span], address: Address) -> Span | None:
        """The span of `address` as written, or of the nearest address above it that has one."""
        return next((spans[at] for at in prefixes(address) if at in spans), None)

    def exact(self, address: Address) -> Span | None:
        """The span recorded for this very address, or None."""
        return self._spans.get(address)

    def __contains__(self, address: Address) -> bool:
        return address in self._spans

    def __iter__(self) -> Iterator[Address]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)
