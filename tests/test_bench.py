"""The benchmark compares like with like: other libraries compute our densities under our parameters."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest

from bench.adapters import PEERS, installed
from bench.agreement import TOLERANCE, difference
from bench.measure import Times, paired
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
