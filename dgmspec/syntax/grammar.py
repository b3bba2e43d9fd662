"""The parse table: the grammar compiled, from `table.json` when that is current, else by lark.

Compiling the grammar takes half a second, so the result is kept beside this file, keyed by the grammar's digest. Edit
`grammar/dgm.lark`, then run `python -m dgmspec.syntax`; a test refuses a table that is out of date, and until
then the table is compiled afresh in each process.
"""

import hashlib
import importlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Rule", "Table", "compile_table", "grammar_text", "load_table", "write_table"]

_TABLE = Path(__file__).with_name("table.json")

# Terminals that no rule uses: the pre-pass reads them.
_EXTRA = ("NEWLINE", "COMMENT", "BAD_STRING", "BAD_WORD", "BAD")


@dataclass(frozen=True, slots=True)
class Rule:
    """A production: `kind` is the node it makes ("" for one whose children go to its parent).

    `origin` is the left side, `size` the length of the right side, `keep` the places whose values become children,
    and `collapse` says that a single child stands for the node.
    """

    origin: str
    kind: str
    size: int
    keep: tuple[int, ...]
    collapse: bool


@dataclass(frozen=True, slots=True)
class Table:
    """An LALR(1) automaton and its lexis.

    `actions[state][terminal]` is the next state (shift, from 0) or ~rule (reduce, below 0); `gotos[state][origin]`
    the state after a reduction. `terminals` are (name, regular expression) in the order of their precedence.
    """

    digest: str
    terminals: tuple[tuple[str, str], ...]
    rules: tuple[Rule, ...]
    actions: tuple[dict[str, int], ...]
    gotos: tuple[dict[str, int], ...]
    start: int
    end: int


def grammar_text() -> str:
    """The grammar: from the source tree if the package lies in one, else the copy inside the installed package."""
    package = Path(__file__).parents[1]
    source = package.parent / "grammar" / "dgm.lark"
    path = source if source.is_file() else package / "grammar" / "dgm.lark"
    return path.read_text(encoding="utf-8")


@cache
def load_table() -> Table:
    """The table of the grammar as it is, compiled at most once in a process."""
    text = grammar_text()
    if _TABLE.is_file():
        stored = json.loads(_TABLE.read_text(encoding="utf-8"))
        if stored["digest"] == _digest(text):
            return _from_json(stored)
    return compile_table(text)


def compile_table(text: str, strict: bool = False) -> Table:
    """Compile a grammar with lark; `strict` also refuses terminals that overlap and resolved conflicts."""
    lark = importlib.import_module("lark")  # half a second that a current table saves
    parser = lark.Lark(
        text, parser="lalr", lexer="basic", start="file", maybe_placeholders=False, strict=strict, postlex=_Postlex()
    )
    table = parser.parse_interactive("").parser_state.parse_conf.parse_table
    rules = {rule: number for number, rule in enumerate(parser.rules)}
    order = _state_order(table.states, table.start_states["file"])
    actions: list[dict[str, int]] = []
    gotos: list[dict[str, int]] = []
    for state in order:
        row = {
            str(name): order[arg] if action.name == "Shift" else ~rules[arg]
            for name, (action, arg) in sorted(table.states[state].items())
        }
        actions.append({name: arg for name, arg in row.items() if name.isupper()})
        gotos.append({name: arg for name, arg in row.items() if not name.isupper()})
    return Table(
        _digest(text),
        tuple((str(t.name), t.pattern.to_regexp()) for t in sorted(parser.terminals, key=_precedence) if t.pattern),
        tuple(_rule(rule) for rule in parser.rules),
        tuple(actions),
        tuple(gotos),
        order[table.start_states["file"]],
        order[table.end_states["file"]],
    )


def _state_order(states: dict[Any, dict[str, tuple[Any, Any]]], start: Any) -> dict[Any, int]:
    """Number the states breadth first along sorted symbols, because lark's own numbers differ between processes."""
    order = {start: 0}
    queue = [start]
    for state in queue:
        for _, (action, arg) in sorted(states[state].items()):
            if action.name == "Shift" and arg not in order:
                order[arg] = len(order)
                queue.append(arg)
    return order


class _Postlex:
    """Tells lark to keep the terminals that only the pre-pass reads."""

    always_accept = _EXTRA

    def process(self, stream: Any) -> Any:
        return stream


def _precedence(terminal: Any) -> tuple[int, int, int, str]:
    """The order in which lark's own lexer tries its terminals."""
    pattern = terminal.pattern
    if pattern is None:
        return (0, 0, 0, terminal.name)
    return (-terminal.priority, -pattern.max_width, -len(pattern.value), terminal.name)


def _rule(rule: Any) -> Rule:
    origin = str(rule.origin.name)
    keep = tuple(i for i, symbol in enumerate(rule.expansion) if not (symbol.is_term and symbol.filter_out))
    return Rule(origin, "" if origin.startswith("_") else origin, len(rule.expansion), keep, bool(rule.options.expand1))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _to_json(table: Table) -> str:
    """The table as JSON, one rule or state a line."""
    names = sorted({name for row in (*table.actions, *table.gotos) for name in row})
    index = {name: n for n, name in enumerate(names)}

    def rows(states: tuple[dict[str, int], ...]) -> list[list[int]]:
        return [[x for name, arg in sorted(row.items()) for x in (index[name], arg)] for row in states]

    def lines(values: list[Any]) -> str:
        return "[\n" + ",\n".join(json.dumps(v, separators=(",", ":")) for v in values) + "\n]"

    parts = {
        "digest": json.dumps(table.digest),
        "start": str(table.start),
        "end": str(table.end),
        "terminals": lines([list(t) for t in table.terminals]),
        "rules": lines([[r.origin, r.kind, r.size, list(r.keep), r.collapse] for r in table.rules]),
        "names": json.dumps(names),
        "actions": lines(rows(table.actions)),
        "gotos": lines(rows(table.gotos)),
    }
    return "{\n" + ",\n".join(f'"{key}": {value}' for key, value in parts.items()) + "\n}\n"


def _from_json(stored: dict[str, Any]) -> Table:
    names = stored["names"]

    def rows(states: list[list[int]]) -> tuple[dict[str, int], ...]:
        return tuple({names[n]: arg for n, arg in zip(row[::2], row[1::2], strict=True)} for row in states)

    rules = tuple(Rule(origin, kind, size, tuple(keep), one) for origin, kind, size, keep, one in stored["rules"])
    terminals = tuple((name, pattern) for name, pattern in stored["terminals"])
    return Table(
        stored["digest"],
        terminals,
        rules,
        rows(stored["actions"]),
        rows(stored["gotos"]),
        stored["start"],
        stored["end"],
    )


def write_table() -> None:
    """Compile the grammar and keep the result."""
    _TABLE.write_text(_to_json(compile_table(grammar_text(), strict=True)), encoding="utf-8")
