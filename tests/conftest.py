"""Shared switches of the suite."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # which has what its starter's environment held
    os.environ["OMP_NUM_THREADS"] = "1"  # several workers share the cores

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--promote` accepts the corpus's output as it is now."""
    parser.addoption("--promote", action="store_true", help="record the diagnostics of tests/bad as they are now")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same generator."""
    torch.manual_seed(0)
