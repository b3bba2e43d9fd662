"""Operations that lie about their inverse, their log-determinant or their structure must be caught."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dgmspec.core.jacobian import Dependency, Fact, Jacobian, Structure
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import REAL, Type
from dgmspec.modules.twin import StepContext, StepTwin
from dgmspec.runtime.selfcheck import check_step

EVENT = Type(REAL, (3,))


class AbstractCumulative(AbstractStep):
    """y_i = x_0 + … + x_i, doubled: lower triangular, log|det| = 3 log 2."""

    def infer_type(self, x: Type, c: Type | None) -> Type:
        return x

    def infer_input(self, y: Type, c: Type | None) -> Type:
        return y

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        rows = tuple((1 << (i + 1)) - 1 for i in range(x.size))
        return Jacobian(Structure.LOWER, Dependency(rows, x.size), Fact.YES, Fact.NO, Fact.NO)


class Honest(AbstractCumulative):
    """The truth."""

    name = "honest"


class WrongInverse(AbstractCumulative):
    """Forgets the factor two on the way back."""

    name = "wrong_inverse"


class WrongSign(AbstractCumulative):
    """Has the log-determinant's sign turned, both ways, so that the two still cancel."""

    name = "wrong_sign"


class WrongStructure(AbstractCumulative):
    """Claims to be diagonal."""

    name = "wrong_structure"

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian(Structure.DIAGONAL, Dependency.diagonal(x.size), Fact.YES, Fact.NO, Fact.NO)


def _forward(op: Any, p: Any, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    return 2 * x.cumsum(1), torch.tensor(3.0).double() * torch.tensor(2.0).double().log()


def _inverse(op: Any, p: Any, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    return torch.diff(y / 2, dim=1, prepend=y.new_zeros(len(y), 1)), -torch.tensor(8.0).double().log()


def _half_inverse(op: Any, p: Any, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    x, log_det = _inverse(op, p, y, ctx)
    return 2 * x, log_det


def _negated(function: Any) -> Any:
    def negate(op: Any, p: Any, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
        y, log_det = function(op, p, x, ctx)
        return y, -log_det

    return negate


TWINS = {
    Honest: StepTwin(_forward, _inverse),
    WrongInverse: StepTwin(_forward, _half_inverse),
    WrongSign: StepTwin(_negated(_forward), _negated(_inverse)),
    WrongStructure: StepTwin(_forward, _inverse),
}


def test_the_truth_passes() -> None:
    assert all(finding.holds for finding in check_step(Honest(), {}, EVENT))


@pytest.mark.parametrize(
    ("lie", "claim"),
    [(WrongInverse, "inverse"), (WrongSign, "log-determinant"), (WrongStructure, "dependency")],
)
def test_a_lie_is_caught_and_named(lie: type[AbstractStep], claim: str) -> None:
    assert [finding.claim for finding in check_step(lie(), {}, EVENT) if not finding.holds] == [claim]
