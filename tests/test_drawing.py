"""Drawings and equations: well-formed whatever the names, for every spec and from the command line."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import dgmspec
from dgmspec import cli
from dgmspec.algebra.nodes import expr
from dgmspec.checks.drawing import Box, Drawing, Edge, drawing
from dgmspec.checks.latex import latex
from dgmspec.checks.latex_formulas import escaped, expression, symbol
from dgmspec.checks.renderers import to_dot, to_mermaid
from dgmspec.checks.svg import to_svg
from dgmspec.graph.graph import Graph

SPECS = sorted((Path(__file__).parent.parent / "specs").glob("*.dgm"))
NAMES = """dgm 1
model Große_Namen {
    observe x_max : real[2]
    given σ_n : category(3)
    learn α : positive = 1.0
    latent end : real[2] ~ normal(0, α)
    net h(σ_n) : real[4] = mlp(4)
    flow x_max -> end | h(σ_n) { coupling(affine, mask = half, net = mlp(4)); inverse { actnorm } }
    loss = nll
}
"""
NASTY = Drawing(
    'a "b" \\ <c> & #',
    (
        Box("n0", "observe", ('x"]; <y> & \\ #1', "second"), 0),
        Box("n1", "given", ("</text>",), 0),
        Box("n2", "step", ("f",), 1),
    ),
    (Edge("n0", "n2"), Edge("n1", "n2", True)),
)


def graph_of(text: str) -> Graph:
    return next(iter(dgmspec.diagnose(text).graphs.values()))


GRAPHS = {path.stem: graph_of(path.read_text()) for path in SPECS} | {"names": graph_of(NAMES)}
DRAWINGS = {name: drawing(graph) for name, graph in GRAPHS.items()} | {"nasty": NASTY}
each_drawing = pytest.mark.parametrize("name", DRAWINGS)
each_graph = pytest.mark.parametrize("name", GRAPHS)


# ---- the drawing ----------------------------------------------------------------------------------------------------


@each_graph
def test_every_variable_and_step_is_drawn_and_arrows_lead_downwards(name: str) -> None:
    graph, drawn = GRAPHS[name], DRAWINGS[name]
    assert len(drawn.boxes) == len(graph.variables) + len(graph.steps) + len(graph.nets) + len(graph.formulas)
    layer = {box.id: box.layer for box in drawn.boxes}
    assert all(layer[edge.source] < layer[edge.target] for edge in drawn.edges)
    if len(layer) > 1:  # a variable whose density is a formula alone has no edge
        assert {edge.source for edge in drawn.edges} | {edge.target for edge in drawn.edges} == set(layer)


def test_contexts_are_dashed_through_the_nets_they_pass() -> None:
    drawn = DRAWINGS["names"]
    label = {box.id: box.lines[0] for box in drawn.boxes}
    dashed = [(label[edge.source], label[edge.target]) for edge in drawn.edges if edge.dashed]
    assert ("σ_n : category(3)", "net h") in dashed and ("net h", "coupling(affine, half)") in dashed


def test_long_lines_are_broken_after_commas() -> None:
    lines = DRAWINGS["made"].boxes[0].lines
    law = "~ autoregressive(discretized_logistic(components = 5), net = made(256, 256, dropout = 0.25))"
    assert len(lines) > 2 and max(map(len, lines)) < 60 and " ".join(lines[1:]) == law


# ---- renderers ------------------------------------------------------------------------------------------------------


@each_drawing
def test_svg_parses_and_its_boxes_lie_on_the_page_apart_from_each_other(name: str) -> None:
    drawn = DRAWINGS[name]
    root = ET.fromstring(to_svg(drawn))
    space = "{http://www.w3.org/2000/svg}"
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    said = [element.text for element in root.iter(f"{space}text")]
    assert sorted(map(str, said)) == sorted(line for box in drawn.boxes for line in box.lines)
    keys = ("x", "y", "width", "height")
    boxes = [[float(r.attrib[k]) for k in keys] for r in root.iter(f"{space}rect") if "x" in r.attrib]
    assert len(boxes) == len(drawn.boxes)
    for i, (x, y, w, h) in enumerate(boxes):
        assert min(x, y) >= 0 and x + w <= width and y + h <= height
        for a, b, c, d in boxes[:i]:
            assert x + w <= a or a + c <= x or y + h <= b or b + d <= y
    assert sum("marker-end" in p.attrib for p in root.iter(f"{space}path")) == len(drawn.edges)


@each_drawing
def test_dot_is_balanced_and_its_strings_are_closed(name: str) -> None:
    text = to_dot(DRAWINGS[name])
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    assert '"' not in bare and bare.count("{") == bare.count("}") == 1 and bare.count("[") == bare.count("]")
    for line in bare.splitlines()[2:-1]:
        assert re.fullmatch(r"    n\d+ (-> n\d+( \[style=dashed\])?|\[label=, .*\]);", line), line


@each_drawing
def test_mermaid_has_safe_ids_and_labels(name: str) -> None:
    lines = to_mermaid(DRAWINGS[name]).splitlines()
    assert lines[0] == "flowchart TB"
    for line in lines[1:]:
        node = re.fullmatch(r'    n\d+(\(\[|\[|\()"([^"]*)"(\]\)|\]|\))', line)
        assert node or re.fullmatch(r"    (n\d+ (-->|-\.->) n\d+|classDef .*|class [n\d,]+ observed)", line), line
        assert not node or not set(node[2].replace("<br/>", "")) & set('<>&\\"')


# ---- equations ------------------------------------------------------------------------------------------------------


@each_graph
def test_latex_is_balanced(name: str) -> None:
    text = latex(GRAPHS[name]).replace(r"\leftarrow", "")
    bare = text.replace("\\\\", "").replace("\\{", "").replace("\\}", "")
    assert bare.count("{") == bare.count("}") and text.count(r"\left") == text.count(r"\right")
    assert text.count("\\begin{align*}") == text.count("\\end{align*}") == 1
    rows = text.splitlines()[2:-1]
    assert all(len(re.findall(r"(?<!\\)&", row)) in (1, 3) for row in rows)
    assert not re.search(r"(?<!\\)[#%]|\$[^$]*$", "".join(rows))


def test_latex_says_the_density_with_the_sign_of_the_direction() -> None:
    maf, iaf, digits = (latex(GRAPHS[name]) for name in ("maf", "iaf", "digits"))
    assert (
        r"z \sim \operatorname{normal}\left(0, 1\right)" in maf and r"\log p(x) &= \log p(z) + \sum_{k=1}^{15}" in maf
    )
    assert r"\log p(x) &= \log p(z) - \sum_{k=1}^{8}" in iaf and r"\mathbb{E}_{x \sim p}" in iaf
    assert r"\text{of } f_{1} &: \text{the determinant of a branch, and } -\log P(\text{what it draws})" in digits
    assert r"\log p(x) &\geq" in digits and r"x &\in \{0, \ldots, 16\}^{64}" in digits
    assert r"\mathcal{L} &= -\mathbb{E}_{x \sim \text{data}}\left[\log p(x)\right]" in maf


def test_latex_says_what_a_law_is_given_and_the_equation_of_a_process() -> None:
    texts = {name: latex(GRAPHS[name]) for name in ("gmm", "joint_simulator", "double_well", "critically_damped")}
    assert r"\log p(x) &= \log \sum_{k} p(k)\, p(x \mid k)" in texts["gmm"]
    joint = texts["joint_simulator"]
    assert r"\log p(x \mid \mathit{theta}) &= \log p(z) +" in joint and r"f^{(1)}(x;\, \mathit{theta})" in joint
    assert r"\log p(\mathit{theta}) &=" not in joint
    assert (
        r"d x &= \left(x - {x}^{3}\right)\, d t + \sqrt{\frac{2}{4}}\, d W,\quad t \colon 0 \to 10"
        in texts["double_well"]
    )
    assert r"d (x, v) &= \left[" in texts["critically_damped"]


def test_names_become_symbols() -> None:
    expected = {"x": "x", "x0": "x_{0}", "label": r"\mathit{label}", "σ": r"\sigma", "σ_max": r"\sigma_{\mathit{max}}"}
    assert {name: symbol(name) for name in expected} == expected
    assert symbol("Ω") == r"\Omega" and symbol("λ") == r"\lambda" and symbol("a_b_c") == r"a_{\mathit{b\_c}}"
    assert escaped(r"a_b & 50% {x} \ #") == r"a\_b \& 50\% \{x\} \textbackslash{} \#"


def test_expressions_keep_their_meaning() -> None:
    fn = dgmspec.parse("dgm 1\nfn f(x, y) = -(x + 1)^2 / (2 * y) - exp(-x[0])").items[0]
    assert expression(fn.value) == r"-\frac{{\left(x + 1\right)}^{2}}{2 \cdot y} - \exp\left(-{x}_{0}\right)"
    assert expression(expr(-2.5)) == "-2.5"
    fn = dgmspec.parse("dgm 1\nfn f(x) = sqrt(x) * abs(x) / norm(x) + 1e-5 * x - 2.5e20^2").items[0]
    assert expression(fn.value) == (
        r"\frac{\sqrt{x} \cdot \left|x\right|}{\left\lVert x\right\rVert} + 10^{-5} \cdot x - "
        r"{\left(2.5 \cdot 10^{20}\right)}^{2}"
    )


def test_sets_are_those_of_the_types() -> None:
    text = (
        "dgm 1\nmodel M { observe x : circle[2]; given c : binary; given d : category(3)[4]; given s : simplex[3]\n"
        "learn L : cholesky[2, 2]; latent z : circle[2] ~ uniform(-pi, pi); flow x -> z | c {\n"
        "coupling(rqs(4), mask = half, net = mlp(4)) } }"
    )
    said = latex(graph_of(text))
    assert (
        r"\left(-\pi, \pi\right)" in said
        and r"x &\in \mathbb{T}^{2}" in said
        and r"c &\in \{0, 1\}" in said
        and r"\{0, \ldots, 2\}^{4}" in said
    )
    assert r"s &\in \Delta^{3}" in said and r"L &\in \mathcal{L}_{+}^{2 \times 2}" in said


def test_learned_numbers_stand_in_the_prior() -> None:
    text = latex(GRAPHS["names"])
    assert r"\operatorname{normal}\left(0, \alpha\right)" in text and r"\alpha &\in (0, \infty)" in text


# ---- the command line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["dot", "mermaid", "svg", "latex"])
def test_show_prints_drawings(to: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["show", str(SPECS[0]), "--to", to]) == 0
    out = capsys.readouterr().out
    start = {"dot": "digraph", "mermaid": "flowchart", "svg": "<svg", "latex": "%"}[to]
    assert out.startswith(start) and out.endswith("\n") and not out.endswith("\n\n")


def test_the_bound_of_latent_variables_is_written_out() -> None:
    text = latex(
        graph_of("""dgm 1
model M {
    observe x : binary[4]
    latent z : real[2] ~ normal(0, 1)
    latent u : real[2]
    generate x | z ~ bernoulli(mlp(4))
    infer u | x ~ normal(mlp(4))
    flow u -> z { linear(plu) }
    loss = elbo
}
""")
    )
    assert r"x \mid z \sim" in text and r"q(u \mid x) = " in text
    bound = r"\log p(x \mid z) + \log p(z) + \log\left|\det \frac{\partial z}{\partial u}\right| - \log q(u \mid x)"
    assert rf"\log p(x) &\geq \mathbb{{E}}_{{q}}\left[{bound}\right]" in text
