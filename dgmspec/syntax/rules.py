"""The rules of syntax that a grammar would state badly: left sides, sizes, the header, names that look alike."""

from dgmspec.syntax import limits
from dgmspec.syntax.tokens import Lexeme, Sink
from dgmspec.syntax.tree import Node, Token, Tree

__all__ = ["EDITION", "check_header", "check_look_alikes", "check_statement"]

EDITION = 1

_SIGNS = {"setting": "=", "draw": "~", "update": "<-"}
_WHAT = {
    "INT": "a number",
    "FLOAT": "a number",
    "STRING": "a string",
    "sum": "a sum",
    "product": "a product",
    "neg": "an expression",
    "power": "a power",
    "index": "an element",
    "group": "an expression in parentheses",
    "vector": "a vector",
    "inverse": "an inverse",
}


def check_statement(tree: Tree, sink: Sink) -> bool:
    """Whether a node may stay in the tree: a left side names something, a step is a name or a call, blocks end."""
    if tree.kind in _SIGNS or tree.kind == "step":
        return _check_left(tree, sink)
    if tree.kind == "block" and len(tree.children) > limits.BLOCK_STATEMENTS:
        message = f"this block has {len(tree.children):,} statements; at most {limits.BLOCK_STATEMENTS:,} are allowed"
        start = tree.span.start
        sink.report("DGM126", message, start, start + 1, help="write a `repeat`, or split the block")
    return True


def _check_left(tree: Tree, sink: Sink) -> bool:
    left = tree.children[0]
    if left.kind in ("NAME", "QNAME", "call") or (tree.kind == "step" and left.kind == "inverse"):
        return True
    sign = _SIGNS.get(tree.kind)
    what = _WHAT[left.kind]
    if sign:
        message = f"the left side of `{sign}` is a name or a form such as `f(t)`, not {what}"
        help = f"write `name {sign} …` or `f(t) {sign} …`"
    else:
        message = f"{what} does nothing as a statement"
        help = "name it: `name = …`, or write a step: a name or a call"
    sink.report("DGM115", message, left.span.start, left.span.end, label=f"this is {what}", help=help)
    return False


# ------------------------------------------------------------------------------------------------------------ header


def check_header(tree: Tree, tokens: list[Lexeme], sink: Sink) -> None:
    """`dgm 1` stands first, once, and names an edition that exists; without it the newest edition is read."""
    if tokens[0].type == "$END":
        return
    if all(token.type != "_DGM" for token in tokens):
        start = tokens[0].start
        sink.report(
            "DGM130",
            f"the first line does not name the edition of the language, so edition {EDITION} is taken",
            start,
            start,
            help=f"begin the text with `dgm {EDITION}`",
            replace=((start, start, f"dgm {EDITION}\n"),),
        )
    for token in tokens[1:]:
        if token.type == "_DGM":
            message = "the edition is named once, before everything else"
            sink.report("DGM132", message, token.start, token.end, help="move this line to the top of the text")
    header = tree.children[0] if tree.children else None
    if isinstance(header, Tree) and header.kind == "dgm":
        _check_edition(header.children[0], sink)


def _check_edition(number: Node, sink: Sink) -> None:
    assert isinstance(number, Token)
    if int(number.text) != EDITION:
        message = f"there is no edition {number.text} of the language that this version reads"
        notes = (f"this version reads edition {EDITION}",)
        span = number.span
        sink.report("DGM131", message, span.start, span.end, notes=notes, help=f"write `dgm {EDITION}`")


# ------------------------------------------------------------------------------------------------------- look-alikes

# Letters that most fonts draw like a Latin one.
_CYRILLIC = str.maketrans("аеорсухіѕјһԁАВЕКМНОРСТУХІЅЈ", "aeopcyxisjhdABEKMHOPCTYXISJ")
_GREEK = str.maketrans("οΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "oABEZHIKMNOPTYX")


def check_look_alikes(tree: Tree, sink: Sink) -> None:
    """Warn of a name that looks like another one of the text, or mixes Latin letters with others of their shape."""
    if sink.text.isascii():
        return
    names: dict[str, Token] = {}
    for node in tree.walk():
        if isinstance(node, Token) and node.kind == "NAME":
            names.setdefault(node.text, node)
    for name, token in names.items():
        cyrillic = name.translate(_CYRILLIC)
        plain = cyrillic.translate(_GREEK)
        mixed = cyrillic != name and any(letter.isascii() and letter.isalpha() for letter in name)
        if plain != name and (plain in names or mixed):
            other = "another name" if plain in names else "a name in Latin letters"
            message = f"`{name}` looks like {other}, `{plain}`, but is not the same"
            help = f"if `{plain}` is meant, write it in Latin letters"
            sink.report("DGM141", message, token.span.start, token.span.end, help=help)
