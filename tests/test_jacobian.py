"""Jacobian facts against matrices: patterns, products, inverses, names and flags are true of real matrices."""

import itertools
import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgmspec.core.dependency import Dependency, Structure, bit_indices
from dgmspec.core.jacobian import EXACT_UP_TO, Fact, Jacobian, compose_names, row_bits

SIZE = 5
YES, NO, UNKNOWN = Fact.YES, Fact.NO, Fact.UNKNOWN


def pattern(matrix: np.ndarray) -> Dependency:
    return Dependency(tuple(row_bits(np.flatnonzero(row).tolist()) for row in matrix), matrix.shape[1])


def zeros_hold(matrix: np.ndarray, claimed: Dependency, tolerance: float = 1e-9) -> bool:
    return all(
        abs(matrix[i, j]) <= tolerance for i, j in np.ndindex(*matrix.shape) if not claimed.depends(output=i, on=j)
    )


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    """Invertible matrices with a random zero pattern: a permutation of a matrix with a strong diagonal."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    kept = rng.random((SIZE, SIZE)) < draw(st.sampled_from([0.1, 0.3, 0.6]))
    matrix = rng.uniform(0.1, 0.2, (SIZE, SIZE)) * kept
    np.fill_diagonal(matrix, rng.uniform(1, 2, SIZE))
    return matrix[rng.permutation(SIZE)] if draw(st.booleans()) else matrix


@given(matrices(), matrices())
def test_a_product_of_patterns_is_the_pattern_of_the_product(first: np.ndarray, after: np.ndarray) -> None:
    # All entries are positive, so nothing cancels and the boolean product is exact.
    assert pattern(first).then(pattern(after)) == pattern(after @ first)


@given(matrices())
def test_the_inverse_pattern_covers_the_inverse_matrix(matrix: np.ndarray) -> None:
    inverse = np.linalg.inv(matrix)
    assert zeros_hold(inverse, pattern(matrix).inverse())


@given(matrices(), st.integers(0, 2**32 - 1))
def test_the_inverse_pattern_is_tight(matrix: np.ndarray, seed: int) -> None:
    # Over random values on one pattern an entry that is possible is non-zero in some inverse.
    rng = np.random.default_rng(seed)
    found = np.zeros_like(matrix, dtype=bool)
    for _ in range(5):
        found |= np.abs(np.linalg.inv(matrix * rng.uniform(0.7, 1.4, matrix.shape))) > 1e-12
    assert pattern(found) == pattern(matrix).inverse()


@given(matrices())
def test_inverse_is_an_involution_up_to_fill_in(matrix: np.ndarray) -> None:
    once = pattern(matrix).inverse()
    twice = once.inverse()
    assert all(a & b == a for a, b in zip(pattern(matrix).rows, twice.rows, strict=True))
    assert twice.inverse() == once


@given(matrices())
def test_structure_and_order_are_true(matrix: np.ndarray) -> None:
    claimed = pattern(matrix)
    order = claimed.order()
    match claimed.structure():
        case Structure.DIAGONAL:
            assert (matrix == np.diag(np.diag(matrix))).all()
        case Structure.PERMUTED_DIAGONAL:
            assert ((matrix != 0).sum(0) == 1).all() and ((matrix != 0).sum(1) == 1).all()
        case Structure.LOWER:
            assert (np.triu(matrix, 1) == 0).all()
        case Structure.UPPER:
            assert (np.tril(matrix, -1) == 0).all()
        case Structure.BLOCK_TRIANGULAR:
            assert order is not None and (np.triu(matrix[np.ix_(order, order)], 1) == 0).all()
        case Structure.DENSE:
            assert order is None
            for tried in itertools.permutations(range(SIZE)):
                reordered = matrix[np.ix_(tried, tried)]
                assert np.triu(reordered, 1).any() or not np.diag(reordered).all()


def test_small_structures() -> None:
    assert Dependency.diagonal(1).structure() is Structure.DIAGONAL
    assert Dependency.full(1).structure() is Structure.DIAGONAL
    assert Dependency.full(2).structure() is Structure.DENSE
    assert Dependency.lower(3).structure() is Structure.LOWER
    assert Dependency.upper(3).structure() is Structure.UPPER
    assert Dependency.permutation((1, 0)).structure() is Structure.PERMUTED_DIAGONAL
    coupling = Dependency((row_bits([0, 2]), row_bits([1]), row_bits([1, 2])), 3)
    assert coupling.structure() is Structure.BLOCK_TRIANGULAR
    assert coupling.order() == (1, 2, 0)


def test_bits_and_transposes() -> None:
    assert list(bit_indices(row_bits([5, 1, 3]))) == [1, 3, 5]
    assert Dependency.lower(4).transposed() == Dependency.upper(4)
    assert Dependency.permutation((2, 0, 1)).inverse() == Dependency.permutation((1, 2, 0))
    assert Dependency.full(3).is_full and not Dependency.lower(3).is_full


def test_a_map_and_its_inverse_undo_each_other() -> None:
    permuted = Jacobian.permutation((2, 0, 1))
    assert permuted.then(permuted.inverse()).structure is Structure.IDENTITY
    lower = Jacobian.of(Structure.LOWER, 3, constant=YES)
    assert lower.then(lower.inverse()).structure is Structure.LOWER


def test_names_come_off_the_matrix() -> None:
    reverse, scale = Jacobian.permutation((1, 0)), Jacobian.of(Structure.DIAGONAL, 2, constant=YES, unit_det=NO)
    assert reverse.structure is Structure.PERMUTATION
    assert reverse.then(reverse).structure is Structure.IDENTITY
    assert reverse.then(scale).structure is Structure.PERMUTED_DIAGONAL
    assert reverse.then(scale).then(reverse).structure is Structure.DIAGONAL
    lower = Jacobian.of(Structure.LOWER, 2)
    assert reverse.then(lower).then(reverse).structure is Structure.UPPER
    assert lower.then(reverse).then(lower).structure is Structure.DENSE
    trace = Jacobian(Structure.TRACE, Dependency.full(2))
    assert trace.structure is Structure.TRACE and reverse.then(trace).structure is Structure.TRACE


def test_two_couplings_with_opposite_masks_are_dense() -> None:
    first = Jacobian(Structure.BLOCK_TRIANGULAR, Dependency((1, 3), 2))
    second = Jacobian(Structure.BLOCK_TRIANGULAR, Dependency((3, 2), 2))
    assert first.then(first).structure is Structure.LOWER
    assert first.then(second).structure is Structure.DENSE


def test_descriptions() -> None:
    assert Jacobian.identity(3).describe() == "identity"
    assert Jacobian.of(Structure.DIAGONAL, 2, constant=YES, unit_det=NO).describe() == "diagonal, constant"
    assert Jacobian(Structure.BLOCK_TRIANGULAR, Dependency((5, 2, 6), 3)).describe() == "triangular (1, 2, 0)"
    rotation = Jacobian.of(Structure.DENSE, 4, constant=YES, unit_det=YES, orthogonal=YES, rank=2)
    assert rotation.describe() == "dense, constant, orthogonal, identity + rank 2"


def test_large_events_keep_the_name_alone() -> None:
    size = EXACT_UP_TO + 1
    assert Jacobian.of(Structure.LOWER, size).dependency is None
    assert Jacobian.of(Structure.LOWER, EXACT_UP_TO).dependency is not None
    scaled = Jacobian.of(Structure.DIAGONAL, size).then(Jacobian.of(Structure.LOWER, size))
    assert scaled.structure is Structure.LOWER and scaled.inverse().structure is Structure.LOWER
    assert Jacobian.identity(size).structure is Structure.IDENTITY


# What each name holds, as patterns of three coordinates.
MEMBERS = {
    Structure.IDENTITY: [(0, 1, 2)],
    Structure.PERMUTATION: list(itertools.permutations(range(3))),
}


def members(name: Structure) -> list[Dependency]:
    """Extreme patterns of a class over three coordinates: every member lies within one of them."""
    lower = Dependency.lower(3)
    if name in MEMBERS:
        return [Dependency.permutation(source) for source in MEMBERS[name]]
    if name is Structure.PERMUTED_DIAGONAL:
        return members(Structure.PERMUTATION)
    if name is Structure.BLOCK_TRIANGULAR:
        orders = members(Structure.PERMUTATION)
        return [order.inverse().then(lower).then(order) for order in orders]
    fixed = {Structure.DIAGONAL: Dependency.diagonal(3), Structure.LOWER: lower, Structure.UPPER: Dependency.upper(3)}
    return [fixed.get(name, Dependency.full(3))]


@pytest.mark.parametrize("first", Structure)
@pytest.mark.parametrize("after", Structure)
def test_composition_of_names_is_total_and_sound(first: Structure, after: Structure) -> None:
    name = compose_names(first, after)
    assert name is compose_names(after, first)
    allowed = [member.rows for member in members(name)]
    for one, two in itertools.product(members(first), members(after)):
        product = one.then(two).rows
        assert any(all(p & ~a == 0 for p, a in zip(product, rows, strict=True)) for rows in allowed)


def test_composition_of_names_is_a_monoid() -> None:
    for name in Structure:
        assert compose_names(Structure.IDENTITY, name) is name
    for a, b, c in itertools.product(Structure, repeat=3):
        assert compose_names(compose_names(a, b), c) is compose_names(a, compose_names(b, c))


@pytest.mark.parametrize("name", Structure)
def test_the_inverse_stays_in_the_class(name: Structure) -> None:
    allowed = [member.rows for member in members(name)]
    for member in members(name):
        inverse = member.inverse().rows
        assert any(all(p & ~a == 0 for p, a in zip(inverse, rows, strict=True)) for rows in allowed)


FLAGS = {"constant": 0, "unit_det": 1, "orthogonal": 2}


@pytest.mark.parametrize("flag", FLAGS)
def test_flags_compose_as_groups_do(flag: str) -> None:
    table = {(YES, YES): YES, (YES, NO): NO, (NO, YES): NO, (NO, NO): UNKNOWN}
    for first, after in itertools.product(Fact, repeat=2):
        both = Jacobian(Structure.DENSE, **{flag: first}).then(Jacobian(Structure.DENSE, **{flag: after}))
        assert getattr(both, flag) is table.get((first, after), UNKNOWN)
        assert getattr(both.inverse(), flag) is getattr(both, flag)


def test_facts_conjoin() -> None:
    assert YES & YES is YES and YES & NO is NO and NO & UNKNOWN is NO and YES & UNKNOWN is UNKNOWN


def test_ranks_add_and_the_identity_has_none() -> None:
    one = Jacobian.of(Structure.DENSE, 6, rank=1)
    assert one.then(one).rank == 2 and one.inverse().rank == 1
    assert Jacobian.identity(6).then(one).rank == 1
    assert one.then(Jacobian.of(Structure.DENSE, 6)).rank is None


def test_impossible_facts_are_refused() -> None:
    with pytest.raises(AssertionError):
        Jacobian(Structure.DENSE, orthogonal=YES, unit_det=NO)
    with pytest.raises(AssertionError):
        Jacobian(Structure.IDENTITY, constant=NO)
    with pytest.raises(AssertionError):
        Dependency((1, 1), 2).inverse()


def couplings(rng: random.Random, size: int, count: int) -> list[Jacobian]:
    found = []
    for k in range(count):
        part = row_bits(rng.sample(range(size), size // 2))
        rows = tuple(1 << i if part >> i & 1 else part | 1 << i for i in range(size))
        step = Jacobian(Structure.BLOCK_TRIANGULAR, Dependency(rows, size), NO)
        found.append(step.inverse() if k % 2 else step)
    return found


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_chain_composed_in_two_halves_is_the_chain(seed: int) -> None:
    rng = random.Random(seed)
    shuffle = Jacobian.permutation(tuple(rng.sample(range(11), 11)))
    steps = [*couplings(rng, 11, 4), shuffle, *couplings(rng, 11, 2)]
    cut = rng.randrange(1, len(steps))
    whole = Jacobian.identity(11)
    for step in steps:
        whole = whole.then(step)
    halves = []
    for part in (steps[:cut], steps[cut:]):
        half = Jacobian.identity(11)
        for step in part:
            half = half.then(step)
        halves.append(half)
    assert halves[0].then(halves[1]) == whole


def test_a_long_chain_over_many_coordinates_is_quick() -> None:
    rng = random.Random(0)
    steps = couplings(rng, EXACT_UP_TO, 16)
    steps += [Jacobian.permutation(tuple(rng.sample(range(EXACT_UP_TO), EXACT_UP_TO))) for _ in range(16)]
    start = time.process_time()
    whole = Jacobian.identity(EXACT_UP_TO)
    for step in steps:
        whole = whole.then(step)
        assert whole.structure is not None
    assert whole.structure is Structure.DENSE
    assert time.process_time() - start < 1.0, "0.1 s on an idle core; the bound leaves room for a busy one"
