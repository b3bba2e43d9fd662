"""zuko's `CNF` (https://github.com/probabilists/zuko), always with its adjoint.

Its net reads sines and cosines of the time, so it is not compared by value; it is trained as ours was instead. The
trace is exact, by batched products, where the state is small, and one Gaussian probe's estimate else.
"""

from __future__ import annotations

from torch import nn
from zuko.flows import CNF

from bench.ode.base import Case
from bench.ode.workloads import Numbers, Workload, train

__all__ = ["CASES"]

SMALL = 8


def _adaptive(workload: Workload, numbers: Numbers) -> Case:
    flow = CNF(
        workload.size,
        hidden_features=(workload.hidden, workload.hidden),
        activation=nn.Tanh,
        rtol=workload.tolerance,
        atol=workload.tolerance,
        exact=workload.size <= SMALL,
    )
    train(flow, lambda x: flow().log_prob(x), workload)
    return Case(flow, lambda x: flow().log_prob(x), None)


CASES = {"zuko adjoint": _adaptive}
