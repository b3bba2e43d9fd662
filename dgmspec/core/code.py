"""What the registry of diagnostics holds: one `Code` for each rule of the language.

The numbers fall into families: 1xx text and limits, 2xx names and types, 3xx shapes and supports, 4xx invertibility,
5xx Jacobian and cost, 6xx continuous arrows, 7xx losses and samplers, 8xx data and training.
"""

import re
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]

_NUMBER = re.compile(r"DGM[1-9]\d\d")


@dataclass(frozen=True, slots=True)
class Code:
    """One rule: what it demands, why, and a spec on either side of it.

    `wrong` is a complete .dgm text that produces this code, `right` the same text put right, which checks without
    errors. A rule that no text can break (a missing file, say) leaves both empty and describes the way to it in
    `wrong_command`, as prose.
    """

    number: str
    severity: Severity
    title: str
    rule: str
    reason: str
    wrong: str = ""
    right: str = ""
    wrong_command: str = ""

    def __post_init__(self) -> None:
        assert _NUMBER.fullmatch(self.number), f"bad code number {self.number}"
        assert bool(self.wrong) != bool(self.wrong_command), f"{self.number}: give `wrong` or `wrong_command`"
        assert bool(self.wrong) == bool(self.right), f"{self.number}: `wrong` and `right` come together"
