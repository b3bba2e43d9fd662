"""Mutated texts: whatever comes in, diagnostics come out, in bounded time and pointing into the text."""

import time
from random import Random

import pytest
from random_trees import RandomTrees

from dgmspec.core.diagnostics import Diagnostic, Span, has_errors
from dgmspec.core.render import render
from dgmspec.syntax import Tree, format_text, format_tree, parse_tree

TEXTS = 2_500
SHARDS = 5
PIECES = (
    *"{}()[],;:=~|^*+-/@<>.#\"'`\\$?!%& \t\n\r\0",
    *(
        "**",
        "->",
        "<-",
        "..",
        "x²",
        "½",
        "x₀",
        "−",
        "“",
        "\u202e",
        "\ufeff",
        "\ud800",
        "變",
        "e\u0301",
        "1e999",
        "0x1F",
    ),
    *("repeat", "inverse", "over t in", " as ", "model M {", "flow x -> z {", "dgm 1", "# note\n", '"path', "1.", ".5"),
)
REPEATED = (
    "(",
    "{",
    "[",
    "-",
    "f(",
    "x^",
    "{\n",
    "inverse {",
    "a + ",
    "a = {",
    "repeat 2 {",
    "\n#",
    ";",
    '"',
    "²",
    "x ",
    "1 ",
)


def mutate(random: Random, text: str) -> str:
    """A few edits: characters and slices removed, doubled, moved, or pieces of other notations put in."""
    for _ in range(random.randint(1, 6)):
        i = random.randint(0, len(text))
        j = min(len(text), i + random.choice((1, 1, 1, 5, 40)))
        edit = random.choice(("delete", "double", "insert", "insert", "move", "cut"))
        if edit == "delete":
            text = text[:i] + text[j:]
        elif edit == "double":
            text = text[:j] + text[i:]
        elif edit == "insert":
            text = text[:i] + random.choice(PIECES) + text[i:]
        elif edit == "move":
            k = random.randint(0, len(text))
            text = text[:k] + text[i:j] + text[k:]
        elif random.random() < 0.2:
            text = text[:i]
    return text


def spans(found: list[Diagnostic]) -> list[Span]:
    places = [place for d in found for place in (d.at, *(label.at for label in d.labels))]
    edits = [edit.span for d in found if d.fix for edit in d.fix.edits]
    return [place for place in places if isinstance(place, Span)] + edits


def check_text(text: str) -> tuple[Tree, list[Diagnostic]]:
    """Parse and render; every place lies in the text, and the whole takes far less than a second."""
    start = time.process_time()
    tree, found = parse_tree(text, "a.dgm")
    assert time.process_time() - start < 1.0
    assert len(found) <= 21
    for span in (*spans(found), *(node.span for node in tree.walk())):
        assert span.source == "a.dgm" and 0 <= span.start <= span.end <= len(text)
    return tree, found


@pytest.mark.parametrize("shard", range(SHARDS))
def test_mutated_texts_give_diagnostics_only(shard: int) -> None:
    random = Random(shard)
    for i in range(TEXTS // SHARDS):
        if i % 25 == 0:
            base = format_tree(RandomTrees(random.randrange(10**6)).file())[:1500]
        text = mutate(random, base)
        _, found = check_text(text)
        if i % 10 == 0:
            printed = render(found, {"a.dgm": text}, "full")
            assert all(line.isprintable() for line in printed.split("\n"))
        if not has_errors(found):
            formatted, problems = format_text(text, "a.dgm")
            assert not has_errors(problems)
            assert format_text(formatted, "a.dgm")[0] == formatted


@pytest.mark.parametrize("piece", REPEATED)
def test_repetition_costs_linear_time(piece: str) -> None:
    text = f"dgm 1\nfn f(x) = {piece * 20_000}"
    start = time.process_time()
    tree, found = parse_tree(text)
    assert time.process_time() - start < 5.0
    assert found
    assert tree.kind == "file"


def test_random_characters_give_diagnostics_only() -> None:
    random = Random(0)
    for _ in range(200):
        check_text("".join(chr(random.choice((random.randrange(128), random.randrange(0x3000)))) for _ in range(200)))
