"""The parser: an LALR(1) automaton with recovery. Any text gives a tree and diagnostics; nothing is raised.

`parse_tree` reads text in five linear stages: lexemes, layout, the automaton, the tree, and the few rules that need no
names (the left sides of statements, the header, nesting). Every statement with an error is left out of the tree.
"""

from dgmspec.core.diagnostics import Diagnostic
from dgmspec.syntax import limits
from dgmspec.syntax.automaton import Automaton, Inner
from dgmspec.syntax.build import build_tree
from dgmspec.syntax.idioms import check_scales
from dgmspec.syntax.layout import arrange
from dgmspec.syntax.programs import report_program
from dgmspec.syntax.recovery import explain
from dgmspec.syntax.rules import check_header, check_look_alikes
from dgmspec.syntax.tokens import Lexeme, Sink, lex
from dgmspec.syntax.tree import Tree

__all__ = ["parse_tree"]


def parse_tree(text: str, source: str = "") -> tuple[Tree, list[Diagnostic]]:
    """The tree of a text, with the statements that could be read, and what is wrong with the others.

    Diagnostics come in the order of the text, at most twenty and a note that says how many more there are. The header
    line (`dgm 1`) is checked here; names and what may stand in which block are not.
    """
    sink = Sink(source, text)
    lexemes = None if report_program(sink) else lex(sink)
    tokens = None if lexemes is None else arrange(lexemes, sink)
    if tokens is None:
        tree = Tree("file", (), sink.span(0, len(text)))
    else:
        root = _Parser(tokens, sink).run()
        tree = build_tree(root, tokens, sink) if root else Tree("file", (), sink.span(0, len(text)))
        check_header(tree, tokens, sink)
        check_look_alikes(tree, sink)
        check_scales(tree, sink)
    return tree, _capped(sink)


def _capped(sink: Sink) -> list[Diagnostic]:
    """The first diagnostics in the order of the text, and how many were left out."""
    found = sorted(sink.found, key=lambda d: (d.at, d.code))
    if len(found) <= limits.DIAGNOSTICS:
        return found
    more = len(found) - limits.DIAGNOSTICS
    cut = found[: limits.DIAGNOSTICS]
    cut.append(Diagnostic("DGM127", f"{more} more findings about this text are not shown", None))
    return cut


class _Parser:
    """Drives the automaton over the tokens; an error costs the statement it is in, not those around it."""

    def __init__(self, tokens: list[Lexeme], sink: Sink) -> None:
        self.tokens = tokens
        self.sink = sink
        self.automaton = Automaton()
        # For each open block: the depth of the stack and the place of the token where its current statement began,
        # and whether an error in that statement has been reported.
        self.marks: list[tuple[int, int, bool]] = [(self.automaton.depth, 0, False)]

    def run(self) -> Inner | None:
        """The node of the whole text, or None where it is nested beyond what is read."""
        i = 0
        while True:
            lexeme = self.tokens[i]
            if not self.automaton.feed(lexeme):
                i = self._recover(i)
                continue
            if lexeme.type == "$END":
                return self.automaton.result
            i += 1
            if self.automaton.depth > limits.STACK:
                message = f"expressions are nested more than {limits.NESTING} deep"
                self.sink.report("DGM122", message, lexeme.start, lexeme.end, help="give the inner part a name")
                return None
            if lexeme.type == "LBRACE":
                self.marks.append((self.automaton.depth, i, False))
            elif lexeme.type == "RBRACE":
                self.marks.pop()
            elif lexeme.type == "_SEP":
                self.marks[-1] = (self.automaton.depth, i, False)

    def _recover(self, i: int) -> int:
        """Report the error at token `i`, drop its statement, and give the place where parsing goes on.

        What follows is the statement's block if it has one (its statements are still read), else the separator.
        """
        depth, start, broken = self.marks[-1]
        end = i
        while self.tokens[end].type not in ("_SEP", "RBRACE", "LBRACE", "$END"):
            end += 1
        flawed = any(token.flawed for token in self.tokens[start : end + 1])
        if not flawed and not broken:
            explain(self.automaton, self.tokens, i, start, self.sink)
        self.automaton.cut(depth)
        at = self.tokens[i]
        fed = self.automaton.feed(Lexeme("_BROKEN", "", at.start, at.start, first=start, last=start))
        assert fed, "a broken statement may stand wherever a statement may"
        self.marks[-1] = (depth, start, True)
        return end
