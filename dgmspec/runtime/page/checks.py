"""The self-check of a run as a table: what is proved, what was tried, what is assumed."""

from __future__ import annotations

from typing import Any

from dgmspec.core.markup import Html, join, tag
from dgmspec.runtime.findings import STATISTICAL
from dgmspec.runtime.page.material import Material

__all__ = ["checks_section"]


def checks_section(material: Material) -> Html:
    """What is proved, what was tried with its worst error, and what is assumed."""
    found = material.verification
    groups: dict[str, list[Any]] = {}
    for finding in found.findings:
        groups.setdefault(finding.claim, []).append(finding)
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
    rows += [_claim(claim, group) for claim, group in groups.items()]
    assumed = list(dict.fromkeys(reason for flow in found.flows for reason in flow.assumed)) or ["nothing"]
    rows += [
        tag("tr", _word("assumed", "warning"), tag("th", reason, scope="row"), tag("td"), tag("td"))
        for reason in assumed
    ]
    head = tag("tr", *(tag("th", name, scope="col") for name in ("", "claim", "tried", "worst error")))
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="dgm-table")
    said = f"Every claim tried numerically in float64: {found.points}."
    return join([tag("p", said, class_="dgm-soft"), tag("div", table, class_="dgm-scroll")])


def _claim(claim: str, group: list[Any]) -> Html:
    tried = [f for f in group if f.error is not None]
    broken = [f for f in tried if not f.holds]
    if not tried:
        word, role, times, worst = "not tried", "soft", str(group[0].reason), ""
    else:
        word, role = ("VIOLATED", "error") if broken else ("checked", "note")
        times = f"{len(tried)} of {len(group)}" if len(tried) < len(group) else f"{len(tried)}"
        most = max(broken or tried, key=lambda f: f.error / f.tolerance)
        unit = " standard errors" if claim in STATISTICAL else ""
        worst = f"{most.error:.1e}{unit}, allowed {most.tolerance:.1e}" + (f", at {most.step}" if most.error else "")
    return tag("tr", _word(word, role), tag("th", claim, scope="row"), tag("td", times), tag("td", worst))


def _word(word: str, role: str) -> Html:
    return tag("td", tag("span", word, class_=f"dgm-{role}"))
