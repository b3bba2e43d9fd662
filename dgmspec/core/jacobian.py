"""What is known of a step's Jacobian ∂y/∂x from its declaration, and how such facts compose.

A fact speaks of the declared map for all values of its parameters: ``yes`` holds for every one of them, ``no`` fails
for almost every one, ``unknown`` promises neither. Beside the facts stands the dependency matrix over flat coordinates,
exact up to `EXACT_UP_TO` of them; beyond that only the named structure is kept. Names (`diagonal`, `lower triangular`,
…) are read off the matrix where there is one, so the two never disagree.

Everything here is closed under composition and inverse, and total: any two facts compose to a true one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from dgmspec.core.dependency import Dependency, Structure, row_bits

__all__ = ["EXACT_UP_TO", "Dependency", "Fact", "Jacobian", "Structure", "compose_names", "row_bits"]

EXACT_UP_TO = 512


class Fact(Enum):
    """A three-valued statement."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    def __and__(self, other: Fact) -> Fact:
        if Fact.NO in (self, other):
            return Fact.NO
        return Fact.YES if self is other is Fact.YES else Fact.UNKNOWN


@dataclass(frozen=True)
class Jacobian:
    """The facts of one step or of a whole chain.

    `dependency` is None when the event has more than `EXACT_UP_TO` coordinates. `constant`: ∂y/∂x does not depend on
    x. `unit_det`: |det| = 1. `orthogonal`: ∂y/∂x is orthogonal. `rank`: the k of identity-plus-rank-k, or None.
    `named` is the class that the declaration claims: all there is without a matrix; beside one it says what no pattern
    can (``identity`` and ``permutation``: the values are 0 and 1; ``trace``).
    """

    named: Structure
    dependency: Dependency | None = None
    constant: Fact = Fact.UNKNOWN
    unit_det: Fact = Fact.UNKNOWN
    orthogonal: Fact = Fact.UNKNOWN
    rank: int | None = None

    def __post_init__(self) -> None:
        assert not (self.orthogonal is Fact.YES and self.unit_det is Fact.NO), "orthogonal maps have unit determinant"
        if self.named in _EXACT:
            assert Fact.NO not in (self.unit_det, self.orthogonal), "permutation matrices are orthogonal"
            assert self.constant is not Fact.NO, "a permutation matrix does not depend on x"

    @staticmethod
    def identity(size: int) -> Jacobian:
        """Nothing but a new name or shape."""
        yes = Fact.YES
        return Jacobian(Structure.IDENTITY, _kept(Dependency.diagonal, size), yes, yes, yes, 0)

    @staticmethod
    def permutation(source: tuple[int, ...]) -> Jacobian:
        """Output i is input source[i]."""
        exact = Dependency.permutation(source) if len(source) <= EXACT_UP_TO else None
        return Jacobian(Structure.PERMUTATION, exact, Fact.YES, Fact.YES, Fact.YES)

    @staticmethod
    def of(
        named: Structure,
        size: int,
        constant: Fact = Fact.UNKNOWN,
        unit_det: Fact = Fact.UNKNOWN,
        orthogonal: Fact = Fact.UNKNOWN,
        rank: int | None = None,
    ) -> Jacobian:
        """A diagonal, lower, upper or dense Jacobian over `size` coordinates, with its full pattern."""
        return Jacobian(named, _kept(_PATTERNS[named], size), constant, unit_det, orthogonal, rank)

    @property
    def structure(self) -> Structure:
        """The named class: read off the matrix where there is one."""
        if self.dependency is None or self.named is Structure.TRACE:
            return self.named
        found = self.dependency.structure()
        return _EXACT_NAME[found] if self.named in _EXACT and found in _EXACT_NAME else found

    @property
    def pattern(self) -> Structure:
        """The named class of what depends on what, of a Jacobian too that is not formed."""
        if self.named is Structure.TRACE and self.dependency is not None:
            return self.dependency.structure()
        return self.structure

    def describe(self) -> str:
        """The structure in words with what holds beyond it: ``diagonal, constant``, ``triangular (1, 0)``."""
        structure = self.structure
        words = [structure.value]
        if structure is Structure.BLOCK_TRIANGULAR and self.dependency is not None and self.dependency.columns <= 4:
            words[0] += f" ({', '.join(map(str, self.dependency.order() or ()))})"
        if structure not in _EXACT:
            words += ["constant"] if self.constant is Fact.YES else []
            words += ["orthogonal"] if self.orthogonal is Fact.YES else []
            words += ["unit determinant"] if self.unit_det is Fact.YES and self.orthogonal is not Fact.YES else []
            words += [f"identity + rank {self.rank}"] if self.rank else []
        return ", ".join(words)

    def then(self, after: Jacobian) -> Jacobian:
        """The facts of `after` ∘ `self`."""
        first, second = self.dependency, after.dependency
        return Jacobian(
            named=compose_names(self.named, after.named),
            dependency=None if first is None or second is None else first.then(second),
            constant=_composed(self.constant, after.constant),
            unit_det=_composed(self.unit_det, after.unit_det),
            orthogonal=_composed(self.orthogonal, after.orthogonal),
            rank=None if self.rank is None or after.rank is None else self.rank + after.rank,
        )

    def beside(self, count: int) -> Jacobian:
        """The same map on an event behind `count` further coordinates, which it leaves as they are."""
        if not count or self.dependency is None:
            return self
        size = count + self.dependency.columns
        rows = (*(1 << i for i in range(count)), *(row << count for row in self.dependency.rows))
        return replace(self, dependency=Dependency(rows, size) if size <= EXACT_UP_TO else None)

    def inverse(self) -> Jacobian:
        """The facts of the inverse map: names and flags carry over; the pattern is that of the inverse matrix."""
        return Jacobian(
            named=self.named,
            dependency=None if self.dependency is None else self.dependency.inverse(),
            constant=self.constant,
            unit_det=self.unit_det,
            orthogonal=self.orthogonal,
            rank=self.rank,
        )


_EXACT = (Structure.IDENTITY, Structure.PERMUTATION)
_EXACT_NAME = {Structure.DIAGONAL: Structure.IDENTITY, Structure.PERMUTED_DIAGONAL: Structure.PERMUTATION}
_PATTERNS = {
    Structure.DIAGONAL: Dependency.diagonal,
    Structure.LOWER: Dependency.lower,
    Structure.UPPER: Dependency.upper,
    Structure.DENSE: Dependency.full,
}
_SCALINGS = (Structure.PERMUTATION, Structure.DIAGONAL, Structure.PERMUTED_DIAGONAL)
_TRIANGULAR = (Structure.LOWER, Structure.UPPER, Structure.BLOCK_TRIANGULAR)


def _kept(pattern: Callable[[int], Dependency], size: int) -> Dependency | None:
    """The pattern over `size` coordinates where exact ones are kept."""
    return pattern(size) if size <= EXACT_UP_TO else None


def _composed(first: Fact, second: Fact) -> Fact:
    """Each flag names a group (affine maps, |det| = 1, orthogonal Jacobians): a member times a member is one, times
    a non-member is none; two non-members may cancel."""
    if first is second is Fact.YES:
        return Fact.YES
    return Fact.NO if {first, second} == {Fact.YES, Fact.NO} else Fact.UNKNOWN


def compose_names(first: Structure, second: Structure) -> Structure:
    """The smallest class sure to hold the product: total, commutative, associative, the identity neutral.

    ``trace`` and ``not computed`` absorb. Triangular maps in one stated order stay so; of two orders nothing remains.
    """
    pair = (first, second)
    for absorbing in (Structure.TRACE, Structure.UNKNOWN):
        if absorbing in pair:
            return absorbing
    if Structure.IDENTITY in pair:
        return second if first is Structure.IDENTITY else first
    if first is second and first is not Structure.BLOCK_TRIANGULAR:
        return first
    if first in _SCALINGS and second in _SCALINGS:
        return Structure.PERMUTED_DIAGONAL
    if Structure.DIAGONAL in pair and (first in _TRIANGULAR or second in _TRIANGULAR):
        return second if first is Structure.DIAGONAL else first
    return Structure.DENSE
