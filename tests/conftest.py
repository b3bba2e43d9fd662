"""Shared switches of the suite."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--promote` accepts the corpus's output as it is now."""
    parser.addoption("--promote", action="store_true", help="record the diagnostics of tests/bad as they are now")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same generator."""
    torch.manual_seed(0)
