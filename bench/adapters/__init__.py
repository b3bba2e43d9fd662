"""One file per library: how it builds a workload, and how our numbers go into its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec

from bench.adapters.base import Flow
from bench.workloads import Workload

__all__ = ["PEERS", "installed"]

PEERS: Mapping[str, str] = {"zuko": "zuko", "nflows": "nflows", "normflows": "normflows", "FrEIA": "freia"}
"""The libraries of the comparison, by the name of their package, and the adapter of each."""


def installed() -> dict[str, Callable[[Workload], Flow | None]]:
    """What builds a workload, for each library that is there."""
    return {p: import_module(f"bench.adapters.{a}").build for p, a in PEERS.items() if find_spec(p) is not None}
