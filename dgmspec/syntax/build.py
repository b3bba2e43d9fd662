"""From what the automaton reduced to the frozen tree, with its comments; an explicit stack, so depth costs nothing.

A comment belongs to the outermost node that begins behind it, or that ends before it on the same line. Comments have
lines of their own around statements, and around the items of a bracket; any other is moved above its statement.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from dgmspec.syntax import limits
from dgmspec.syntax.automaton import Inner, Value
from dgmspec.syntax.layout import HEADS
from dgmspec.syntax.rules import check_statement
from dgmspec.syntax.tokens import Lexeme, Sink
from dgmspec.syntax.tree import NO_TRIVIA, Node, Token, Tree, Trivia

__all__ = ["BRACKETED", "STATEMENTS", "build_tree"]

STATEMENTS = HEADS | {"repeat", "step", "setting", "draw", "update", "broken"}
# Nodes whose items may stand on lines of their own.
BRACKETED = frozenset(("args", "vector", "params", "dims", "block"))
# Nodes whose children may have comments of their own.
_ITEMISED = BRACKETED | {"learned"}
# Nodes that count towards the limit of nesting.
NESTED = frozenset(("block", "sum", "product", "neg", "power", "call", "index", "vector", "range", "arrow", "inverse"))


def build_tree(root: Inner, tokens: list[Lexeme], sink: Sink) -> Tree:
    """The tree of a whole text, without the statements that are broken or break a rule of syntax."""
    return _Builder(tokens, sink).build(root)


@dataclass(slots=True, eq=False)
class _Frame:
    """A node under construction; `depth` counts what the limit of nesting counts."""

    inner: Inner
    trivia: Trivia
    depth: int
    children: list[Node] = field(default_factory=list)
    next: int = 0


class _Builder:
    def __init__(self, tokens: list[Lexeme], sink: Sink) -> None:
        self.tokens = tokens
        self.sink = sink
        # Places of the tokens that still hold comments or blank lines: few, so a look-up is usually a miss.
        self.held = {i for i, token in enumerate(tokens) if token.before or token.after}
        self.order = sorted(self.held)

    def build(self, root: Inner) -> Tree:
        stack = [_Frame(root, self._file_trivia(), 0)]
        while True:
            frame = stack[-1]
            if frame.next < len(frame.inner.children):
                value = frame.inner.children[frame.next]
                frame.next += 1
                trivia = self._take(value, frame.inner.kind)
                if not isinstance(value, Inner):
                    frame.children.append(self._token(value, trivia))
                elif frame.depth + (value.kind in NESTED) > limits.NESTING:
                    return self._too_deep(value)
                else:
                    stack.append(_Frame(value, trivia, frame.depth + (value.kind in NESTED)))
                continue
            tree = self._freeze(stack.pop())
            if not stack:
                return tree
            if tree.kind != "broken" and check_statement(tree, self.sink):
                stack[-1].children.append(tree)

    def _too_deep(self, value: Inner) -> Tree:
        """Report nesting beyond the limit; nothing of such a text is kept, so that later stages may recurse."""
        first, last = self.tokens[value.first], self.tokens[value.last]
        message = f"blocks and expressions are nested more than {limits.NESTING} deep"
        self.sink.report("DGM122", message, first.start, last.end, help="give the inner part a name: `fn f(x) = …`")
        return Tree("file", (), self.sink.span(0, len(self.sink.text)))

    def _token(self, lexeme: Lexeme, trivia: Trivia) -> Token:
        span = self.sink.span(lexeme.start, lexeme.end)
        return Token(lexeme.type, lexeme.text, span, trivia, lexeme.written)

    def _freeze(self, frame: _Frame) -> Tree:
        inner, trivia = frame.inner, frame.trivia
        if inner.kind in STATEMENTS and self.held:
            trivia = self._hoist(inner, trivia)
        if inner.kind == "file":
            span = self.sink.span(0, len(self.sink.text))
        else:
            span = self.sink.span(self.tokens[inner.first].start, self.tokens[inner.last].end)
        return Tree(inner.kind, tuple(frame.children), span, trivia)

    # ------------------------------------------------------------------------------------------------- comments

    def _file_trivia(self) -> Trivia:
        end = self.tokens[-1]
        return Trivia(inside=tuple(end.before)) if end.before else NO_TRIVIA

    def _take(self, value: Value, parent: str) -> Trivia:
        """The comments that belong to a node; parents come first, so the outermost one gets them."""
        kind = value.kind if isinstance(value, Inner) else ""
        if kind == "block":
            return self._take_block(value)
        item = parent in _ITEMISED and kind != "learned"
        if not self.held or not (item or kind in STATEMENTS or kind in BRACKETED):
            return NO_TRIVIA
        before: tuple[str, ...] = ()
        inside: tuple[str, ...] = ()
        after = ""
        if kind in STATEMENTS or item:
            before, after = self._before(value.first), self._after(value, item)
        if kind in BRACKETED and value.last > value.first:
            inside = self._before(value.last)
        return Trivia(before, after, "", inside) if before or after or inside else NO_TRIVIA

    def _take_block(self, value: Value) -> Trivia:
        first = self.tokens[value.first]
        compact = not any(token.lines for token in self.tokens[value.first + 1 : value.last + 1])
        if not self.held:
            return Trivia(compact=True) if compact else NO_TRIVIA
        opening, first.after = first.after, ""
        return Trivia(opening=opening, inside=self._before(value.last), compact=compact and not opening)

    def _before(self, i: int) -> tuple[str, ...]:
        if i not in self.held:
            return ()
        token = self.tokens[i]
        taken, token.before = tuple(token.before), []
        return taken

    def _after(self, value: Value, item: bool) -> str:
        """The comment behind a node on its last line, or behind the comma or separator that follows it."""
        for i in (value.last, value.last + 1):
            token = self.tokens[i]
            follows = i == value.last or token.type == "_SEP" or (item and token.type in ("COMMA", "_SEMI"))
            if follows and token.after:
                taken, token.after = token.after, ""
                return taken
        return ""

    def _hoist(self, inner: Inner, trivia: Trivia) -> Trivia:
        """Move what comments are left within a statement above it, so that none is lost."""
        moved: list[str] = []
        for i in self.order[bisect_left(self.order, inner.first) : bisect_right(self.order, inner.last)]:
            token = self.tokens[i]
            moved += [comment for comment in (*token.before, token.after) if comment]
            token.before, token.after = [], ""
        if not moved:
            return trivia
        return Trivia((*trivia.before, *moved), trivia.after, trivia.opening, trivia.inside, trivia.compact)
