"""The sections of a report, each from its material to HTML; an empty one is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from dgmspec.checks.explain_html import drawing_html, flows_html
from dgmspec.checks.explain_table import explain_table
from dgmspec.core.markup import Html, join, tag
from dgmspec.core.png import file_uri
from dgmspec.runtime.page.checks import checks_section
from dgmspec.runtime.page.material import Entry, Material
from dgmspec.runtime.page.processes import processes_section
from dgmspec.runtime.page.training import training_section
from dgmspec.runtime.page.views import samples_section
from dgmspec.runtime.progress import rate
from dgmspec.runtime.report import OK, loss_unit, rows_of
from dgmspec.runtime.task import FROM_PYTHON
from dgmspec.syntax.highlight import highlight

__all__ = ["SECTIONS", "header"]

_EMPTY: Final = Html("")

_DENSITY: Final = {
    "exact": "no bound, no estimate",
    "estimate": "unbiased, from random draws",
    "lower bound": "log p is at least as large",
    "none": "the model has none",
    "unnormalised": "the model has it up to a constant",
}


def header(material: Material, links: Html) -> Html:
    """Name, verdict, and the figures that matter, each with its unit and what it is of."""
    report = material.report
    good = report["verdict"] == OK and material.verification.holds
    said = "Sound: the figures can be right, and no claim was refuted" if good else "Not sound: " + _failure(material)
    return tag(
        "header",
        tag("h1", report["model"]),
        tag("p", "Report of the run ", tag("code", material.path), class_="under"),
        tag("p", said, class_=f"verdict {'good' if good else 'bad'}"),
        tag("dl", *(_figure(*figure) for figure in _figures(material)), class_="figures"),
        links,
    )


def _failure(material: Material) -> str:
    if material.report["verdict"] != OK:
        return str(material.report["verdict"])
    return "a claim was refuted, see the self-check"


def _figure(name: str, value: str, unit: str, of: str) -> Html:
    return tag(
        "div", tag("dt", name), tag("dd", value, " ", tag("small", unit)), tag("p", of, class_="of") if of else None
    )


def _figures(material: Material) -> list[tuple[str, str, str, str]]:
    """Name, value, unit, and what it is of."""
    report, test = material.report, material.report.get("test") or {}
    label, found = str(report["density"]), list[tuple[str, str, str, str]]()
    bound = {"lower bound": "an upper bound (log p is a lower one)", "estimate": "an estimate"}.get(label, label)
    if "nll_nats" in test:
        found.append(("test −log p", *_measured(test["nll_nats"], test["nll_stderr"]), f"{bound}; {rows_of(test)}"))
    if test.get("bits_per_dim") is not None:
        found.append(("test bits per dimension", f"{test['bits_per_dim']:.4f}", "bits/dim", f"−log₂ p / d, {bound}"))
    if test.get("gap_to_entropy_nats") is not None:
        gap = _measured(test["gap_to_entropy_nats"], test["gap_stderr"])
        found.append(("gap to the true density", *gap, "KL(true ‖ model), on fresh points"))
    unit = loss_unit(report)
    if report.get("validation") is not None:
        found.append(("best validation loss", f"{report['validation']:.4f}", unit, f"at step {report['best_step']:,}"))
    elif report.get("loss") is not None:
        found.append(("last training loss", f"{report['loss']:.4f}", unit, ""))
    found.append(("log-density", label, "", _DENSITY[label]))
    found.append(("parameters", f"{report['parameters']:,}", "", "trained"))
    found.append(("training", f"{report['steps']:,}", "steps", f"{report['seconds']:.1f} s in all{_rate(material)}"))
    return found


def _measured(value: float | None, error: float | None) -> tuple[str, str]:
    """A figure in nats, and its unit with the standard error, which one row alone has not; None is not finite."""
    said = "not finite" if value is None else f"{value:.4f}"
    return said, "nats" if value is None or error is None else f"± {error:.4f} nats"


def _rate(material: Material) -> str:
    """Steps a second while steps were taken, without what came before and after."""
    last = material.metrics[-1] if material.metrics else {}
    return f", {rate(last['step'] / last['seconds'])} steps/s" if last.get("seconds") else ""


# ---- model and plan -------------------------------------------------------------------------------------------------


def _model(material: Material) -> Html:
    return tag(
        "div",
        tag("div", tag("h3", "Spec"), tag("div", highlight(material.text.rstrip() + "\n"))),
        tag("div", tag("h3", "Graph"), tag("div", drawing_html(material.model.graph), class_="tall")),
        class_="columns",
    )


def _plan(material: Material) -> Html:
    said = (
        "One row a step, in the order of the arrow. In the pictures rows are outputs and columns inputs: a filled cell "
        "is a possible dependency, an empty one is proved absent. Passes are those that wait for one another."
    )
    graph = material.model.graph
    if not graph.arrows and not explain_table(graph).laws:
        return _EMPTY
    return join([tag("p", said, class_="dgm-soft") if graph.arrows else None, flows_html(graph)])


_CODES: Final = {
    "reconstructions.png": "data, and what the means of their codes stand for",
    "codes.png": "where the rows lie in the plane of codes",
}
"""Pictures of a model with latent variables that a run leaves, and what they show."""


def _codes(material: Material) -> Html:
    """What latent variables hold, as the run drew it."""
    shown = [
        tag(
            "figure",
            tag("figcaption", said),
            tag("img", src=file_uri((material.path / name).read_bytes()), alt=said, class_="drawn"),
        )
        for name, said in _CODES.items()
        if (material.path / name).is_file()
    ]
    return tag("div", *shown, class_="row") if shown else _EMPTY


# ---- figures --------------------------------------------------------------------------------------------------------


def _baselines(material: Material) -> Html:
    """Test bits per dimension beside those of simple densities, best first."""
    others, test = material.report.get("baselines") or {}, material.report.get("test") or {}
    if not others or test.get("bits_per_dim") is None:
        return _EMPTY
    own = material.report["model"]
    rows = sorted([(own, test["bits_per_dim"]), *others.items()], key=lambda row: row[1])
    top = max(bits for _, bits in rows)
    body = [
        tag(
            "tr",
            tag("th", tag("b", name) if name == own else name, scope="row"),
            tag("td", f"{bits:.3f}", class_="dgm-right"),
            tag("td", _bar(bits, top, name == own), class_="of"),
        )
        for name, bits in rows
    ]
    head = tag(
        "tr", tag("th", "density", scope="col"), tag("th", "bits/dim", scope="col", class_="dgm-right"), tag("th")
    )
    said = (
        "The same test rows under simple densities fitted to the training rows. "
        f"The model's log-density: {material.report['density']}."
    )
    table = tag("table", tag("thead", head), tag("tbody", *body), class_="dgm-table")
    return join([tag("p", said, class_="dgm-soft"), table])


def _bar(value: float, top: float, own: bool) -> Html:
    width = f"width:{max(1.0, 150 * abs(value) / (top or 1.0)):.0f}px"
    return tag("span", class_=f"dgm-bar{' dgm-minus' if own else ''}", style=width)


def _ledger(material: Material) -> Html:
    table = material.ledger
    if table is None:
        return _EMPTY
    top = max(abs(entry.mean) for entry in (*table.entries, table.total)) or 1.0
    label = material.model.density
    said = (
        f"What each step and prior adds to log p, in nats: mean ± standard deviation over {table.rows:,} {table.of}. "
        f"The sum is the log-density ({label})."
    )
    head = tag(
        "tr",
        *(tag("th", name, scope="col") for name in ("contribution", "kind", "run")),
        *(tag("th", name, scope="col", class_="dgm-right") for name in ("mean", "± sd")),
        tag("th"),
    )
    body = [_entry(entry, top) for entry in table.entries]
    foot = _entry(table.total, top)
    drawn = tag("table", tag("thead", head), tag("tbody", *body), tag("tfoot", foot), class_="dgm-table")
    return join([tag("p", said, class_="dgm-soft"), tag("div", drawn, class_="dgm-scroll")])


def _entry(entry: Entry, top: float) -> Html:
    width = f"width:{max(0.5, 150 * abs(entry.mean) / top):.1f}px"
    return tag(
        "tr",
        tag("th", tag("code", entry.name), scope="row"),
        tag("td", entry.kind.replace("log_det", "log |det|").replace("log_prob", "log p")),
        tag("td", entry.direction),
        tag("td", f"{entry.mean:+.4f}".replace("-", "−"), class_="dgm-right"),
        tag("td", f"{entry.deviation:.4f}", class_="dgm-right"),
        tag("td", tag("span", class_=f"dgm-bar{' dgm-minus' if entry.mean < 0 else ''}", style=width), class_="of"),
    )


# ---- environment ----------------------------------------------------------------------------------------------------


def _environment(material: Material) -> Html:
    rows = {
        **material.report.get("versions", {}),
        **({"data": data} if (data := material.config.get("data")) else {}),
        "folder": material.path.resolve(),
    }
    body = [tag("tr", tag("th", name, scope="row"), tag("td", tag("code", value))) for name, value in rows.items()]
    again = _again(material)
    said = tag("p", "Again, from the spec with every default written out: ", tag("code", again)) if again else None
    return join([tag("table", tag("tbody", *body), class_="dgm-table"), said])


def _again(material: Material) -> str:
    """The command that trains the same anew; none for data from Python."""
    config, command = material.config, f"dgmspec train {material.path / 'bundle.dgm'}"
    name, source = config.get("data"), config["train"].get("data") or {}
    if name in FROM_PYTHON:
        return ""
    if name and (path := source.get("path")):  # which would be looked for beside the run's spec
        command += f" --data {name}={config['data_paths'].get(name) or Path(config['data_folder']) / path}"
    return command


SECTIONS: Final[dict[str, tuple[str, Callable[[Material], Html]]]] = {
    "model": ("Model", _model),
    "plan": ("Plan and costs", _plan),
    "training": ("Training", training_section),
    "samples": ("Samples beside data", samples_section),
    "codes": ("Codes", _codes),
    "baselines": ("Beside simple densities", _baselines),
    "ledger": ("Ledger", _ledger),
    "processes": ("Processes beside their laws", processes_section),
    "checks": ("Self-check", checks_section),
    "environment": ("Environment", _environment),
}
"""Every section by its place on the page: its title and what writes it."""
