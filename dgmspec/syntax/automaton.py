"""The LALR(1) automaton: stacks, shift, reduce, and questions about what it would accept."""

from collections.abc import Sequence
from dataclasses import dataclass

from dgmspec.syntax.grammar import Rule, load_table
from dgmspec.syntax.tokens import Lexeme

__all__ = ["Automaton", "Inner", "Value"]


@dataclass(slots=True, eq=False)
class Inner:
    """A reduced production: its kind ("" when its children belong to its parent), and its first and last token."""

    kind: str
    children: list["Value"]
    first: int
    last: int


Value = Inner | Lexeme


class Automaton:
    """One run of the parser. After an error the stacks are as they were before the token."""

    def __init__(self) -> None:
        self.table = load_table()
        self.states = [self.table.start]
        self.values: list[Value] = []

    @property
    def depth(self) -> int:
        return len(self.states)

    @property
    def result(self) -> Inner:
        """The node of the whole text, after the end was accepted."""
        root = self.values[-1]
        assert isinstance(root, Inner)
        return root

    def cut(self, depth: int) -> None:
        """Go back to an earlier depth of the stack."""
        del self.states[depth:]
        del self.values[depth - 1 :]

    def feed(self, lexeme: Lexeme) -> bool:
        """Take a token; False, and nothing changed, where it cannot follow."""
        actions, gotos, rules = self.table.actions, self.table.gotos, self.table.rules
        states, values = self.states[:], self.values[:]
        while True:
            if lexeme.type == "$END" and states[-1] == self.table.end:
                break
            action = actions[states[-1]].get(lexeme.type)
            if action is None:
                return False
            if action >= 0:
                states.append(action)
                values.append(lexeme)
                break
            rule = rules[~action]
            cut = len(values) - rule.size
            value = _reduce(rule, values[cut:])
            del states[cut + 1 :], values[cut:]
            states.append(gotos[states[-1]][rule.origin])
            values.append(value)
        self.states, self.values = states, values
        return True

    def accepts(self, types: Sequence[str]) -> bool:
        """Whether these tokens could follow, one after the other."""
        return self.reach(types) == len(types)

    def reach(self, types: Sequence[str]) -> int:
        """How many of these tokens could follow, one after the other."""
        actions, gotos, rules = self.table.actions, self.table.gotos, self.table.rules
        states = self.states[:]
        for count, type in enumerate(types):
            while True:
                if type == "$END" and states[-1] == self.table.end:
                    break
                action = actions[states[-1]].get(type)
                if action is None:
                    return count
                if action >= 0:
                    states.append(action)
                    break
                rule = rules[~action]
                del states[len(states) - rule.size :]
                states.append(gotos[states[-1]][rule.origin])
        return len(types)

    def expected(self) -> set[str]:
        """The tokens that could follow."""
        return {type for type in self.table.actions[self.states[-1]] if self.accepts((type,))}


def _reduce(rule: Rule, values: list[Value]) -> Value:
    """The value of a production; the children of nameless ones among `values` are taken in by the first named one."""
    children = [values[i] for i in rule.keep]
    first, last = (values[0].first, values[-1].last) if values else (0, 0)
    if not rule.kind:
        return Inner("", children, first, last)
    flat = _flatten(children)
    if rule.collapse and len(flat) == 1:
        return flat[0]
    return Inner(rule.kind, flat, first, last)


def _flatten(children: list[Value]) -> list[Value]:
    """The children with nameless nodes replaced by their own children; a stack, because lists nest to the left."""
    if not any(isinstance(child, Inner) and not child.kind for child in children):
        return children
    flat: list[Value] = []
    stack = children[::-1]
    while stack:
        value = stack.pop()
        if isinstance(value, Inner) and not value.kind:
            stack.extend(reversed(value.children))
        else:
            flat.append(value)
    return flat
