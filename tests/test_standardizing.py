"""`standardize = true`: statistics of the training rows, and everything that comes out in the units of the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import dgmspec
from dgmspec.core.types import REAL, Type
from dgmspec.graph.standardizing import standardized
from dgmspec.modules.compiled import CompiledModel
from dgmspec.ops.standardizing import Standardize
from dgmspec.runtime.data import DataError, Dataset, from_arrays
from dgmspec.runtime.rows import open_parts
from dgmspec.runtime.selfcheck import check_step
from dgmspec.runtime.standardizing import record_statistics
from dgmspec.runtime.task import task_of
from dgmspec.runtime.train import Run
from dgmspec.runtime.verify import verify_run

FLOWS = {
    "x -> z": "flow x -> z | c, k, h(c) {{ {} }}",
    "z -> x": "flow z -> x | c, k, h(c) {{ inverse {{ {} }} }}",
}
STEPS = "coupling(affine, mask = half, net = mlp(8)); linear(plu); actnorm"
SPEC = """dgm 1
model M {{
    observe x : real[2]
    given c : positive
    given k : category(3)
    net h(c) : real[4] = mlp(8)
    latent z : real[2] ~ normal(log(c), 1)
    {flow}
    loss = nll
}}
train M {{ steps = 30; batch = 64; precision = float64; standardize = {on}; validate = holdout(0.2, every = 10) }}
"""
SCALE, SHIFT = np.array([1e3, 1e-3]), np.array([-4e3, 5.0])


def spec(flow: str = "x -> z", on: str = "true") -> dgmspec.Spec:
    return dgmspec.parse(SPEC.format(flow=FLOWS[flow].format(STEPS), on=on))


def arrays(rows: int = 400) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    kind = np.arange(rows) % 3
    return {
        "x": (random.normal(size=(rows, 2)) + kind[:, None]) * SCALE + SHIFT,
        "c": np.exp(random.normal(size=rows)),
        "k": kind,
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return dgmspec.train(spec(), data=arrays(), out=tmp_path_factory.mktemp("runs") / "r")


def statistics(model: CompiledModel, name: str) -> tuple[np.ndarray, np.ndarray]:
    mean, log_std = (model.get_parameter(f"M/{name}/standardize/{part}").numpy() for part in ("mean", "log_std"))
    return mean, np.exp(log_std)


def test_statistics_are_those_of_the_training_rows_alone(finished: Run) -> None:
    data = arrays()
    plan = task_of(spec(), None, None, data, None).plan
    parts = open_parts(finished.model, plan, data)
    rows = parts.train.whole()
    assert rows.rows == 240 and finished.model.standardized == ("x", "c")
    for name in ("x", "c"):
        mean, std = statistics(finished.model, name)
        np.testing.assert_allclose(mean, rows[name].mean(0), rtol=1e-12)
        np.testing.assert_allclose(std, rows[name].std(0), rtol=1e-12)


@pytest.mark.parametrize("flow", FLOWS)
def test_densities_are_in_the_units_of_the_data(flow: str) -> None:
    """The density of the standardised model at the data is that of the plain one at standardised data, less Σ log σ."""
    data = arrays(50)
    on, off = (dgmspec.compile(spec(flow, word), seed=1, dtype=torch.float64) for word in ("true", "false"))
    record_statistics(on, from_arrays(data, {n: on.type_of(n) for n in data}))
    on.set_statistics("c", 0.5, 0.5)  # so that c = 1 is 1 also standardised: the prior's formula reads c as it is
    assert off.standardized == () and set(off.state_dict()) < set(on.state_dict())
    mean, std = statistics(on, "x")
    given = {"c": torch.ones(1, dtype=torch.float64), "k": torch.tensor(data["k"])}
    expected = off.log_prob(torch.tensor((data["x"] - mean) / std), given) - np.log(std).sum()
    torch.testing.assert_close(on.log_prob(torch.tensor(data["x"]), given), expected)
    other = given | {"c": torch.full((1,), 2.0, dtype=torch.float64)}
    assert not torch.allclose(on.log_prob(torch.tensor(data["x"]), other), expected)


@pytest.mark.parametrize("flow", FLOWS)
def test_both_directions_samples_and_the_ledger_agree(flow: str) -> None:
    data = arrays(50)
    model = dgmspec.compile(spec(flow), seed=1, dtype=torch.float64)
    record_statistics(model, from_arrays(data, {n: model.type_of(n) for n in data}))
    x, given = torch.tensor(data["x"]), {"c": torch.tensor(data["c"]), "k": torch.tensor(data["k"])}
    model.initialise({"x": x, **given})
    log_prob = model.log_prob(x, given)

    torch.testing.assert_close(model.decode(model.encode(x, given), given), x)
    ledger = model.ledger(x, given)
    torch.testing.assert_close(ledger.total, log_prob)
    assert [step.name for step in ledger].count("standardize") == 1
    drawn, density = model.sample_and_log_prob(50, {k: v[:1] for k, v in given.items()}, seed=0)
    torch.testing.assert_close(model.log_prob(drawn, {k: v[:1] for k, v in given.items()}), density)
    torch.testing.assert_close(model.freeze().log_prob(x, given), log_prob)
    torch.testing.assert_close(model.compiled(backend="aot_eager").log_prob(x, given), log_prob)


def test_a_model_in_other_units_is_the_same_model(tmp_path: Path) -> None:
    """Training on data · a + b gives the same figures, but for log a a coordinate."""
    data = arrays()
    other = data | {"x": data["x"] * [8.0, 0.25] + [100.0, -2.0]}
    text = SPEC.format(flow=FLOWS["x -> z"].format(STEPS), on="true")
    first, second = (
        dgmspec.train(dgmspec.parse(text), data=d, out=tmp_path / str(i)) for i, d in enumerate((data, other))
    )
    gap = second.report["test"]["nll_nats"] - first.report["test"]["nll_nats"]
    assert gap == pytest.approx(np.log(8 * 0.25), abs=1e-6)


LAWS = {
    "prior": "latent z : real[2]; generate z | c ~ normal(mlp(8)); flow x -> z { linear(plu) }; loss = nll",
    "prior of a named net": "net h(c) = mlp(8); latent z : real[2] ~ normal(h(c)); "
    "flow x -> z { linear(plu) }; loss = nll",
    "autoregressive": "latent z : real[2]; generate z | c ~ autoregressive(normal, net = made(8)); "
    "flow x -> z { actnorm }; loss = nll",
    "posterior": "latent e : real[2] ~ normal(0, 1); latent w : real ~ normal(0, 1); "
    "flow x -> e | w, c { linear(plu); coupling(affine, mask = half, net = mlp(8)) }; infer w | x ~ normal(mlp(8)); "
    "loss = elbo",
}


@pytest.mark.parametrize("name", LAWS)
def test_nets_of_laws_read_what_is_standardised(name: str) -> None:
    """Whatever the units of the data and of what is given, the density is the same, but for those of the data."""
    text = f"dgm 1\nmodel M {{ observe x : real[2]; given c : real; {LAWS[name]} }}\n"
    model = dgmspec.compile(dgmspec.parse(text + "train M { steps = 1; standardize = true }"), dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for parameter in (p for p in model.parameters() if p.requires_grad):
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    x, c = (torch.randn(6, *shape, generator=generator, dtype=torch.float64) for shape in ((2,), ()))
    found = []
    for scale, shift in ((1.0, 0.0), (50.0, -7.0)):
        for variable in ("x", "c"):
            model.set_statistics(variable, shift, scale)
        found.append(model.log_prob(x * scale + shift, {"c": c * scale + shift}, seed=0) + 2 * np.log(scale))
    torch.testing.assert_close(found[0], found[1])


def test_what_is_standardised_keeps_its_name() -> None:
    text = f"dgm 1\nmodel M {{ observe x : real[2]; given c : real; {LAWS['autoregressive']} }}\n"
    told = dgmspec.diagnose(text + "train M { steps = 1; standardize = true }").explain("M")
    assert "generate  z | c ~ autoregressive(normal" in told


def test_a_run_keeps_its_statistics(finished: Run) -> None:
    loaded = dgmspec.load_model(finished.path / "model")
    data = arrays(20)
    x, given = torch.tensor(data["x"]), {"c": torch.tensor(data["c"]), "k": torch.tensor(data["k"])}
    assert torch.equal(loaded.log_prob(x, given), finished.model.log_prob(x, given))
    assert "standardize = true" in (finished.path / "bundle.dgm").read_text()
    assert dgmspec.evaluate(finished.path, data=arrays()) == pytest.approx(
        {"density": "exact", **finished.report["test"]}
    )
    samples = loaded.sample(2000, {"c": [1.0], "k": [0]}, seed=0).numpy()
    assert np.all(np.abs(samples.mean(0) - SHIFT) < 3 * SCALE)
    assert verify_run(finished.path).holds
    fixed = [name for name, p in loaded.named_parameters() if not p.requires_grad and "standardize" in name]
    assert len(fixed) == 4


@pytest.mark.parametrize("before", [Type(REAL, (3,)), Type(REAL), Type(REAL, (2, 2, 2))], ids=str)
def test_the_step_keeps_the_laws_of_steps(before: Type) -> None:
    parameters = {p.name: torch.zeros(p.shape, dtype=torch.float64) for p in Standardize().parameters(before, None)}
    found = check_step(Standardize(), parameters, before, complete=True)
    assert {f.claim for f in found} >= {"inverse", "log-determinant", "dependency", "constant", "type"}
    assert all(f.holds for f in found)


# ---- what is refused ------------------------------------------------------------------------------------------------

TRAIN = "train M {{ data = {}; steps = 5; standardize = true }}"


def codes(model: str, data: str = "two_moons") -> list[str]:
    text = f"dgm 1\nmodel M {{ {model}; loss = nll }}\n" + TRAIN.format(data)
    return [d.code for d in dgmspec.diagnose(text).diagnostics if d.severity == "error"]


def test_what_has_no_scale_of_its_own_is_refused() -> None:
    flow, z = "flow x -> z {{ {} }}", "latent z : real[{}] ~ normal(0, 1)"
    assert codes(f"observe x : real[2]; {z.format(2)}; {flow.format('actnorm')}") == []
    digits = f"observe x : integer(0..16)[64]; {z.format(64)}; {flow.format('dequantize(uniform); logit')}"
    assert codes(digits, "digits(flat = true)") == ["DGM812"]
    assert "DGM812" in codes(f"observe x : positive[2]; {z.format(2)}; {flow.format('inverse exp')}", 'npy("x.npy")')
    assert codes("observe x : real[2] ~ normal(0, 1)") == ["DGM812"]
    target = "observe x : real[2] ~ exp(-dot(x, x)); latent z : real[2] ~ normal(0, 1); flow z -> x { actnorm }"
    text = f"dgm 1\nmodel M {{ {target}; loss = reverse_kl }}\ntrain M {{ steps = 5; standardize = true }}"
    assert [d.code for d in dgmspec.diagnose(text).diagnostics] == ["DGM812"]


def test_columns_without_spread_are_named() -> None:
    model = dgmspec.compile(spec(), dtype=torch.float32)
    data = arrays()
    flat = data | {"x": np.stack([np.full(400, 3.0), data["x"][:, 1]], 1)}
    with pytest.raises(DataError, match=r"`x`, coordinate \[0\] is 3 in all 400 training rows"):
        record_statistics(model, Dataset(flat))
    far = data | {"x": data["x"] + [1e9, 0]}
    with pytest.raises(DataError, match=r"coordinate \[0\] has mean 9.99997e\+08 .* hardly tells its values apart"):
        record_statistics(model, Dataset(far))
    with pytest.raises(ValueError, match="not standardised"):
        model.set_statistics("k", 0.0, 1.0)
    with pytest.raises(ValueError, match="not positive"):
        model.set_statistics("x", 0.0, 0.0)


def test_given_angles_stay_angles() -> None:
    text = SPEC.format(flow=FLOWS["x -> z"].format(STEPS), on="false").replace("given c : positive", "given c : circle")
    graph = dgmspec.compile(dgmspec.parse(text.replace("log(c)", "cos(c)"))).graph
    assert [a for a in standardized(graph).steps if a.endswith("standardize")] == ["M/x/standardize"]
