"""Traces and norms of a velocity's Jacobian: closed forms of nets, exact ones by tangents, estimates by probes."""

from dgmspec.modules.traces.chains import (
    Chain,
    closed_norm,
    closed_trace,
    forward,
    jacobian,
    norm_core,
    product,
    tangent_trace,
    trace_core,
)
from dgmspec.modules.traces.general import dense_jacobian, estimate, exact_trace
from dgmspec.modules.traces.potentials import gradient_and_laplacian
from dgmspec.modules.traces.probes import probes, variance
from dgmspec.modules.traces.pulled import value_and_trace

__all__ = [
    "Chain",
    "closed_norm",
    "closed_trace",
    "dense_jacobian",
    "estimate",
    "exact_trace",
    "forward",
    "gradient_and_laplacian",
    "jacobian",
    "norm_core",
    "probes",
    "product",
    "tangent_trace",
    "trace_core",
    "value_and_trace",
    "variance",
]
