"""How each kind of node is spelled: its parts in order, with the spaces between them."""

from dgmspec.syntax.layout import HEADS
from dgmspec.syntax.tree import Node, Tree

__all__ = ["brackets", "parts"]

Part = str | Node

# Between the children of a node.
_BETWEEN = {
    "setting": " = ",
    "draw": " ~ ",
    "update": " <- ",
    "keyword": " = ",
    "range": "..",
    "arrow": " -> ",
    "power": "^",
    "heads": ", ",
    "sum": " ",
    "product": " ",
}
# Before the first child.
_LEAD = {
    "target": " -> ",
    "value": " = ",
    "chain": " = ",
    "law": " ~ ",
    "as": " as ",
    "inverse": "inverse ",
    "neg": "-",
}
# Before a child of this kind, whatever its parent.
_BEFORE = {"type": " : ", "block": " "}


def parts(tree: Tree) -> list[Part]:
    """The spelling of a node on one line: literal text and children, in order."""
    kind, children = tree.kind, tree.children
    bracket = brackets(tree)
    if bracket:
        opening, items, closing = bracket
        between: list[Part] = [part for item, separator in items[:-1] for part in (item, f"{separator} ")]
        return [opening, *between, *(item for item, _ in items[-1:]), closing]
    if kind == "block":
        return ["{ ", *_joined(children, "; "), " }"] if children else ["{}"]
    if kind in HEADS or kind == "repeat":
        return _declaration(tree)
    if kind in ("over", "for"):
        return [f" {kind} ", children[0], " in ", children[1]]
    if kind == "context":
        return [" | ", *_joined(children, ", ")]
    if kind == "index":
        return [children[0], "[", *_joined(children[1:], ", "), "]"]
    if kind == "group":
        return ["(", children[0], ")"]
    if kind == "parameter":
        return _typed(children)
    return [_LEAD[kind], *children] if kind in _LEAD else _joined(children, _BETWEEN.get(kind, ""))


def brackets(tree: Tree) -> tuple[str, list[tuple[Node, str]], str] | None:
    """For a node whose items may stand one to a line: its brackets, and each item with what separates it."""
    if tree.kind in ("args", "vector", "dims"):
        opening, closing = "()" if tree.kind == "args" else "[]"
        return opening, [(child, ",") for child in tree.children], closing
    if tree.kind == "params":
        items = [(child, ",") for child in tree.children if child.kind != "learned"]
        learned = tree.find("learned")
        if learned:
            items[-1] = (items[-1][0], ";")
            items += [(child, ",") for child in learned.children]
        return "(", items, ")"
    return None


def _declaration(tree: Tree) -> list[Part]:
    """A head word and what follows it."""
    out: list[Part] = [tree.kind]
    for i, child in enumerate(tree.children):
        if tree.kind == "use" and i:
            out += [" as ", child]
        elif i == 0 and child.kind != "block":
            out += [" ", child]
        else:
            out += [_BEFORE[child.kind], child] if child.kind in _BEFORE else [child]
    return out


def _typed(children: tuple[Node, ...]) -> list[Part]:
    return [part for child in children for part in ((" : ", child) if child.kind == "type" else (child,))]


def _joined(children: tuple[Node, ...], between: str) -> list[Part]:
    out: list[Part] = []
    for child in children:
        out += [between, child] if out and between else [child]
    return out
