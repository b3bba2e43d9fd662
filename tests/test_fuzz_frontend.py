"""Mutated programs through everything that needs no tensor: findings that point into their texts, in bounded time."""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

import dgmspec
from dgmspec.compiler import Diagnosis
from dgmspec.core.diagnostics import Diagnostic, Span, has_errors
from dgmspec.core.render import render
from dgmspec.syntax import format_text
from tests.test_fuzz_text import mutate, spans

HERE = Path(__file__).parent
FOLDERS = (HERE / "good", HERE / "bad", HERE.parent / "specs")
PROGRAMS = [p for folder in FOLDERS for p in sorted(folder.glob("*.dgm")) if p.stat().st_size < 3_000]
SHARDS = 5
WORST = 1.0
"""CPU seconds that no text may need."""
TOTALS = pytest.mark.parametrize("texts", [1_000, pytest.param(100_000, marks=pytest.mark.slow)])


def located(found: list[Diagnostic], texts: dict[str, str]) -> bool:
    """Whether every place is a span of a text that was read."""
    return all(0 <= s.start <= s.end <= len(texts[s.source]) for s in spans(found))


def swap(random: Random, text: str) -> str:
    """Another word, number or sign of the text in the place of one: most of what comes out still parses."""
    words = [(m, n) for m, n in _words(text) if n > m]
    if len(words) < 2:
        return text
    (a, b), (c, d) = random.sample(words, 2)
    return text[:a] + text[c:d] + text[b:]


def _words(text: str) -> list[tuple[int, int]]:
    found, start = [], 0
    for i, character in enumerate(text):
        if not (character.isalnum() or character in "_."):
            found.append((start, i))
            start = i + 1
    return found


def timed(call: Callable[[], Diagnosis]) -> tuple[Diagnosis, float]:
    """The result of a call and the CPU seconds it took: other work on the machine does not count."""
    start = time.process_time()
    return call(), time.process_time() - start


@TOTALS
@pytest.mark.parametrize("shard", range(SHARDS))
def test_mutated_programs_give_findings_only(shard: int, texts: int) -> None:
    random, worst, formatted = Random(shard), 0.0, 0
    for i in range(texts // SHARDS):
        path = random.choice(PROGRAMS)
        text = path.read_text()
        text = swap(random, text) if i % 2 else mutate(random, text)
        diagnosis, seconds = timed(lambda text=text, path=path: dgmspec.diagnose(text, sources=path.parent))
        worst = max(worst, seconds)
        found = [*diagnosis.diagnostics]
        assert located(found, dict(diagnosis.texts)), text
        assert (diagnosis.spec is None) <= has_errors(found), text
        if i % 10 == 0:
            render(found, diagnosis.texts)
        if not has_errors(found) and diagnosis.spec is not None:
            for name in diagnosis.graphs:
                diagnosis.explain(name)
        formatted += settled(text)
    print(f"\n{texts // SHARDS:,} texts: none raised, the slowest took {worst:.2f} s; {formatted:,} parse and format")
    assert worst < WORST


def settled(text: str) -> bool:
    """Whether a text parses; formatting it twice is then formatting it once."""
    once, found = format_text(text)
    if has_errors(found):
        return False
    assert format_text(once)[0] == once, text
    return True


def test_every_finding_about_a_good_program_stands_somewhere() -> None:
    random = Random(0)
    for path in PROGRAMS:
        diagnosis = dgmspec.diagnose(swap(random, path.read_text()), sources=path.parent)
        for finding in diagnosis.diagnostics:
            assert finding.code in ("DGM127", "DGM140") or isinstance(finding.at, Span), str(finding)
