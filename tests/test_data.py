"""Tables: their sources, their splits and order, and what is refused."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from dgmspec.core.types import BINARY, POSITIVE, REAL, SIMPLEX, UNIT, Type, category, integers
from dgmspec.runtime.data import Batches, Context, DataError, Dataset, Moments, from_arrays, open_source
from dgmspec.runtime.toys import TOYS, two_moons

DIGITS = Type(integers(0, 16), (1, 8, 8))
FLAT = Type(integers(0, 16), (64,))
PLANE = Type(REAL, (2,))


def test_digits_by_shape_and_label():
    images = open_source("digits", {}, {"x": DIGITS}, Context())
    both = open_source("digits", {"flat": True, "labels": True}, {"x": FLAT, "c": Type(category(10))}, Context())

    assert images["x"].shape == (1797, 1, 8, 8)
    assert np.array_equal(images["x"].reshape(-1, 64), both["x"])
    assert both["x"].max() == 16
    assert np.array_equal(np.unique(both["c"]), np.arange(10))


def test_a_column_goes_to_the_variable_of_its_own_name_first():
    labels_first = open_source(
        "digits", {"flat": True, "labels": True}, {"label": Type(category(10)), "y": FLAT}, Context()
    )

    assert labels_first["label"].shape == (1797,)
    assert labels_first["y"].shape == (1797, 64)


@pytest.mark.parametrize("name", TOYS)
def test_toys_are_drawn_by_the_context_seed(name):
    first = open_source(name, {"n": 300}, {"z": PLANE}, Context(seed=7))

    assert np.array_equal(first["z"], TOYS[name](300, seed=7))


def test_constants_reach_the_toy():
    noisy = open_source("two_moons", {"n": 100, "noise": 0.3}, {"x": PLANE}, Context())

    assert np.array_equal(noisy["x"], two_moons(100, noise=0.3))


REFUSED = {
    "unknown source": (("moons", {}, {"x": PLANE}), "DGM853", "no data source `moons`", "two_moons"),
    "unknown argument": (("two_moons", {"nois": 1}, {"x": PLANE}), "DGM853", "nois", "`noise = 0.05`"),
    "bad argument": (("two_moons", {"noise": -1.0}, {"x": PLANE}), "DGM853", "must be positive", "change"),
    "too few columns": (("digits", {}, {"x": DIGITS, "c": Type(category(10))}), "DGM853", "`c`", "`labels = false`"),
    "shape": (("digits", {}, {"x": FLAT}), "DGM851", "[1, 8, 8]", "`flat = true`"),
    "support": (
        ("digits", {"flat": True}, {"x": Type(integers(0, 15), (64,))}),
        "DGM852",
        "row 1, column [12] of `x` is 16, outside the integers 0..15",
        "`integer(0..16)`",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_sources_refuse_with_code_place_and_help(case):
    arguments, code, message, help_ = REFUSED[case]
    with pytest.raises(DataError) as refused:
        open_source(*arguments, Context())

    assert refused.value.code == code
    assert message in refused.value.message
    assert help_ in refused.value.help


VALUES = {
    "ragged": ([[1.0, 2.0], [3.0]], PLANE, "DGM851", "common shape"),
    "no rows": (3.0, Type(REAL), "DGM851", "no rows"),
    "words": ([["a", "b"]], PLANE, "DGM852", "not numbers"),
    "nan": ([[1.0, 2.0], [3.0, np.nan]], PLANE, "DGM852", "row 1, column [1] of `x` is missing"),
    "infinite": ([1.0, np.inf], Type(REAL), "DGM852", "row 1 of `x` is inf"),
    "open end": ([0.5, 1.0], Type(UNIT), "DGM852", "row 1 of `x` is 1, outside (0, 1)"),
    "negative": ([2.0, -1.0], Type(POSITIVE), "DGM852", "row 1 of `x` is -1"),
    "fraction": ([1, 0.5], Type(BINARY), "DGM852", "row 1 of `x` is 0.5"),
    "label": ([0, 3], Type(category(3)), "DGM852", "outside the labels 0..2"),
    "simplex sum": ([[0.5, 0.5], [0.5, 0.4]], Type(SIMPLEX, (2,)), "DGM852", "row 1 of `x` does not add up to 1"),
    "simplex sign": ([[0.5, 0.5], [1.5, -0.5]], Type(SIMPLEX, (2,)), "DGM852", "row 1, column [1] of `x` is -0.5"),
}


@pytest.mark.parametrize("case", VALUES)
def test_arrays_refuse_with_code_and_place(case):
    values, declared, code, message = VALUES[case]
    with pytest.raises(DataError) as refused:
        from_arrays({"x": values}, {"x": declared})

    assert refused.value.code == code
    assert message in refused.value.message
    assert refused.value.help


READ = {
    "too large": ([1.0, 1e39], Type(REAL), "row 1 of `x` is 1e+39, more than float32 holds"),
    "at the end": (
        [0.5, 1 - 1e-9],
        Type(UNIT),
        "row 1 of `x` is 0.999999999, which is read as 1 in float32, outside unit",
    ),
    "another": (
        [1, 2**24 + 1],
        Type(integers(0, 2**25)),
        "row 1 of `x` is 16777217, which is read as 16777216 in float32, another whole number",
    ),
}


@pytest.mark.parametrize("case", READ)
def test_a_value_that_the_precision_does_not_hold_is_refused(case):
    values, declared, message = READ[case]
    assert from_arrays({"x": values}, {"x": declared}).rows == 2
    with pytest.raises(DataError) as refused:
        from_arrays({"x": values}, {"x": declared}, np.dtype(np.float32))

    assert message in refused.value.message and "precision = float64" in refused.value.help


SHAPES = {
    "transposed": ((2, 40), PLANE, "transpose"),
    "one-hot": ((40, 3), Type(category(3)), "argmax"),
    "column": ((40, 1), Type(category(3)), "array[:, 0]"),
    "flat": ((40, 1, 2), PLANE, "flatten"),
    "other": ((40, 3), PLANE, "declare `x : real[3]`, or reshape"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_a_shape_is_refused_with_what_would_mend_it(case):
    shape, declared, help_ = SHAPES[case]
    with pytest.raises(DataError) as refused:
        from_arrays({"x": np.zeros(shape)}, {"x": declared})

    assert refused.value.code == "DGM851" and help_ in refused.value.help


def test_tensors_of_half_precision_are_read():
    values = torch.tensor([0.5, -2.0], dtype=torch.bfloat16, requires_grad=True)
    assert from_arrays({"x": values}, {"x": Type(REAL)}).whole()["x"].tolist() == [0.5, -2.0]


def test_truths_are_numbers():
    assert from_arrays({"x": np.array([True, False])}, {"x": Type(REAL)}).whole()["x"].dtype == np.uint8


def test_arrays_go_by_name():
    variables = {"x": PLANE, "c": Type(BINARY)}
    with pytest.raises(DataError, match="no data variable `y`"):
        from_arrays({"y": np.zeros((3, 2))}, variables)
    with pytest.raises(DataError, match="no data for `c`"):
        from_arrays({"x": np.zeros((3, 2))}, variables)
    with pytest.raises(DataError, match=r"common number of rows, got `x` 3, `c` 2"):
        from_arrays({"x": np.zeros((3, 2)), "c": [True, False]}, variables)

    assert from_arrays({"c": [True, False], "x": np.zeros((2, 2))}, variables).rows == 2


def test_a_late_row_is_named():
    column = np.zeros(200_000)
    column[150_001] = np.nan
    with pytest.raises(DataError, match="row 150001 of `x`"):
        from_arrays({"x": column}, {"x": Type(REAL)})


def test_splits_are_disjoint_complete_and_fixed_by_the_seed():
    table = Dataset({"x": np.arange(1797), "y": -np.arange(1797)})
    parts = table.split((0.8, 0.1, 0.1), seed=3)
    again = table.split((0.8, 0.1, 0.1), seed=3)
    other = table.split((0.8, 0.1, 0.1), seed=4)

    assert [part.rows for part in parts] == [1438, 179, 180]
    assert np.array_equal(np.sort(np.concatenate([part["x"] for part in parts])), np.arange(1797))
    assert all(np.array_equal(a["x"], b["x"]) for a, b in zip(parts, again, strict=True))
    assert not np.array_equal(parts[2]["x"], other[2]["x"])
    assert np.array_equal(parts[1]["y"], -parts[1]["x"])


def test_a_split_without_rows_is_refused():
    with pytest.raises(DataError, match="too few"):
        Dataset({"x": np.arange(3)}).split((0.9, 0.1), seed=0)
    with pytest.raises(ValueError, match="fractions"):
        Dataset({"x": np.arange(30)}).split((0.9, 0.2), seed=0)


WALKS = {
    "in memory": Batches((103,), batch=10, seed=1),
    "blocks held together": Batches((50, 53), batch=10, seed=1),
    "a few blocks at a time": Batches((7, 0, 31, 12, 25, 28), batch=10, seed=1, held=40),
    "one block at a time": Batches((3,) * 34 + (1,), batch=10, seed=1, held=1),
}


def flat(steps, sizes):
    """The rows of each step by their numbers in the whole table."""
    starts = np.cumsum([0, *sizes])
    of = [np.arange(a, b) for a, b in pairwise(starts)]
    return [np.concatenate([np.concatenate([of[b] for b in p.blocks])[p.rows] for p in step]) for step in steps]


@pytest.mark.parametrize("case", WALKS)
def test_batches_resume_anywhere(case):
    batches = WALKS[case]
    whole = flat(batches.walk(0, 35), batches.sizes)

    assert batches.per_epoch == 10
    assert len(whole) == 35
    assert all(len(rows) == 10 for rows in whole)
    for start in (0, 7, 10, 23):
        resumed = flat(batches.walk(start, 35), batches.sizes)
        assert all(np.array_equal(a, b) for a, b in zip(resumed, whole[start:], strict=True))


@pytest.mark.parametrize("case", WALKS)
def test_an_epoch_visits_each_row_once_in_its_own_order(case):
    batches = WALKS[case]
    epochs = [np.concatenate(flat(batches.walk(e * 10, e * 10 + 10), batches.sizes)) for e in (0, 1)]
    other = np.concatenate(flat(replace(batches, seed=2).walk(0, 10), batches.sizes))

    assert all(len(np.unique(rows)) == 100 for rows in epochs)
    assert not np.array_equal(*epochs) and not np.array_equal(epochs[0], other)
    assert np.mean(np.diff(epochs[0]) == 1) < 0.4


def test_no_more_rows_are_held_than_fit_or_than_a_block_has():
    batches = WALKS["a few blocks at a time"]
    for step in batches.walk(0, 40):
        for piece in step:
            assert len(piece.blocks) == 1 or sum(batches.sizes[b] for b in piece.blocks) <= 40


def test_fewer_rows_than_a_batch_make_one_batch():
    assert [len(rows) for rows in flat(Batches((7,), batch=64, seed=0).walk(0, 3), (7,))] == [7, 7, 7]


def test_moments_of_parts_are_those_of_the_whole():
    rows = 1e6 + np.random.default_rng(0).normal(size=(1000, 3)) * [1e-2, 1, 1e3]
    found = Moments()
    for part in np.split(rows, [0, 1, 400, 401, 990]):
        found.add(part)

    assert found.rows == 1000
    np.testing.assert_allclose(found.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.std(ddof=1), rows.std(0, ddof=1), rtol=1e-9)


def test_every_source_opens():
    for name in ("digits", *TOYS):
        shape = DIGITS if name == "digits" else PLANE
        assert open_source(name, {}, {"x": shape}, Context()).rows >= 1797
