"""The formatter: print∘parse = id on trees, idempotent on text, no comment lost, nothing changed."""

from pathlib import Path
from random import Random

import pytest
from random_trees import RandomTrees

from dgmspec.core.diagnostics import has_errors
from dgmspec.syntax import format_text, format_tree, parse_tree
from dgmspec.syntax.layout import arrange
from dgmspec.syntax.printer import WIDTH, comments
from dgmspec.syntax.tokens import Sink, lex
from dgmspec.syntax.tree import Tree, token, tree

WHOLE = (Path(__file__).parent / "whole_language.dgm").read_text(encoding="utf-8")
SHARDS = 8
# Tokens that a line may end in.
BREAKABLE = ("LBRACE", "LPAR", "LSQB", "COMMA", "EQUAL", "PLUS")


def formatted(text: str) -> str:
    """The canonical form of a text after its header, with the laws checked."""
    out, found = format_text(f"dgm 1\n{text}")
    assert not has_errors(found), [str(d) for d in found]
    assert format_text(out) == (out, found)
    return out.removeprefix("dgm 1\n")


@pytest.mark.parametrize("shard", range(SHARDS))
def test_reading_what_was_printed_gives_the_tree(shard: int) -> None:
    for seed in range(shard * 40, shard * 40 + 40):
        wanted = RandomTrees(seed).file()
        out = format_tree(wanted)
        got, found = parse_tree(out)
        assert not found, (seed, [str(d) for d in found], out)
        assert got == wanted, (seed, out)
        assert comments(got) == comments(wanted)
        assert format_tree(got) == out, seed


@pytest.mark.parametrize("shard", range(SHARDS))
def test_comments_anywhere_survive(shard: int) -> None:
    """A comment behind any token is kept, and formatting again moves nothing."""
    random = Random(shard)
    for seed in range(shard * 25, shard * 25 + 25):
        text = format_tree(RandomTrees(seed).file())
        sink = Sink("", text)
        tokens = arrange(lex(sink) or [], sink) or []
        out = text
        for place in sorted(random.sample(range(len(tokens)), min(6, len(tokens))), reverse=True):
            previous, here = tokens[place - 1], tokens[place]
            if here.type in ("_SEP", "$END", "RBRACE") or previous.type in BREAKABLE:
                out = f"{out[: previous.end]} # note {place}\n{out[previous.end :]}"
        before, found = parse_tree(out)
        if has_errors(found):
            continue
        again, problems = format_text(out)
        assert not has_errors(problems), (seed, [str(d) for d in problems], out)
        assert comments(parse_tree(again)[0]) == comments(before)
        assert format_text(again)[0] == again, (seed, out)


def test_the_whole_language_is_formatted() -> None:
    out, found = format_text(WHOLE)
    assert not found
    assert format_text(out)[0] == out
    assert max(map(len, out.split("\n"))) <= WIDTH


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("param  a:positive=2", "param a : positive = 2\n"),
        ("fn f( x )=2*x^2+-y@z", "fn f(x) = 2 * x^2 + -y @ z\n"),
        ("y = f(a=1,b = 0 .. T,u->x,)", "y = f(a = 1, b = 0..T, u -> x)\n"),
        ("flow [a,b]->z|h(c),d over t in 0..1{a;b}", "flow [a, b] -> z | h(c), d over t in 0..1 { a; b }\n"),
        ("model M\n{\n}", "model M {}\n"),
        ("a;b\n\n\n\nc", "a\nb\n\nc\n"),
        ("repeat 4 as k{\na}", "\nrepeat 4 as k {\n    a\n}\n"),
        ("bijector t(x;a:positive,b=1){x<-a*x+b}", "bijector t(x; a : positive, b = 1) { x <- a * x + b }\n"),
        ("y = 20_000 + 1E-3 # why", "y = 20_000 + 1E-3  # why\n"),
        ("latent z[k]:real[*]~normal(0,1) for k in 1..T", "latent z[k] : real[*] ~ normal(0, 1) for k in 1..T\n"),
        ("y = ((x))", "y = ((x))\n"),
        ("y = π + ﬁ", "y = π + ﬁ\n"),
        ("y = f(1, # one\n 2)", "y = f(\n    1,  # one\n    2,\n)\n"),
        ("y = 1 + # one\n 2", "# one\ny = 1 + 2\n"),
    ],
)
def test_canonical_forms(text: str, form: str) -> None:
    assert formatted(text) == form


def test_long_statements_have_blank_lines_around_them_at_the_top_only() -> None:
    out = formatted("param a = 1\nmodel M {\n a\n flow x -> z {\n b\n }\n c\n}\nparam b = 2\n")
    assert out == ("param a = 1\n\nmodel M {\n    a\n    flow x -> z {\n        b\n    }\n    c\n}\n\nparam b = 2\n")


def test_long_lines_break_at_arguments_then_behind_operators() -> None:
    name = "a_long_name_of_a_term"
    assert (
        formatted(f"y = f({', '.join([name] * 6)})")
        == f"y = f(\n{''.join(f'    {name},{chr(10)}' for _ in range(6))})\n"
    )
    assert formatted(f"y = {' + '.join([name] * 6)}") == (
        f"y = {name} + {name} + {name} + {name} +\n    {name} + {name}\n"
    )


def test_a_text_with_errors_comes_back_unchanged() -> None:
    text = "dgm 1\nparam  a = = 2\n"
    out, found = format_text(text)
    assert out == text and has_errors(found)


def test_warnings_do_not_stop_the_formatter() -> None:
    out, found = format_text("param  a=1")
    assert out == "param a = 1\n"
    assert [d.code for d in found] == ["DGM130"]


def test_trees_without_a_source_print() -> None:
    coupling = tree("call", token("NAME", "coupling"), tree("args", token("NAME", "affine")))
    flow = tree(
        "flow",
        tree("source", token("NAME", "x")),
        tree("target", token("NAME", "z")),
        tree("block", tree("step", coupling), compact=True),
    )
    assert format_tree(flow) == "flow x -> z { coupling(affine) }"
    assert format_tree(coupling) == "coupling(affine)"
    assert format_tree(tree("file")) == ""
    assert isinstance(flow, Tree) and flow.find("target") == tree("target", token("NAME", "z"))
