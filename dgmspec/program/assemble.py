"""A finished program from a list of instructions: what no result needs is dropped, last uses are marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dgmspec.program.listing import Listing
from dgmspec.program.liveness import last_uses, live
from dgmspec.program.program import Entry, Phase, Program, Slot, weakest

__all__ = ["assemble"]


def assemble(phase: Phase, listing: Listing, outputs: Mapping[str, Slot], ledger: Iterable[Entry]) -> Program:
    """The program of what was listed."""
    entries = tuple(ledger)
    kept = live(listing.instructions, outputs.values())
    used = {slot for line in kept for slot in line.inputs} | set(outputs.values())
    # A sampler reads its contexts once for both of its programs.
    always = {"variable", "given"} if phase in ("before", "after") else {"variable"}
    inputs = tuple(i for i in listing.inputs if i.slot in used or i.kind in always)
    return Program(
        phase=phase,
        inputs=inputs,
        instructions=last_uses(kept, outputs.values()),
        outputs=outputs,
        ledger=entries,
        slots=listing.slots,
        density=weakest(entries),
        batches=any(i.kind == "variable" for i in inputs),
    )
