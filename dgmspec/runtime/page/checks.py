"""The self-check of a run as a table: what is proved, what was tried, what is assumed."""

from __future__ import annotations

from dgmspec.core.markup import Html, join, tag
from dgmspec.runtime.findings import Outcome, outcomes
from dgmspec.runtime.page.material import Material

__all__ = ["checks_section"]


def checks_section(material: Material) -> Html:
    """What is proved, what was tried with its worst error, and what is assumed."""
    found = material.verification
    rows = [
        tag(
            "tr",
            _word("proved", "help"),
            tag("th", f"{f.source} → {f.target}", scope="row"),
            tag("td", "; ".join(f.proved)),
            tag("td"),
        )
        for f in found.flows
    ]
    rows += map(_claim, outcomes(found.findings))
    rows += [
        tag("tr", _word("assumed", "warning"), tag("th", reason, scope="row"), tag("td"), tag("td"))
        for reason in found.assumed
    ]
    head = tag("tr", *(tag("th", name, scope="col") for name in ("", "claim", "tried", "worst error")))
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="dgm-table")
    said = f"Every claim tried numerically in float64: {found.points}."
    return join([tag("p", said, class_="dgm-soft"), tag("div", table, class_="dgm-scroll")])


def _claim(outcome: Outcome) -> Html:
    role = {"not tried": "soft", "VIOLATED": "error", "checked": "note"}[outcome.status]
    times, error = outcome.findings[0].reason, ""
    if outcome.tried:
        worst = outcome.worst
        times, where = outcome.times, f", at {worst.step}" if worst.error else ""
        error = f"{worst.error:.1e}{outcome.unit}, allowed {worst.tolerance:.1e}{where}"
    cells = (tag("th", outcome.claim, scope="row"), tag("td", times), tag("td", error))
    return tag("tr", _word(outcome.status, role), *cells)


def _word(word: str, role: str) -> Html:
    return tag("td", tag("span", word, class_=f"dgm-{role}"))
