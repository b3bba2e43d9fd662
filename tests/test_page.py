"""The report of a run: one file that says everything, looked at in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dgmspec
from dgmspec import cli
from dgmspec.core.markup import Html, painted, tag
from dgmspec.core.png import bits_uri, pixels_uri
from dgmspec.runtime import likelihood
from dgmspec.runtime.beside import samples_beside
from dgmspec.runtime.kolmogorov.histograms import Histogram
from dgmspec.runtime.page import write_page
from dgmspec.runtime.page.charts import Line, curves, ticks
from dgmspec.runtime.page.material import gather
from dgmspec.runtime.page.processes import processes_section
from dgmspec.runtime.page.sections import SECTIONS as SECTIONS_OF
from dgmspec.runtime.page.sections import header
from dgmspec.runtime.page.write import POLICY
from dgmspec.runtime.progress import rate
from dgmspec.runtime.report import summary

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

PLANE = """dgm 1
model Plane {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z { actnorm; repeat 2 as k { coupling(affine, mask = alternate(k), net = mlp(8)) } }
    loss = nll
}
train Plane { data = two_moons(n = 600); steps = 20; batch = 64; validate = holdout(0.2, every = 10) }
"""
LABELLED = """dgm 1
model Labelled {
    observe x : integer(0..16)[64]
    given label : category(10)
    latent z : real[64] ~ normal(0, 1)
    flow x -> z | label { dequantize(uniform); logit; elementwise(affine, net = mlp(8)) }
    loss = nll
}
train Labelled { data = digits(flat = true, labels = true); steps = 5; batch = 64; validate = holdout(0.1, every = 5) }
"""
VECTOR = """dgm 1
model Vector {
    observe x : real[3]
    latent z : real[3] ~ normal(0, 1)
    flow x -> z { actnorm; linear(plu) }
    loss = nll
}
train Vector { steps = 10; batch = 64 }
"""
LINE = """dgm 1
model Line {
    observe x : positive
    latent z : real ~ normal(0, 1)
    flow x -> z { inverse exp; elementwise(rqs(6)) }
    loss = nll
}
train Line { steps = 10; batch = 64 }
"""
SECTIONS = ["Model", "Plan and costs", "Training", "Samples beside data", "Ledger", "Self-check", "Environment"]


RUNS = ["plane", "labelled", "vector", "line"]


@pytest.fixture(scope="module", autouse=True)
def _few_fresh_points() -> Iterator[None]:
    """The gap to a known density on few points: its figure is not what is tested here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likelihood, "GAP_POINTS", 2_000)
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small runs with their reports: the plane, labelled images, and arrays given from Python."""
    folder = tmp_path_factory.mktemp("page")
    for name, text in (("plane", PLANE), ("labelled", LABELLED)):
        (folder / f"{name}.dgm").write_text(text)
        assert cli.run(["train", str(folder / f"{name}.dgm"), "--out", str(folder / name), "-q"]) == 0
    rows = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    dgmspec.train(dgmspec.parse(VECTOR), data={"x": rows}, out=folder / "vector")
    dgmspec.train(dgmspec.parse(LINE), data={"x": np.exp(rows[:, 0])}, out=folder / "line")
    for name in RUNS:
        assert cli.run(["report", str(folder / name), "-q"]) == 0
    return {name: folder / name for name in RUNS}


def page(run: Path) -> str:
    return (run / "report.html").read_text()


@pytest.mark.parametrize("name", RUNS)
def test_the_page_is_one_file_that_reaches_for_nothing(runs: dict[str, Path], name: str) -> None:
    text = page(runs[name])
    assert len(text) < 1_500_000
    addresses = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert addresses and all(address.startswith(("data:image/png;base64,", "#")) for address in addresses)
    assert "url(" not in text.replace("url(#head)", "") and "<script" not in text and "@import" not in text
    assert "Content-Security-Policy" in text and "http" not in text.replace("http-equiv", "").replace(
        'xmlns="http://www.w3.org/2000/svg"', ""
    )


def test_the_figures_are_those_of_the_run(runs: dict[str, Path]) -> None:
    report = json.loads((runs["plane"] / "report.json").read_text())
    text = page(runs["plane"])
    for figure in ("nll_nats", "nll_stderr", "bits_per_dim", "gap_to_entropy_nats"):
        assert f"{report['test'][figure]:.4f}" in text
    assert f"{report['validation']:.4f}" in text and "true density" in text
    bound = page(runs["labelled"])
    assert "lower bound" in bound and "upper bound" in bound and "gaussian" in bound
    assert "model density, exact" in page(runs["line"])
    assert "given from Python" in page(runs["vector"]) and "samples of the model" in page(runs["vector"])
    assert "weights as they are, random points" in page(runs["vector"])


def test_the_ledger_sums_to_the_log_density(runs: dict[str, Path]) -> None:
    for name in ("plane", "labelled"):
        table = gather(runs[name]).ledger
        assert table is not None
        assert sum(entry.mean for entry in table.entries) == pytest.approx(table.total.mean, abs=1e-4)
        report = json.loads((runs[name] / "report.json").read_text())
        assert -table.total.mean == pytest.approx(
            report["test"]["nll_nats"], abs=0.5 + 3 * report["test"]["nll_stderr"]
        )


def test_what_a_user_wrote_is_escaped(runs: dict[str, Path], tmp_path: Path) -> None:
    copied = tmp_path / "<b>run"
    shutil.copytree(runs["vector"], copied)
    report = json.loads((copied / "report.json").read_text()) | {"verdict": "<img src=x onerror=alert(1)>"}
    (copied / "report.json").write_text(json.dumps(report))
    text = write_page(copied).read_text()
    assert "<img src=x" not in text and "&lt;img src=x" in text and "<b>run" not in text
    assert "Not sound" in text


def test_data_that_moved_are_found_where_they_lie_now(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(60, 3)))
    text = VECTOR.replace("{ steps", "{ data = rows; validate = holdout(0.4); steps").replace(
        "dgm 1", 'dgm 1\ndata rows = npy("rows.npy")'
    )
    (tmp_path / "m.dgm").write_text(text)
    run = str(tmp_path / "run")
    assert cli.run(["train", str(tmp_path / "m.dgm"), "--out", run, "-q"]) == 0
    now = (tmp_path / "rows.npy").rename(tmp_path / "moved.npy")
    for verb in ("report", "verify"):
        assert cli.run([verb, run, "-q", "--data", f"rows={now}"]) == 0
    text = page(tmp_path / "run")
    assert f"bundle.dgm --data rows={tmp_path / 'rows.npy'}" in text
    assert re.search(r"trained weights, \d+ held-out rows", text) and "No data beside" not in text


def test_reports_that_cannot_be_written_are_said(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["report", str(tmp_path)]) == 2
    assert "no folder of a dgmspec run" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert cli.run(["report", str(runs["plane"]), "-o", str(tmp_path / "file/a.html")]) == 2
    assert "cannot write" in capsys.readouterr().err
    shutil.copytree(runs["plane"], tmp_path / "copied")
    (tmp_path / "copied/report.json").write_text("{}")
    assert cli.run(["report", str(tmp_path / "copied")]) == 2
    assert "report.json is damaged: it says no format_version; put back" in capsys.readouterr().err
    (tmp_path / "a.html").mkdir()
    assert cli.run(["report", str(runs["plane"]), "-o", str(tmp_path / "a.html")]) == 2
    assert "cannot write" in capsys.readouterr().err and not list(tmp_path.glob("*.part"))


# ---- in a browser ---------------------------------------------------------------------------------------------------

PROBE = """<script>
const errors = [], all = selector => [...document.querySelectorAll(selector)];
addEventListener("error", e => errors.push(String(e.message || e.target.src || e.target)), true);
const size = uri => new Promise(done => {
  const image = new Image();
  image.onload = () => done(image.naturalWidth);
  image.onerror = () => done(0);
  image.src = uri;
});
addEventListener("load", async () => {
  const uris = [...all("img").map(e => e.src), ...all("image").map(e => e.href.baseVal)];
  const out = document.createElement("pre"), scrolls = ".dgm-scroll, .tall, pre, svg";
  const found = {
    errors, sizes: await Promise.all(uris.map(size)),
    inner: innerWidth, scroll: document.documentElement.scrollWidth,
    wide: all("body *").filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(scrolls))
      .map(e => e.outerHTML.slice(0, 120)),
    requests: performance.getEntriesByType("resource").map(e => e.name).filter(name => !name.startsWith("data:")),
    titles: all("h2").map(e => e.innerText), texts: all("section").map(e => e.innerText.length),
    unnamed: all("img:not([alt]), svg:not(:has(title)):not(svg svg)").length,
  };
  out.id = "probe";
  out.textContent = JSON.stringify(found);
  document.body.append(out);
});
</script>"""


@pytest.fixture
def browser(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Chromium without a screen, on a fresh profile."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: the page was not looked at")
    plain = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --hide-scrollbars --enable-logging=stderr"
    )

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(CHROMIUM), *plain.split(), f"--user-data-dir={tmp_path / 'profile'}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    return call


def looked_at(browser: Callable[..., Any], text: str, folder: Path, width: int, *more: str) -> dict[str, Any]:
    """What a script sees on the page; the page's own policy forbids scripts, so a copy allows this one."""
    allowed = text.replace(escape(POLICY), escape(f"{POLICY}; script-src 'unsafe-inline'"), 1)
    assert allowed != text
    file = folder / "probed.html"
    file.write_text(allowed.replace("</title>", f"</title>{PROBE}", 1))
    done = browser(f"--window-size={width},900", "--virtual-time-budget=5000", "--dump-dom", *more, file.as_uri())
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    data: dict[str, Any] = json.loads(unescape(found.group(1)))
    return data


@pytest.mark.parametrize(
    ("name", "width"), [("plane", 1200), ("plane", 600), ("labelled", 1200), ("vector", 600), ("line", 1200)]
)
def test_a_browser_shows_all_of_it(
    browser: Callable[..., Any], runs: dict[str, Path], tmp_path: Path, name: str, width: int
) -> None:
    found = looked_at(browser, page(runs[name]), tmp_path, width)
    assert found["errors"] == [] and found["requests"] == [] and found["unnamed"] == 0
    assert len(found["sizes"]) >= 4 and all(size > 0 for size in found["sizes"])
    assert found["scroll"] <= found["inner"] and found["wide"] == []
    titles = SECTIONS if name != "labelled" else [*SECTIONS[:4], "Beside simple densities", *SECTIONS[4:]]
    assert found["titles"] == titles and min(found["texts"]) > 20


def test_it_is_dark_where_the_reader_is(browser: Callable[..., Any], runs: dict[str, Path], tmp_path: Path) -> None:
    light = tmp_path / "light.png"
    dark = tmp_path / "dark.png"
    address = (runs["plane"] / "report.html").as_uri()
    browser("--window-size=1200,1600", f"--screenshot={light}", address)
    browser("--window-size=1200,1600", "--force-dark-mode", f"--screenshot={dark}", address)
    first, second = (np.asarray(Image.open(path).convert("L"), np.float64) for path in (light, dark))
    assert first[:40].min() == 255 and second[:40].max() < 40
    assert first.std() > 15 and second.std() > 10


# ---- parts ----------------------------------------------------------------------------------------------------------


def test_simulated_processes_are_drawn_beside_their_laws() -> None:
    edges, mass = np.linspace(-1, 1, 5), np.array([0.1, 0.4, 0.4, 0.1])
    line = Histogram("M/a -> b (sde)", 0.25, (edges,), 1000 * mass, mass, "derived law")
    plane = Histogram("M/a -> b (sde)", 1.0, (edges, edges), 1000 * np.outer(mass, mass), np.outer(mass, mass), "grid")
    shown = str(processes_section(SimpleNamespace(verification=SimpleNamespace(histograms=(line, plane)))))  # type: ignore[arg-type]  # what it reads
    assert shown.count("<figure") == 3 and shown.count("<image") == 2 and "time 0.25" in shown
    assert "standard errors from the derived law" in shown and "a -&gt; b" in shown
    none = SimpleNamespace(verification=SimpleNamespace(histograms=()))
    assert not processes_section(none)  # type: ignore[arg-type]


CHAIN = """dgm 1
model Chain {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    markov x -> z over t in 1..4 { step(x, t) ~ normal(sqrt(0.5) * x, sqrt(0.5)); learn noise(x, t) = mlp(4) }
    loss = dsm
}
"""
ENERGY = """dgm 1
model Energy {
    observe x : real[2] ~ exp(-dot(x, x))
}
"""


def test_one_reading_is_a_dot() -> None:
    point = Line("training", "faint", np.array([40.0]), np.array([1.0]))
    assert curves([point], "loss", "step", "nats", (0.0, 2.0)).count("<circle") == 1


def test_samples_of_samplers_stand_beside_data() -> None:
    drawn, why = samples_beside(dgmspec.compile(dgmspec.parse(CHAIN)), None, 5, 0)
    assert drawn["x"].shape == (5, 2) and not why
    drawn, why = samples_beside(dgmspec.compile(dgmspec.parse(ENERGY)), None, 5, 0)
    assert not drawn and why
    block = "sample Energy { method = langevin(steps = 3, step_size = 0.1) }"
    assert samples_beside(dgmspec.compile(dgmspec.parse(ENERGY + block)), None, 5, 0)[0]["x"].shape == (5, 2)


def test_pictures_of_codes_are_shown_where_a_run_left_them(tmp_path: Path) -> None:
    title, codes = SECTIONS_OF["codes"]
    material: Any = SimpleNamespace(path=tmp_path)
    assert title == "Codes" and not codes(material)
    (tmp_path / "codes.png").write_bytes(b"picture")
    assert "plane of codes" in codes(material) and "base64,cGljdHVyZQ==" in codes(material)


def test_figures_that_are_not_finite_are_said(runs: dict[str, Path]) -> None:
    material = gather(runs["labelled"])
    for test, said in (
        ({"nll_stderr": None}, " <small>nats</small>"),
        ({"nll_nats": None, "bits_per_dim": None}, "not finite"),
    ):
        report = {**material.report, "test": {**material.report["test"], **test}}
        assert said in header(replace(material, report=report), Html(""))


def test_a_rate_is_that_of_the_steps_and_a_loss_has_its_own_unit(runs: dict[str, Path]) -> None:
    assert rate(0.0123) == "0.012" and rate(2.5) == "2.5" and rate(1234.5) == "1,234"
    text = page(runs["plane"])
    assert " steps/s" in text and ", 0 steps/s" not in text
    report = json.loads((runs["plane"] / "report.json").read_text())
    assert report["loss_unit"] == "nats" and dgmspec.compile(dgmspec.parse(CHAIN)).loss_unit == ""
    assert "nats at step" in summary(report) and "nats at step" not in summary(report | {"loss_unit": ""})


def test_markup_escapes_all_but_markup() -> None:
    built = tag("p", "a < b", tag("b", "&"), None, class_="x", title='"', hidden=False)
    assert built == '<p class="x" title="&quot;">a &lt; b<b>&amp;</b></p>' and isinstance(built, Html)
    assert painted("\x1b[1;31merror\x1b[0m <x>") == '<span class="dgm-error">error</span> &lt;x&gt;'
    assert painted("plain [31m") == "plain [31m"


def test_pictures_are_png_files(tmp_path: Path) -> None:
    import base64

    def opened(uri: str) -> Any:
        (tmp_path / "a.png").write_bytes(base64.b64decode(uri.partition(",")[2]))
        return np.asarray(Image.open(tmp_path / "a.png").convert("RGBA"))

    bits = opened(bits_uri([b"\x01\x00", b"\x00\x01", b"\x01\x01"], (1, 2, 3)))
    assert bits.shape == (3, 2, 4) and bits[..., 3].tolist() == [[255, 0], [0, 255], [255, 255]]
    assert bits[0, 0].tolist() == [1, 2, 3, 255]
    assert opened(pixels_uri([bytes(range(6))]))[0, :, :3].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 7.1), (1e-9, 2e-9), (0, 12_345), (5, 5), (0, float("inf"))])
def test_ticks_are_round_numbers_inside(low: float, high: float) -> None:
    found = ticks(low, high, 5)
    assert all(low - 1e-9 * abs(high) <= value <= high * (1 + 1e-9) for value in found)
    assert (2 <= len(found) <= 7) == (high > low and high != float("inf"))


@pytest.mark.parametrize("half", [1.01, 1.9, 2.1, 3.3, 4.9, 9.9])
@pytest.mark.parametrize("shift", [0.0, 0.3, 100.0])
def test_a_small_picture_has_a_scale(half: float, shift: float) -> None:
    assert 2 <= len(ticks(shift - half, shift + half, 2)) <= 5
