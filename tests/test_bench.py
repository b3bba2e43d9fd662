"""The benchmark compares like with like: other libraries compute our densities under our parameters."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
import torch

from bench.adapters import PEERS, installed
from bench.agreement import TOLERANCE, difference
from bench.document import page
from bench.measure import Times, paired
from bench.ode.document import section
from bench.ode.run import COMPILED, HUTCHINSON, OURS, Row, peers
from bench.ode.run import TOLERANCE as BETWEEN_SOLVERS
from bench.ode.run import difference as ode_difference
from bench.ode.workloads import WORKLOADS as ODES
from bench.ode.workloads import ours
from bench.run import Row as FlowRow
from bench.workloads import WORKLOADS


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize("name", WORKLOADS)
@pytest.mark.parametrize("library", PEERS)
def test_libraries_agree_on_a_small_form_of_each_workload(library: str, name: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed: pip install -c constraints.txt -e '.[bench]'")
    workload = replace(WORKLOADS[name], size=min(WORKLOADS[name].size, 4), hidden=12, layers=2)
    found = difference(workload, installed()[library])
    if found is None:
        pytest.skip(f"{library} has no such layer, or its parameters are of another kind")
    assert found < TOLERANCE


def test_ratios_are_paired_and_bounded_by_the_sign_test() -> None:
    theirs, ours = Times(tuple(float(i) for i in range(2, 32, 2))), Times(tuple(float(i) for i in range(1, 16)))
    assert str(paired(theirs, ours)) == "2.00 [2.00, 2.00]"
    spread = paired(Times(tuple(float(i) for i in range(1, 16))), Times((1.0,) * 15))
    # P(fewer than 4 of 15 below the median) = 0.018, and with a fifth 0.059: the 4th and the 12th reading.
    assert (spread.low, spread.value, spread.high) == (4.0, 8.0, 12.0)


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize("case", peers())
def test_libraries_solve_our_equations(case: str) -> None:
    workload = replace(ODES["cnf-2"], size=3, hidden=8)
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 4), (8, 8), (3, 8)]
    numbers = [(torch.randn(s, generator=generator) / 2, torch.randn(s[0], generator=generator)) for s in shapes]
    found = ode_difference(workload, numbers, peers()[case])
    assert found is not None and found < BETWEEN_SOLVERS
    assert sum(p.numel() for p in ours(workload).parameters()) == sum(w.numel() + b.numel() for w, b in numbers)


def test_the_section_on_continuous_flows_names_every_case() -> None:
    """Times of one and two seconds: a ratio of two."""
    times = {
        OURS: Times((1.0,) * 15),
        COMPILED: Times((0.5,) * 15),
        HUTCHINSON: Times((1.5,) * 15),
        "torchdiffeq adjoint": Times((2.0,) * 15),
    }
    rows = [Row(ODES["cnf-2"], "train", times, {"torchdyn": "is not installed"}, 1e-4)]
    text = section(rows, 15)
    assert "| CNF, D = 2, 2 × 64 | 2000.0 | 1000.0 | 500.0 | 1500.0 | 2.00 [2.00, 2.00] | 4.00 [4.00, 4.00] |" in text
    assert "- torchdyn is not installed" in text and "1e-04" in text


def test_a_run_of_some_workloads_leaves_the_other_rows_of_the_page() -> None:
    def measured(name: str, seconds: float) -> list[FlowRow]:
        times = {"zuko": Times((2 * seconds,) * 15), "dgmspec": Times((seconds,) * 15)}
        return [FlowRow(WORKLOADS[name], o, times, {"dgmspec compiled": "no"}) for o in ("log_prob", "train", "sample")]

    before = page(measured("naf-8", 1.0) + measured("maf-8", 3.0), 15)
    after = page(measured("naf-8", 5.0) + measured("realnvp-2", 7.0), 15, before)
    for title in ("## Log-density", "## Training step", "## Sampling"):
        table = after.partition(f"{title}\n")[2].partition("\n#")[0]
        rows = [row for row in table.splitlines() if row.startswith("| ") and "---" not in row][1:]
        assert [row.split(" | ")[0] for row in rows] == ["| RealNVP, D = 2", "| MAF, D = 8", "| NAF, D = 8"]
        assert "| 6000.00 | 3000.00 |" in rows[1] and "| 10000.00 | 5000.00 |" in rows[2]
        assert (
            table.count("- MAF, D = 8, dgmspec compiled: no") == table.count("- NAF, D = 8, dgmspec compiled: no") == 1
        )
