"""``report.json``: what a run reached, beside what simple densities and the truth reach, and how it reads as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dgmspec.core.types import SupportKind
from dgmspec.graph.dependence import Dependence
from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.baselines import baselines
from dgmspec.runtime.data import AbstractTable, Dataset, by_weight
from dgmspec.runtime.feed import columns_of
from dgmspec.runtime.fisher import fisher_figures
from dgmspec.runtime.latent import collapsed, divergences, importance_nll
from dgmspec.runtime.likelihood import gap_to_truth, test_likelihood
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.rundir import RunError
from dgmspec.runtime.solving import ROWS, solver_line, solver_shift
from dgmspec.runtime.toys import TOYS

__all__ = [
    "DRAWS",
    "Toy",
    "loss_unit",
    "of_density",
    "rows_of",
    "simple_baselines",
    "summary",
    "test_figures",
    "verdict",
]

DRAWS = 10
"""Dequantisations per test row."""

BASELINE_ROWS = 20_000
"""Of a table that streams, the simple densities are fitted to and tested on so many random rows of each part."""

OK = "ok"
"""The verdict on figures that can be right."""


@dataclass(frozen=True)
class Toy:
    """A set with a known density: its name, its constants, and the seed of the draws that were trained on."""

    name: str
    constants: Mapping[str, float]
    seed: int


def test_figures(
    model: CompiledModel,
    test: AbstractTable | None,
    toy: Toy | None,
    seed: int,
    draws: int | None = None,
    processes: Processes | None = None,
    visible: bool = False,
    samples: int | None = None,
) -> dict[str, Any]:
    """The ``test`` section: the gap to the truth on fresh points of a toy set, else the likelihood on held-out rows;
    and the Fisher divergence to a known density, where the model states one."""
    if toy is None and test is None:
        return {}
    fresh = None if toy is None else TOYS[toy.name](ROWS, seed=seed, **toy.constants)
    rows = test if fresh is None else Dataset({next(iter(model.observed)): fresh})
    assert rows is not None
    figures: dict[str, Any] = dict(fisher_figures(model, rows, seed))
    if model.density in ("none", "unnormalised"):
        return figures
    finer = model.refined()
    if toy is not None:
        gap = gap_to_truth(finer, toy.name, toy.constants, seed, processes, visible)
        return gap | _solved(model, rows, seed) | figures
    assert test is not None
    found = test_likelihood(finer, test, (draws or DRAWS) if model.dequantises else 1, seed, processes, visible)
    return _solved(model, test.sample(ROWS, seed) if finer is not model else test, seed) | {
        "rows": found.rows,
        "dequantisations": found.draws,
        "nll_nats": found.nll_nats,
        "nll_stderr": found.stderr,
        "bits_per_dim": found.bits_per_dim,
        **({} if test.weights is None else {"effective_rows": found.worth}),
        **({"binarization": "dynamic"} if test.redrawn else {}),
        **_posteriors(model, test, seed, processes),
        **_latent(model, test, seed, samples, processes, visible),
        **figures,
    }


def _posteriors(
    model: CompiledModel, test: AbstractTable, seed: int, processes: Processes | None
) -> dict[str, dict[str, float]]:
    """-log q of each observed variable that the model infers from the other ones, a mean over the rows."""
    found = {}
    for name in Dependence(model.graph).inferred:
        law = model.conditional(other for other in model.observed if other != name)
        draws = DRAWS if law.dequantises else 1
        found[name] = test_likelihood(law, test, draws, seed, processes).nll_nats
    return {"posterior_nll_nats": found} if found else {}


def _latent(
    model: CompiledModel,
    test: AbstractTable,
    seed: int,
    samples: int | None,
    processes: Processes | None,
    visible: bool,
) -> dict[str, Any]:
    """What latent variables tell about the rows, and the likelihood by importance sampling where it is asked for."""
    found = divergences(model, test, seed)
    figures: dict[str, Any] = {"divergences_nats": found, "collapsed": collapsed(found)} if found else {}
    if samples is not None and model.density == "lower bound":
        if not model.weighs:
            raise RunError(
                f"{model.name} has no importance weights: its density holds an estimate or a bound of a logarithm, "
                "whose exponential may be too large on average; leave --samples out"
            )
        figures["importance"] = importance_nll(model, test, samples, seed, processes, visible)
    return figures


def _solved(model: CompiledModel, rows: AbstractTable, seed: int) -> dict[str, float]:
    """How far a finer solve moves the log-density, where the model solves for it."""
    if model.refined() is model:
        return {}
    shift = solver_shift(model, columns_of(model, by_weight(rows.whole(), seed)), seed)
    return {} if shift is None else {"solver_shift_nats": shift}


test_figures.__test__ = False  # type: ignore[attr-defined]


def simple_baselines(
    model: CompiledModel, train: AbstractTable, validation: AbstractTable, test: AbstractTable, seed: int
) -> dict[str, float]:
    """Test bits per dimension of a Gaussian, a histogram and a mixture, for one integer variable of known range."""
    if len(model.observed) != 1:
        return {}
    (name,) = model.observed
    support = model.type_of(name).support
    if support.kind is not SupportKind.INTEGER:
        return {}
    low, high = int(support.low), int(support.high)
    first, second, third = (_integers(part, name, seed) for part in (train, validation, test))
    return baselines(first, second, third, low, high, seed)


def _integers(table: AbstractTable, name: str, seed: int) -> NDArray[np.int64]:
    """The rows of a variable as vectors, drawn by their weights; of a table that streams, a random part."""
    rows = by_weight(table.sample(BASELINE_ROWS, seed) if table.streams else table.whole(), seed)
    return np.asarray(rows[name]).reshape(rows.rows, -1).astype(np.int64)


def verdict(figures: Mapping[str, Any]) -> str:
    """``ok``, or why the figures cannot be right: they are no numbers, or the density beats the truth on average, as
    none that is normalised does."""
    if "nll_nats" in figures and not math.isfinite(figures["nll_nats"]):
        return (
            "the log-density is no finite number on the test rows: a solver left the numbers, or rows have no density; "
            "`model.ledger` says at which step"
        )
    gap, error = figures.get("gap_to_entropy_nats"), figures.get("gap_stderr")
    if gap is not None and error is not None and gap < -3 * error:
        return (
            f"the model's log-density is {-gap:.4f} nats above the true one on average, more than three standard "
            f"errors ({error:.4f}): it cannot integrate to 1"
        )
    return OK


# ---- as text --------------------------------------------------------------------------------------------------------


def summary(report: Mapping[str, Any], pictures: Iterable[str] = ()) -> str:
    """The report as a person reads it at the end of a run."""
    kind = _KINDS.get(str(report["density"]))
    lines = [
        f"{report['model']}: {report['steps']:,} steps in {report['seconds']:.1f} s, "
        f"{report['parameters']:,} parameters, log-density {report['density']}"
    ]
    unit = f" {loss_unit(report)}".rstrip()
    if report.get("best_step"):
        lines.append(f"best validation loss {report['validation']:.4f}{unit} at step {report['best_step']:,}")
    elif report["loss"] is not None:
        lines.append(f"last training loss {report['loss']:.4f}{unit}")
    test = report.get("test") or {}
    if report.get("baselines"):
        lines += ["", *_table(report["model"], test["bits_per_dim"], report["baselines"]), ""]
    if "nll_nats" in test:
        lines.append(_likelihood_line(test, kind or ""))
    for name, nats in test.get("posterior_nll_nats", {}).items():
        lines.append(f"posterior of `{name}` given the other variables {nats:.4f} nats")
    for name, nats in test.get("divergences_nats", {}).items():
        warning = "; it has collapsed onto its law and tells nothing" if name in test["collapsed"] else ""
        lines.append(f"divergence of `{name}` from its law {nats:.3f} nats{warning}")
    if "gap_to_entropy_nats" in test:
        gap, error, rows = test["gap_to_entropy_nats"], test["gap_stderr"], test["rows"]
        lines.append(f"gap to the true density {gap:.4f} ± {error:.4f} nats on {rows:,} fresh points{kind or ''}")
    if "fisher_divergence" in test:
        share, value = test["fisher_share_of_zero"], test["fisher_divergence"]
        lines.append(f"Fisher divergence {value:.4f} ± {test['fisher_stderr']:.4f}, {share:.1%} of the zero score's")
    for found in report.get("warnings", ()):
        lines.append(f"warning[{found['code']}]: {found['message']}; {'; '.join(found['help'])}")
    for end in report.get("prior_mismatch", ()):
        nats = f"{max(end['nats_per_dim'], 0.0):.2g} ± {end['stderr']:.1g} nats per dimension"
        lines.append(f"{end['address'].rpartition('/')[0]} ends {nats} away from its prior")
    if doubled := report.get("steps_doubled_at"):
        lines.append(f"the solver's steps were doubled after step {' and '.join(f'{at:,}' for at in doubled)}")
    if "solver_shift_nats" in test:
        lines.append(solver_line(test["solver_shift_nats"]))
    if streamed := report.get("streamed"):
        held_out = f"{streamed['validation_rows']:,} held-out rows"
        others = f", baselines on {streamed['baseline_rows']:,} of each part" if report.get("baselines") else ""
        lines.append(f"streamed {streamed['training_rows']:,} training rows; each validation on {held_out}{others}")
    if simulated := report.get("simulated"):
        held_out = f"; each validation on {simulated['validation_rows']:,} others" if len(simulated) > 1 else ""
        lines.append(f"simulated {simulated['training_rows']:,} training rows{held_out}")
    if "unsampled" in report:
        lines.append(f"no samples: {report['unsampled']}")
    if report["verdict"] != OK:
        lines.append(f"FAILED: {report['verdict']}")
    return "\n".join([*lines, *(f"wrote {path}" for path in pictures)])


_KINDS: Final = {"exact": "", "estimate": ", an estimate", "lower bound": ", an upper bound"}
"""What a figure of -log p is, by what the density is."""


def loss_unit(report: Mapping[str, Any]) -> str:
    """``nats`` where the loss is a density or a bound of one; any other is a number of its own kind."""
    unit: str = report.get("loss_unit", "nats" if report["density"] in _KINDS else "")
    return unit


def of_density(figure: str, figures: Mapping[str, Any]) -> str:
    """What stands behind a figure of the ``test`` section: whether it is an estimate, or a bound."""
    if figure not in ("nll_nats", "bits_per_dim", "gap_to_entropy_nats", "importance"):
        return ""
    return _KINDS.get(figures.get("density", ""), "")


def _likelihood_line(test: Mapping[str, Any], kind: str) -> str:
    return (
        f"test {test['nll_nats']:.4f} ± {test['nll_stderr']:.4f} nats, {test['bits_per_dim']:.4f} bits/dim"
        f"{kind} ({rows_of(test)})"
    )


def rows_of(test: Mapping[str, Any]) -> str:
    """How many rows a likelihood is the mean over, and how many draws of the model's randomness were taken of each."""
    draws = test.get("dequantisations", 1)
    drawn = "draws of the posterior" if "divergences_nats" in test else "draws"
    over = f", {draws} {drawn} each" if draws > 1 else ""
    over += f", by weights worth {test['effective_rows']:,.0f}" if "effective_rows" in test else ""
    return f"{test['rows']:,} rows{over}" + (", dynamic binarisation" if "binarization" in test else "")


def _table(model: str, bits: float, others: Mapping[str, float]) -> list[str]:
    """Test bits per dimension, best first."""
    rows = sorted([(model, bits), *others.items()], key=lambda row: row[1])
    width = max(len(name) for name, _ in rows)
    return [f"test bits/dim{'':{max(0, width - 11)}}", *(f"  {name:{width}}  {value:.3f}" for name, value in rows)]
