"""Weights of rows: a row of weight k counts as k rows, in every loss, however a batch is divided, from every source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from pyarrow import parquet
from torch import Tensor

import dgmspec
from dgmspec.core.losses import AbstractLoss
from dgmspec.core.types import REAL, Type
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.runner import UnavailableError
from dgmspec.runtime.data import (
    Context,
    DataError,
    Dataset,
    Moments,
    Simulator,
    by_weight,
    from_arrays,
    mean_weight,
    open_source,
)
from dgmspec.runtime.feed import feed_of
from dgmspec.runtime.interrupts import Interrupted
from dgmspec.runtime.likelihood import log_probs
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.rows import open_parts
from dgmspec.runtime.rundir import RunDirectory
from dgmspec.runtime.shares import parts_of
from dgmspec.runtime.steps import Steps
from dgmspec.runtime.task import recorded_task, task_of
from dgmspec.runtime.train import Run, resume_run
from tests.test_specs import compiled, each_spec
from tests.zoo import draw_event

DOUBLE = torch.float64
Array = NDArray[Any]

FLOW = """
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z { actnorm; coupling(affine, mask = half, net = mlp(4)) }
    loss = nll
"""
NOISING = """
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    sde x -> z over t in 0..1 { drift(x, t) = -x; diffusion(t) = 1; learn noise(x, t) = mlp(4); times = stratified }
"""
LATENT = """
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    generate x | z ~ normal(mlp(4), 1)
    infer z | x ~ normal(mlp(4))
"""
CURVES = """
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    ode x -> z over t in 0..1 { velocity(y, t) = mlp(4, activation = tanh); solver = rk4(steps = 2) }
"""
MODELS = {
    "nll": FLOW,
    "nll of a sum over values": """
    observe x : real[2]
    latent k : category(3) ~ categorical(1)
    generate x | k ~ normal(mlp(), 1)
    loss = nll
""",
    "elbo of draws": f"{LATENT}    loss = elbo(samples = 2, beta = 2)",
    "iwae": f"{LATENT}    loss = iwae(3)",
    "vq": """
    observe x : real[2]
    latent z : category(3)[2] ~ categorical(1)
    generate x | z ~ normal(mlp(4), 1)
    infer z | x ~ nearest(mlp(4), dim = 2)
    loss = elbo + vq(0.25)
""",
    "dsm": f"{NOISING}    loss = dsm",
    "ism of a score": "    observe x : real[2]\n    learn score(x) = mlp(4)\n    loss = ism",
    "cd": "    net f(x) : real = mlp(4)\n    observe x : real[2] ~ exp(-f(x) - dot(x, x))\n    loss = cd(2)",
    "along an ode": f"{CURVES}    loss = nll + 0.1 * kinetic",
    "flow matching": f"{CURVES}    loss = flow_matching",
}


def model_of(members: str, **options: Any) -> CompiledModel:
    return dgmspec.compile(dgmspec.parse(f"dgm 1\nmodel M {{\n{members}\n}}\n"), dtype=DOUBLE, seed=1, **options)


def points(rows: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, 2, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def gradients(model: CompiledModel) -> dict[str, Tensor]:
    """The gradients that were pulled, which are then forgotten."""
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


# ---- the loss -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_every_loss_is_a_mean_of_what_single_rows_add(name: str) -> None:
    """Linear in the weights; what one row adds depends on no other row; ones change no bit of loss and gradient."""
    model, x, keyed = model_of(MODELS[name]), points(4), {"seed": 3, "step": 0}
    w = torch.tensor([0.5, 0.0, 3.0, 0.7], dtype=DOUBLE)
    single = [float(model.loss(x, weights=one, **keyed).total.detach()) for one in torch.eye(4, dtype=DOUBLE)]
    whole = float(model.loss(x, weights=w, **keyed).total.detach())
    assert whole == pytest.approx(float(torch.tensor(single, dtype=DOUBLE) @ w), rel=1e-12)
    others = torch.cat([points(2, seed=1), x[2:3], points(1, seed=2)])
    only = torch.tensor([0.0, 0.0, 1.0, 0.0], dtype=DOUBLE)
    assert float(model.loss(others, weights=only, **keyed).total.detach()) == pytest.approx(single[2], rel=1e-12)

    plain, first = model.pull(x, **keyed), gradients(model)
    ones, second = model.pull(x, weights=torch.ones(4), **keyed), gradients(model)
    assert torch.equal(plain, ones) and first
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.slow
@each_spec
def test_the_loss_of_every_spec_is_linear_in_weights(path: Path) -> None:
    """But for free bits, which bend it, and for what is refused; ones change nothing."""
    model, keyed = compiled(path), {"seed": 3, "step": 0}
    terms = model.graph.loss.terms.values() if model.graph.loss else ()
    reading = [term.op for term in terms if isinstance(term.op, AbstractLoss) and term.op.reads_data]
    if not reading:
        pytest.skip("the loss reads no rows")
    wanted = {i.name: i.type for i in model.program("loss").inputs if i.kind in ("variable", "given")}
    rows = {name: draw_event(type_, 3, seed=2) for name, type_ in wanted.items() if type_ is not None}
    w = torch.tensor([0.5, 3.0, 0.0], dtype=DOUBLE)
    if any(op.unweighted() for op in reading):
        with pytest.raises(UnavailableError, match="weights: "):
            model.loss(rows, weights=w)
        return
    assert torch.equal(model.loss(rows, weights=torch.ones(3), **keyed).total, model.loss(rows, **keyed).total)
    if "free_bits" not in path.read_text():
        single = torch.stack([model.loss(rows, weights=one, **keyed).total for one in torch.eye(3, dtype=DOUBLE)])
        torch.testing.assert_close(model.loss(rows, weights=w, **keyed).total, single @ w, rtol=1e-9, atol=1e-9)


def test_a_term_without_rows_stays_as_it_is() -> None:
    model = model_of(
        "observe x : real[2] ~ exp(-dot(x, x) / 2); latent z : real[2] ~ normal(0, 1); flow z -> x { linear(diagonal) }"
        "; loss = nll + reverse_kl"
    )
    plain, zero = (model.loss(points(5), seed=0, weights=weights).terms for weights in (None, torch.zeros(5)))
    assert torch.equal(plain["reverse_kl"], zero["reverse_kl"]) and not zero["nll"].any() and plain["nll"].any()


def test_what_no_row_can_count_by_is_refused() -> None:
    model = model_of(MODELS["flow matching"].replace("= flow_matching", "= flow_matching(coupling = minibatch_ot)"))
    with pytest.raises(UnavailableError, match="weights: `flow_matching` pairs rows with noise by the whole batch"):
        model.loss(points(4), weights=torch.ones(4))
    with pytest.raises(ValueError, match=r"one number for each of 4 rows, not of shape \(4, 1\)"):
        model_of(FLOW).loss(points(4), weights=torch.ones(4, 1))
    with pytest.raises(UnavailableError, match="frozen"):
        model_of(FLOW).freeze().loss(points(4), weights=torch.ones(4))


def test_the_walk_that_explains_a_loss_has_weights() -> None:
    model, x, w = model_of(FLOW), points(8), torch.rand(8, dtype=DOUBLE)
    assert torch.equal(model.loss_ledger(x, weights=w)[0].total, model.loss(x, weights=w).total)
    assert model.lost(x, weights=w) is None


# ---- training -------------------------------------------------------------------------------------------------------

TRAINED = f"""dgm 1
model M {{{FLOW}}}
train M {{ steps = 1; batch = 10_000; accumulate = 3; precision = float64; weights = "w" }}
"""
COUNTS = np.array([3, 1, 0, 2, 1, 1, 4, 1])


def pulled(data: dict[str, Array], text: str = TRAINED) -> tuple[float, dict[str, Tensor]]:
    """The loss and the gradients of the first step on all rows."""
    task = task_of(dgmspec.parse(text), None, None, data, None)
    model = model_of(FLOW)  # its start is the same for both
    parts = open_parts(model, task.plan, data)
    assert parts.train is not None
    steps = Steps(model, feed_of(model, parts.train, task.plan.batch, 0), task.plan, Processes())
    steps.begin(True)
    loss = steps.gradients(next(iter(steps.batches())))
    return float(loss), gradients(model)


def test_a_row_of_weight_k_is_k_rows_to_training() -> None:
    """A whole batch in three parts, and weights in any unit: the loss and its gradient are those of repeated rows."""
    x = points(8).numpy()
    expected, repeated = pulled({"x": x.repeat(COUNTS, 0)}, TRAINED.replace('; weights = "w"', ""))
    loss, found = pulled({"x": x, "w": 1e-40 * COUNTS})
    assert loss == pytest.approx(expected, rel=1e-12) and found
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, repeated[name], rtol=1e-10, atol=1e-12)


def test_parts_and_processes_have_one_normalisation() -> None:
    """The shares of two processes in two parts each add up to the step of one."""
    data = from_arrays({"x": points(9).numpy(), "w": np.arange(9)}, {"x": Type(REAL, (2,))}, weights="w")
    model = model_of(FLOW)
    feed = feed_of(model, data, 9, seed=0)

    def step(count: int, accumulate: int) -> tuple[float, dict[str, Tensor]]:
        total = 0.0
        for index in range(count):
            alone = Processes()
            alone.count, alone.index = count, index
            for part in parts_of(9, accumulate, alone):
                rows = next(feed.walk(0, 1, part.start, part.stop - part.start))
                total += float(model.pull(rows["x"], part.weight, weights=rows["w"]))
        return total, gradients(model)

    (whole, expected), (found, divided) = step(1, 1), step(2, 2)
    assert found == pytest.approx(whole, rel=1e-12)
    for name, gradient in divided.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-10, atol=1e-12)


RUN = f"""dgm 1
model M {{{FLOW}}}
train M {{
    data = csv("rows.csv", x = ["a", "b"])
    weights = "w"
    steps = 12
    batch = 16
    standardize = true
    validate = holdout(0.25, every = 6)
}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on a file whose weights lean to one side."""
    folder = tmp_path_factory.mktemp("weighted")
    x = points(80).numpy()
    lines = [f"{a},{w},{b}" for (a, b), w in zip(x, np.exp(2 * x[:, 0]), strict=True)]
    (folder / "rows.csv").write_text("\n".join(["a,w,b", *lines]) + "\n")
    return dgmspec.train(dgmspec.parse(RUN), folder=folder, out=folder / "run")


def test_what_is_measured_counts_rows_by_weight(run: Run) -> None:
    """Validation, test and `eval` are means by weight, and say so."""
    task = recorded_task(RunDirectory(run.path), None, None)
    parts, test = open_parts(run.model, task.plan, None, task.places), run.report["test"]
    for table, figure in ((parts.validation, run.report["validation"]), (parts.test, test["nll_nats"])):
        assert table is not None
        rows = table.whole()
        nll, w = -log_probs(run.model, Dataset({"x": rows["x"]})), rows["w"]
        assert figure == pytest.approx(float(nll @ w / w.sum()), rel=1e-5)
        assert abs(figure - float(nll.mean())) > 1e-2
    assert test["effective_rows"] == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert f"(20 rows, by weights worth {test['effective_rows']:.0f})" in run.summary()
    assert dgmspec.evaluate(run.path)["nll_nats"] == pytest.approx(test["nll_nats"], rel=1e-6)


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    step, out = Steps.step, run.path.parent / "stopped"

    def stopping(self: Any, rows: Any) -> Tensor:
        loss = step(self, rows)
        if self.fit.step == 7:
            raise KeyboardInterrupt
        return loss

    with monkeypatch.context() as patched:
        patched.setattr(Steps, "step", stopping)
        with pytest.raises(Interrupted):
            dgmspec.train(dgmspec.parse(RUN), folder=run.path.parent, out=out)
    again = resume_run(out)
    for name, value in run.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name
    assert again.report["test"] == run.report["test"]


def test_scales_and_errors_are_those_of_weighted_rows() -> None:
    x = 5 + points(8).numpy()
    repeated, found = Moments.of(x.repeat(COUNTS, 0)), Moments()
    for part in (slice(0, 1), slice(1, 5), slice(5, 8)):
        found.add(x[part], COUNTS[part])
    np.testing.assert_allclose(found.mean, repeated.mean, rtol=1e-13)
    np.testing.assert_allclose(found.std(), repeated.std(), rtol=1e-13)
    assert found.rows == 7 and found.worth == pytest.approx(13**2 / 33)
    spread = ((COUNTS**2)[:, None] * (x - found.mean) ** 2).sum(0)
    np.testing.assert_allclose(found.error(), np.sqrt(7 / 6 * spread) / 13, rtol=1e-12)
    alike, usual = Moments(), Moments.of(x)
    alike.add(x, np.full(8, 0.3))
    np.testing.assert_allclose(alike.error(), usual.error(), rtol=1e-12)
    assert alike.worth == pytest.approx(8) and usual.worth == 8


def test_rows_drawn_by_weight_come_as_often_as_it_says() -> None:
    rows = Dataset({"x": np.arange(8), "w": COUNTS / 13}, "w")
    drawn = by_weight(rows, seed=0)
    assert drawn.weights is None and list(drawn.columns) == ["x"] and drawn.rows == 8
    assert (np.abs(np.bincount(drawn["x"], minlength=8) - 8 * COUNTS / 13) < 1).all() and 2 not in drawn["x"]
    assert by_weight(Dataset({"x": np.arange(8), "w": np.full(8, 0.1)}, "w"), 0)["x"].tolist() == list(range(8))
    assert by_weight(Dataset({"x": np.arange(8)}), 0)["x"].tolist() == list(range(8))


# ---- where weights come from ----------------------------------------------------------------------------------------

VARIABLES = {"x": Type(REAL, (2,))}


def opened(folder: Path, w: Any, name: str = "csv", **arguments: Any) -> Any:
    """A file of rows with these weights, written and opened."""
    w = np.asarray(w)
    x = np.arange(2.0 * len(w)).reshape(-1, 2)
    if name == "csv":
        path = "rows.csv"
        lines = [",".join(map(str, (a, b, c))) for (a, b), c in zip(x, w, strict=True)]
        (folder / path).write_text("\n".join(["a,b,w", *lines]) + "\n")
        arguments["variables"] = (("x", ("a", "b")),)
    elif name == "parquet":
        path = "rows.parquet"
        parquet.write_table(pa.table({"a": x[:, 0], "b": x[:, 1], "w": w}), folder / path, row_group_size=2)
        arguments["variables"] = (("x", ("a", "b")),)
    elif name == "npy":
        path = "x.npy"
        np.save(folder / path, x)
        np.save(folder / "w.npy", w)
        arguments["variables"] = (("w", "w.npy"),)
    else:
        path = "rows.npz"
        np.savez(folder / path, x=x, w=w)
    return open_source(name, {"path": path, **arguments}, VARIABLES, Context(folder=folder), weights="w")


@pytest.mark.parametrize("name", ["csv", "parquet", "npy", "npz"])
def test_every_file_gives_weights(name: str, tmp_path: Path) -> None:
    table = opened(tmp_path, COUNTS, name)
    assert table.weights == "w" and table.whole()["w"].tolist() == COUNTS.tolist()
    assert mean_weight(table, "these rows") == 13 / 8
    train, held_out = table.split((0.5, 0.5), 0)
    together = [*train.whole()["w"], *held_out.whole()["w"]]
    assert train.weights == "w" and sorted(together) == sorted(COUNTS.tolist())


def test_a_stream_gives_the_weights_of_its_rows(tmp_path: Path) -> None:
    table, model = opened(tmp_path, COUNTS, "parquet", stream=True), model_of(FLOW)
    assert table.streams and len(table.sizes) == 4
    batch = next(feed_of(model, table, 8, seed=0).walk(0, 1))
    row = (batch["x"][:, 0] / 2).long()
    torch.testing.assert_close(batch["w"], torch.tensor(COUNTS)[row].double() * (8 / 13))


def test_a_callable_gives_weights() -> None:
    def simulate(n: int, generator: torch.Generator) -> dict[str, Tensor]:
        x = torch.randn(n, 2, generator=generator)
        return {"x": x, "w": torch.exp(x[:, 0])}

    model, first = model_of(FLOW), Simulator(simulate, VARIABLES, 8, seed=0, weights="w").table("training", 2)
    for batch in feed_of(model, first, 8, seed=0).walk(0, 3, 2, 4):
        assert list(batch) == ["x", "w"] and len(batch["w"]) == 4
        torch.testing.assert_close(batch["w"], batch["x"][:, 0].exp() / first.whole()["w"].mean(), check_dtype=False)
    with pytest.raises(DataError, match=r"batch 1 of the training: there are no data for `w`"):
        Simulator(lambda n, g: {"x": torch.randn(n, 2)}, VARIABLES, 8, seed=0, weights="w").table("training", 2).whole()


@pytest.mark.parametrize(
    ("name", "w", "said"),
    [
        (
            "csv",
            [1, -0.5, 1],
            r"line 3, column `w` of \S*rows.csv .* is -0.5, and the weight of a row is a number from 0",
        ),
        ("csv", [1, 1, "nan"], r"line 4, column `w` of \S*rows.csv .* is missing \(NaN\)"),
        ("csv", [0, 0], r"all weights `w` of \S*rows.csv are 0"),
        ("csv", [1e200, 1], r"the weights `w` of \S*rows.csv add up to 1e\+200"),
        ("parquet", [1, 1, np.inf], r"row 3, column `w` of \S*rows.parquet .* is inf"),
        ("npz", [1, -1], r"row 2 of `w` in \S*rows.npz .* is -1"),
        ("npz", [[1, 2], [1, 2]], r"the weights `w` in `w` in \S*rows.npz have the shape \[2\] a row"),
        ("npy", ["a", "b"], r"the data of `w` in \S*w.npy are not numbers"),
    ],
)
def test_weights_are_numbers_from_0_up(name: str, w: list[Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        opened(tmp_path, w, name)


def test_where_there_is_no_such_column(tmp_path: Path) -> None:
    x = {"x": np.zeros((2, 2))}
    with pytest.raises(DataError, match=r"has no column `v` for `v`"):
        opened(tmp_path, [1, 1])
        arguments = {"path": "rows.csv", "variables": (("x", ("a", "b")),)}
        open_source("csv", arguments, VARIABLES, Context(folder=tmp_path), weights="v")
    with pytest.raises(DataError, match=r"`two_moons` gives `x`, and no column `w` of weights"):
        open_source("two_moons", {}, VARIABLES, Context(), weights="w")
    with pytest.raises(DataError, match="there are no data for `w`"):
        from_arrays(x, VARIABLES, weights="w")
    with pytest.raises(DataError, match="no data variable `w`"):
        from_arrays(x | {"w": np.ones(2)}, VARIABLES)
    with pytest.raises(DataError, match="row 1 of `w` is -1"):
        from_arrays(x | {"w": np.array([1, -1])}, VARIABLES, weights="w")


def test_labels_may_be_weights_of_no_variable() -> None:
    """A column that is weights is nobody else's, however columns are assigned."""
    digits = {"x": Type(REAL, (64,))}
    table = open_source("digits", {"flat": True, "labels": True}, digits, Context(), weights="label")
    assert table.whole()["label"].max() == 9
    with pytest.raises(DataError, match="leaves no data for `c`"):
        both = digits | {"c": Type(REAL)}
        open_source("digits", {"flat": True, "labels": True}, both, Context(), weights="label")
