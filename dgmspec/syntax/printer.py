"""The formatter: a tree to canonical text. It works on the tree alone, so trees built by a program print as well.

Four spaces a level, one statement a line, single blank lines kept, lines of at most 100 characters where arguments can
be broken, one to a line. A block that was written on one line stays on it if it fits. Parentheses are those of the
tree: the printer neither adds nor removes any. Formatting is idempotent and keeps every comment.
"""

from dgmspec.core.diagnostics import Diagnostic, has_errors
from dgmspec.syntax.parser import parse_tree
from dgmspec.syntax.spelling import brackets, parts
from dgmspec.syntax.tree import Node, Token, Tree

__all__ = ["WIDTH", "comments", "format_text", "format_tree"]

WIDTH = 100
_INDENT = "    "


def format_tree(tree: Node) -> str:
    """The canonical text of a tree: of a whole file (ending in a newline), or of any node of one."""
    if not isinstance(tree, Tree) or tree.kind != "file":
        return _layout(tree, "", 0).strip()
    lines = _join(_statements(tree, ""), _own_lines(tree.trivia.inside, ""))
    return "\n".join(lines) + "\n" if lines else ""


def format_text(text: str, source: str = "") -> tuple[str, list[Diagnostic]]:
    """The canonical text, and the diagnostics of reading it; a text with errors comes back as it was.

    The result is read again: if it does not give the same tree with the same comments, which would be a bug of the
    formatter, the text comes back unchanged with a diagnostic that says so.
    """
    tree, found = parse_tree(text, source)
    if has_errors(found):
        return text, found
    out = format_tree(tree)
    again, problems = parse_tree(out, source)
    if has_errors(problems) or again != tree or comments(again) != comments(tree):
        return text, [*found, Diagnostic("DGM140", "formatting would change the meaning of this text", None)]
    return out, found


def comments(tree: Tree) -> list[str]:
    """Every comment of a tree, sorted: formatting may move one above its statement, but never lose it."""
    return sorted(comment for node in tree.walk() for comment in node.trivia.comments())


# ------------------------------------------------------------------------------------------------- lines of a block


def _statements(tree: Tree, indent: str) -> list[str]:
    """The lines of the statements of a file or a block; at the top, a long block has a blank line on each side."""
    lines: list[str] = []
    was_long = False
    for statement in tree.children:
        body = _layout(statement, indent, len(indent)).split("\n")
        body[0] = indent + body[0]
        if statement.trivia.after:
            body[-1] += f"  {statement.trivia.after}"
        is_long = not indent and len(body) > 1 and _has_block(statement)
        above = _own_lines(statement.trivia.before, indent)
        if (was_long or is_long) and above[:1] != [""]:
            above.insert(0, "")
        lines = _join(lines, above + body)
        was_long = is_long
    return lines


def _has_block(statement: Node) -> bool:
    """Whether a statement ends in braces, as those do that read as a unit."""
    last = statement.children[-1] if isinstance(statement, Tree) and statement.children else None
    return last is not None and (last.kind == "block" or (last.kind == "chain" and _has_block(last)))


def _own_lines(trivia: tuple[str, ...], indent: str) -> list[str]:
    """Comments on lines of their own, with the blank lines among them."""
    return [f"{indent}{comment}" if comment else "" for comment in trivia]


def _join(above: list[str], below: list[str]) -> list[str]:
    """Lines in order, without blank lines at the start or two in a row."""
    for line in below:
        if line or (above and above[-1]):
            above.append(line)
    return above


def _block(tree: Tree, indent: str) -> str:
    """A block over several lines."""
    inner = indent + _INDENT
    opening = f"  {tree.trivia.opening}" if tree.trivia.opening else ""
    lines = _join(_statements(tree, inner), _own_lines(tree.trivia.inside, inner))
    while lines and not lines[-1]:
        lines.pop()
    return "\n".join([f"{{{opening}", *lines, f"{indent}}}"])


# --------------------------------------------------------------------------------------------------- within a line


def _flat(node: Node) -> str | None:
    """The node on one line, its own surrounding comments aside; None where comments or blocks need more lines."""
    if isinstance(node, Token):
        return node.written or node.text
    trivia = node.trivia
    if trivia.opening or any(trivia.inside) or any(_commented(child) for child in node.children):
        return None
    if node.kind == "block" and node.children and not trivia.compact:
        return None
    out: list[str] = []
    for part in parts(node):
        text = part if isinstance(part, str) else _flat(part)
        if text is None:
            return None
        out.append(text)
    return "".join(out)


def _commented(node: Node) -> bool:
    return bool(node.trivia.after) or any(node.trivia.before)


def _layout(node: Node, indent: str, column: int, tail: int = 0) -> str:
    """The node from `column` of a line that begins with `indent`, on as few lines as fit; `tail` characters follow."""
    flat = _flat(node)
    if flat is not None and (isinstance(node, Token) or column + len(flat) + tail <= WIDTH):
        return flat
    assert isinstance(node, Tree)
    if node.kind == "block":
        return _block(node, indent)
    if brackets(node):
        return _broken(node, indent)
    return _sequence(node, indent, column, tail)


def _sequence(node: Tree, indent: str, column: int, tail: int) -> str:
    """The parts of a node one behind the other, each broken if it must; a sum may break behind its operators."""
    out = ""
    pieces = parts(node)
    for i, part in enumerate(pieces):
        if isinstance(part, str):
            out += part
            continue
        after = tail if i == len(pieces) - 1 else _literal(pieces, i + 1)
        at = _column(out, column)
        if node.kind == "sum" and i and part.kind not in ("PLUS", "MINUS"):
            flat = _flat(part)
            if flat is not None and at + len(flat) + after > WIDTH and at > len(indent) + len(_INDENT):
                out = f"{out.rstrip()}\n{indent}{_INDENT}"
                at = len(indent) + len(_INDENT)
        out += _layout(part, indent, at, after)
    return out


def _literal(pieces: list[str | Node], i: int) -> int:
    """How many characters stand behind a part before the next one, an opening bracket or brace included."""
    text = pieces[i]
    if not isinstance(text, str):
        return 1
    return len(text) + (i + 1 < len(pieces) and text == " ")


def _column(out: str, column: int) -> int:
    """The column after `out`, which began at `column`."""
    line = out.rfind("\n")
    return column + len(out) if line < 0 else len(out) - line - 1


def _broken(node: Tree, indent: str) -> str:
    """A bracket with one item a line."""
    opening, items, closing = brackets(node) or ("", [], "")
    inner = indent + _INDENT
    lines: list[str] = []
    for item, separator in items:
        lines += [f"{inner}{comment}" for comment in item.trivia.before if comment]
        after = f"  {item.trivia.after}" if item.trivia.after else ""
        lines.append(f"{inner}{_layout(item, inner, len(inner), 1)}{separator}{after}")
    lines += [f"{inner}{comment}" for comment in node.trivia.inside if comment]
    return "\n".join([opening, *lines, f"{indent}{closing}"])
