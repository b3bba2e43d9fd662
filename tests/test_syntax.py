"""The parser: the whole grammar, layout and keywords by position, precedence, recovery, limits, messages."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dgmspec
from dgmspec.core.codes import CODES
from dgmspec.core.diagnostics import Diagnostic, Span
from dgmspec.syntax import Token, Tree, parse_tree
from dgmspec.syntax.grammar import compile_table, grammar_text, load_table
from dgmspec.syntax.layout import HEADS
from dgmspec.syntax.recovery import NAMES

WHOLE = (Path(__file__).parent / "whole_language.dgm").read_text(encoding="utf-8")
READING = [code for code in CODES.values() if "DGM1" <= code.number < "DGM150" and code.wrong]


def show(node: Tree | Token) -> str:
    """A tree in short: tokens as their text, nodes as `(kind child …)`."""
    if isinstance(node, Token):
        return node.text
    return f"({' '.join([node.kind, *map(show, node.children)])})"


def statements(text: str) -> list[str]:
    """The statements of a text that reads without a finding."""
    tree, found = parse_tree(f"dgm 1\n{text}")
    assert not found, [str(d) for d in found]
    return [show(child) for child in tree.children[1:]]


def expression(text: str) -> str:
    (statement,) = statements(f"y = {text}")
    return statement.removeprefix("(setting y ").removesuffix(")")


def findings(text: str) -> list[Diagnostic]:
    return parse_tree(f"dgm 1\n{text}")[1]


def only(text: str) -> Diagnostic:
    """The single finding of a text, and that reading it gives that one alone."""
    (found,) = findings(text)
    return found


def underlined(text: str) -> str:
    found = only(text)
    span = found.at
    assert not isinstance(span, str) and span is not None
    return f"dgm 1\n{text}"[span.start : span.end]


# ---------------------------------------------------------------------------------------------------------- grammar


def test_the_grammar_is_strict_and_without_conflicts() -> None:
    pytest.importorskip("interegular")
    table = compile_table(grammar_text(), strict=True)
    assert table == load_table(), "run `python -m dgmspec.syntax` after editing the grammar"


def test_the_stored_table_is_current() -> None:
    script = "import sys; from dgmspec.syntax import parse_tree; parse_tree('dgm 1'); sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_every_kind_of_node_is_documented() -> None:
    listed = set(re.findall(r"^    (\w+) ", sys.modules["dgmspec.syntax.tree"].__doc__ or "", re.MULTILINE))
    made = {rule.kind for rule in load_table().rules if rule.kind} - {"broken", "expr", "unary", "statement"}
    assert made <= listed


def test_every_terminal_that_can_be_expected_has_a_name() -> None:
    terminals = {name for row in load_table().actions for name in row}
    heads = {f"_{word.upper()}" for word in HEADS}
    assert terminals - heads - set(NAMES) <= {"_BROKEN", "_REPEAT"}


def test_the_whole_language_reads_without_a_finding() -> None:
    tree, found = parse_tree(WHOLE)
    assert not found, [str(d) for d in found]
    made = {node.kind for node in tree.walk() if isinstance(node, Tree)}
    kinds = {rule.kind for rule in load_table().rules if rule.kind} - {"broken", "expr", "unary"}
    assert kinds <= made, "the example text shows every kind of node"


def test_spans_cover_what_they_name() -> None:
    text = "dgm 1\nfn f(x) = 2 * x^2  # π\nparam ﬁ = [1, 2]\n"
    tree, _ = parse_tree(text, "a.dgm")
    fn = tree.children[1]
    assert isinstance(fn, Tree)
    value = fn.find("value")
    assert value is not None
    assert value.children[0].span == Span("a.dgm", 16, 23)
    assert fn.text_of(fn, text) == "fn f(x) = 2 * x^2"
    param = tree.children[2]
    assert isinstance(param, Tree) and param.name == "fi", "names are normalised, spans are not"
    assert param.tokens[0].written == "ﬁ"


def test_tokens_know_their_values() -> None:
    tree, _ = parse_tree('dgm 1\ny = [20_000, 1_0.5e-1, "a b", x]\n')
    vector = tree.children[1].children[1]  # type: ignore[union-attr]
    assert [token.value for token in vector.children] == [20_000, 1.05, "a b", "x"]  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------------------- expressions


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b - c + d", "(sum a + b - c + d)"),
        ("a * b / c @ d", "(product a * b / c @ d)"),
        ("a - b * c", "(sum a - (product b * c))"),
        ("-x^2", "(neg (power x 2))"),
        ("2^-x", "(power 2 (neg x))"),
        ("2^3^4", "(power 2 (power 3 4))"),
        ("-1/2*x", "(product (neg 1) / 2 * x)"),
        ("2*A@y", "(product 2 * A @ y)"),
        ("a * -b", "(product a * (neg b))"),
        ("(a + b) * c", "(product (group (sum a + b)) * c)"),
        ("f(x)[0]^2", "(power (index (call f (args x)) 0) 2)"),
        ("f()", "(call f (args))"),
        (
            "f(0..3, k = 1..2, inverse g, u -> x,)",
            "(call f (args (range 0 3) (keyword k (range 1 2)) (inverse g) (arrow u x)))",
        ),
        ("[a, [b, c], []]", "(vector a (vector b c) (vector))"),
        ("blocks.f(blocks.x)", "(call blocks.f (args blocks.x))"),
        ("f(1..T - 1)", "(call f (args (range 1 (sum T - 1))))"),
        ("π + pi", "(sum pi + pi)"),
        ("a-b", "(sum a - b)"),
    ],
)
def test_expressions(text: str, tree: str) -> None:
    assert expression(text) == tree


def test_a_long_sum_is_one_node() -> None:
    tree, found = parse_tree("dgm 1\ny = " + " + ".join(["x"] * 2000))
    assert not found
    assert len(tree.children[1].children[1].children) == 3999  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------------ layout and keywords


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a; b", 2),
        ("a;; b;", 2),
        ("a\n\n;\nb", 2),
        ("a(1,\n 2)\nb", 2),
        ("y = [1,\n\n 2]", 1),
        ("y = a +\n  b", 1),
        ("y =\n  b", 1),
        ("flow x ->\n z { a }", 1),
        ("model M\n{\n}\n", 1),
        ("flow x -> z |\n c { a; b }", 1),
        ("y = f(inverse {\n a\n b\n})", 1),
    ],
)
def test_where_lines_end_statements(text: str, count: int) -> None:
    assert len(statements(text)) == count


@pytest.mark.parametrize(
    "word", ["dgm", "use", "data", "model", "flow", "learn", "train", "sample", "over", "in", "as"]
)
def test_words_are_keywords_by_position_only(word: str) -> None:
    assert statements(f"{word} = 3") == [f"(setting {word} 3)"]
    assert statements(f"{word}\n{word}(x)") == [f"(step {word})", f"(step (call {word} (args x)))"]
    assert statements(f"y = {word} + f({word}, {word} = {word})") == [
        f"(setting y (sum {word} + (call f (args {word} (keyword {word} {word})))))"
    ]
    assert statements(f"param {word} = {word}") == [f"(param {word} (value {word}))"]


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("inverse = 3", "(setting inverse 3)"),
        ("inverse(x)", "(step (call inverse (args x)))"),
        ("inverse affine", "(step (inverse affine))"),
        ("inverse\naffine", None),
        ("y = f(inverse\n affine)", "(setting y (call f (args (inverse affine))))"),
        ("y = inverse affine(1)", "(setting y (inverse (call affine (args 1))))"),
        ("repeat 4 as k { a }", "(repeat 4 (as k) (block (step a)))"),
        ("repeat depth { a }", "(repeat depth (block (step a)))"),
        ("train { a = 1 }", "(train (block (setting a 1)))"),
        ("sample in { a = 1 }", "(sample in (block (setting a 1)))"),
        ("flow [a, b] -> z { c }", "(flow (source (vector a b)) (target z) (block (step c)))"),
        ("perturb x over in in over { a }", "(perturb (source x) (over in over) (block (step a)))"),
        ('use "b.dgm"', '(use "b.dgm")'),
    ],
)
def test_soft_keywords(text: str, tree: str | None) -> None:
    assert statements(text) == ([tree] if tree else ["(step inverse)", "(step affine)"])


def test_comments_hang_on_the_outermost_node() -> None:
    tree, _ = parse_tree("# head\ndgm 1\n\n# above\nmodel M {  # open\n    a  # behind\n    # last\n}  # end\n# eof\n")
    header, model = tree.trees
    block, step = model.block, model.block.trees[0] if model.block else model
    assert header.trivia.before == ("# head",)
    assert model.trivia.before == ("", "# above") and model.trivia.after == "# end"
    assert block is not None and block.trivia.opening == "# open" and block.trivia.inside == ("# last",)
    assert step.trivia.after == "# behind"
    assert tree.trivia.inside == ("# eof",)


# --------------------------------------------------------------------------------------------------- codes and limits


@pytest.mark.parametrize("code", READING, ids=lambda code: code.number)
def test_each_code_of_reading_is_shown_by_its_example(code) -> None:  # type: ignore[no-untyped-def]
    found = {d.code for d in parse_tree(code.wrong)[1]}
    assert found == {code.number} or (code.number == "DGM127" and code.number in found)
    assert not parse_tree(code.right)[1]


@pytest.mark.parametrize(
    ("text", "code", "place", "help"),
    [
        ("y = x²", "DGM102", "x²", "x^2"),
        ("y = x₀", "DGM102", "x₀", "x0"),
        ("y = ½", "DGM102", "½", "1/2"),
        ("y = x ** 2", "DGM104", "**", "`^`"),
        ("y = 2 x", "DGM111", "2 x", "2 * x"),
        ("y = 2(x)", "DGM111", "2(", "2 * (…)"),
        ("y = (a)(b)", "DGM111", ")(", "* (…)"),
        ("y = f(a b)", "DGM111", "a b", "a * b"),
        ("y = x\n  + 1", "DGM112", "+", "end the line above"),
        ("ode a -> b\n  over t in 0..1 { c }", "DGM112", "over", "line above"),
        ("y = f(x", "DGM113", "(", "`)`"),
        ("y = x)", "DGM114", ")", "remove"),
        ("y = f(x]", "DGM114", "]", "`)`"),
        ("observ x : real", "DGM116", "observ", "observe"),
        ("trian M { a = 1 }", "DGM116", "trian", "train"),
        ("repeat = 4", "DGM119", "repeat", "another name"),
        ("y = f(1; 2)", "DGM117", ";", ","),
        ("y = f(,)", "DGM110", ",", "remove"),
        ("fn f(x) x", "DGM110", "x", "`=`"),
        ("flow x z { a }", "DGM110", "z", "`->`"),
        ("y = 'a'", "DGM101", "'", '"'),
        ("y = 2 × 3", "DGM101", "×", "*"),
        ("flow x → z { a }", "DGM101", "→", "->"),
        ("real mu", "DGM111", "real mu", "`latent mu : real`"),
        ("vector[3] y", "DGM111", "] y", "`latent y : real[8]`"),
        ("y = a\u00a0+ b", "DGM101", "\u00a0", "plain space"),
        ("y = a == b", "DGM105", "==", "`=`"),
        ("y = a.b.c", "DGM105", ".", "file.name"),
        ("y = 1.", "DGM107", "1.", "1.0"),
        ("y = .5", "DGM107", ".5", "`0`"),
        ("a + b", "DGM115", "a + b", "name it"),
        ("2 = x", "DGM115", "2", "name ="),
        ("x[0] <- x", "DGM115", "x[0]", "name <-"),
    ],
)
def test_messages_name_the_place_and_the_remedy(text: str, code: str, place: str, help: str) -> None:
    found = only(text)
    assert found.code == code
    assert underlined(text) == place
    assert help in " ".join(found.help)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("y = x ** 2", "y = x ^ 2"),
        ("y = 2 x", "y = 2 * x"),
        ("y = x\n  + 1", "y = x +\n   1"),
        ("fn f(x) x", "fn f(x) = x"),
        ("y = f(x]", "y = f(x)"),
        ("parma a = 1", "param a = 1"),
        ("y = 2 × 3", "y = 2 * 3"),
        ("y = f(1,,2)", "y = f(1,2)"),
    ],
)
def test_fixes_are_right_when_followed(wrong: str, right: str) -> None:
    found = only(wrong)
    text = f"dgm 1\n{wrong}"
    assert found.fix is not None
    for edit in sorted(found.fix.edits, key=lambda e: e.span.start, reverse=True):
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
    assert text == f"dgm 1\n{right}"
    assert not parse_tree(text)[1]


def test_nothing_of_the_parser_shows_in_messages() -> None:
    for wrong in ("flow", "flow x -> { a }", "use", "param", "y =", "model {", "y = f(a = )", "over x {", "fn (x) = 2"):
        for found in findings(f"{wrong}\n"):
            words = " ".join((found.message, *found.help))
            assert not re.search(r"_[A-Z]{2}|\b[A-Z]{3,}\b|\$END|ANON", words), words


# ---------------------------------------------------------------------------------------------------------- recovery


def test_an_error_costs_its_statement_only() -> None:
    tree, found = parse_tree(
        "dgm 1\nparam a = = 2\nmodel M {\n    observe x real[2]\n    flow x -> {\n        a b\n        actnorm\n    }\n"
        "    loss = nll\n}\ntrain M { steps 5; seed = 0 }\n"
    )
    assert [d.code for d in found] == ["DGM110", "DGM110", "DGM110", "DGM111", "DGM110"]
    assert [show(child) for child in tree.children[1:]] == [
        "(model M (block (setting loss nll)))",
        "(train M (block (setting seed 0)))",
    ]


def test_an_unclosed_bracket_does_not_swallow_the_next_statement() -> None:
    tree, found = parse_tree("dgm 1\nmodel M {\n    observe x : real[2\n    latent z : real[2]\n    loss = f(x\n}\n")
    assert [d.code for d in found] == ["DGM113", "DGM113"]
    assert [show(s) for s in tree.trees[1].block.trees][1] == "(latent z (type real (dims 2)))"  # type: ignore[union-attr]


def test_an_unclosed_brace_is_reported_where_the_indentation_breaks() -> None:
    text = "dgm 1\nmodel M {\n    flow x -> z {\n        actnorm\n    loss = nll\n}\n"
    (found,) = parse_tree(text)[1]
    assert found.code == "DGM113"
    assert not isinstance(found.at, str) and found.at is not None
    assert text[: found.at.start].endswith("flow x -> z ")


@pytest.mark.parametrize(
    ("text", "what", "place"),
    [
        ("data { int N; }\nparameters { real mu; }\nmodel { mu ~ normal(0, 1); }", "Stan", "data {"),
        ("# a model\n  transformed data\n{\n}\nmodel {\n}", "Stan", "transformed data\n{"),
        ("import torch\n\nclass Flow(nn.Module):\n    pass", "Python", "import t"),
        ("from zuko.flows import NSF\nflow = NSF(3)", "Python", "from zuko.flows import"),
    ],
)
def test_a_program_of_another_language_gets_one_message(text: str, what: str, place: str) -> None:
    tree, found = parse_tree(text)
    assert not tree.children and [d.code for d in found] == ["DGM133"] and f"program in {what}" in found[0].message
    assert isinstance(found[0].at, Span) and text[found[0].at.start : found[0].at.end] == place
    assert "DGM133" not in {d.code for d in parse_tree(f"dgm 1\n{text}")[1]}  # lines of it in a spec


def test_lines_end_with_newlines() -> None:
    assert not findings("param a = 1\r\n# one\r\nparam b = 2\r\n")
    assert [d.code for d in findings("param a = 1\r# one\rparam b = 2\r")] == ["DGM101"]


def test_findings_are_capped() -> None:
    found = findings("param 1\n" * 100)
    assert len(found) == 21
    assert found[-1].code == "DGM127" and "80 more" in found[-1].message


def test_the_header() -> None:
    assert [d.code for d in parse_tree("param a = 1\n")[1]] == ["DGM130"]
    assert [d.severity for d in parse_tree("param a = 1\n")[1]] == ["warning"]
    assert not parse_tree("\ufeff# first\n\ndgm 1\n")[1]
    assert not parse_tree("")[1] and not parse_tree("# nothing\n")[1]
    assert [d.code for d in parse_tree("dgm 1\ndgm 1\n")[1]] == ["DGM132"]
    assert [d.code for d in parse_tree("dgm 2\n")[1]] == ["DGM131"]


def test_depth_within_the_limit_is_read() -> None:
    nested = "exp(" * 60 + "x" + ")" * 60
    assert not findings(f"fn f(x) = {nested}")
    assert [d.code for d in findings("fn f(x) = " + "-" * 65 + "x")] == ["DGM122"]
    assert not findings("fn f(x) = " + "-" * 64 + "x")
    assert not findings("fn f(x) = " + "(" * 100 + "x" + ")" * 100), "parentheses do not count"


def test_reading_is_fast() -> None:
    text = "dgm 1\n" + WHOLE.replace("dgm 1", "") * (2000 // WHOLE.count("\n") + 1)
    start = time.process_time()
    parse_tree(text)
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize("odd", ["½", "²", "x₀"])
def test_a_name_that_is_too_long_and_none_is_read_on_as_a_name(odd: str) -> None:
    text = f"dgm 1\nparam {'a' * 80}{odd}{'a' * 40} = 1\n"
    assert {"DGM102", "DGM124"} <= {d.code for d in dgmspec.diagnose(text).diagnostics}
