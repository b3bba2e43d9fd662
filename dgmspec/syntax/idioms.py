"""Gaussians as papers write them: `N(0, I)` and variances, while `normal(loc, scale)` takes a standard deviation."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from dgmspec.core.diagnostics import Diagnostic, Edit, Fix, Span
from dgmspec.syntax.lexeme import Sink
from dgmspec.syntax.tree import Node, Token, Tree

__all__ = ["check_scales", "with_idioms"]

_LAW = re.compile(
    r"(?:N|𝒩|𝓝|Normal|[Gg]aussian)[ \t]*\([ \t]*(?P<loc>[^(),]+?)[ \t]*,[ \t]*(?P<scale>[^(),]+?)[ \t]*\)"
)
_BEFORE_IDENTITY = re.compile(r"\bnormal[ \t]*\([^(),]*,[ \t]*\Z")
_DEVIATIONS = re.compile(r"(?:σ|sigma|std|stddev|sd|scale)(?:_\w+|\d+)?")


def with_idioms(diagnostics: Iterable[Diagnostic], texts: Mapping[str, str]) -> list[Diagnostic]:
    """The diagnostics, those about `N(0, I)` and `normal(0, I)` with the fix that the notation suggests."""
    return [_with_idiom(d, texts) if d.code == "DGM230" else d for d in diagnostics]


def _with_idiom(d: Diagnostic, texts: Mapping[str, str]) -> Diagnostic:
    at = d.at
    if not isinstance(at, Span) or at.source not in texts:
        return d
    text = texts[at.source]
    law = _LAW.match(text, at.start)
    if law and law["scale"] in ("I", "1", "1.0"):
        return _fixed(d, Span(at.source, at.start, law.end()), f"normal({law['loc']}, 1)")
    line = text.rfind("\n", 0, at.start) + 1
    if text[at.start : at.end] == "I" and _BEFORE_IDENTITY.search(text, line, at.start):
        return _fixed(d, at, "1")
    return d


def _fixed(d: Diagnostic, at: Span, write: str) -> Diagnostic:
    help = f"write `{write}`"
    return replace(d, help=(help,), fix=Fix((Edit(at, write),), "safe", help))


def check_scales(tree: Tree, sink: Sink) -> None:
    """Warn of a scale that is the square of a standard deviation, as in `normal(mu, sigma^2)`."""
    for node in tree.walk():
        scale = _scale(node) if isinstance(node, Tree) and node.kind == "call" and node.name == "normal" else None
        if not isinstance(scale, Tree) or scale.kind != "power":
            continue
        base, exponent = scale.children
        if isinstance(exponent, Token) and exponent.text in ("2", "2.0") and _DEVIATIONS.fullmatch(_name(base)):
            _report_variance(scale.text_of(scale, sink.text), scale.text_of(base, sink.text), scale.span, sink)


def _report_variance(square: str, root: str, at: Span, sink: Sink) -> None:
    sink.report(
        "DGM475",
        f"the scale of `normal` is a standard deviation, and `{square}` looks like a variance",
        at.start,
        at.end,
        help=f"write `{root}`, or say why in a comment: `# dgm: allow DGM475 reason`",
        replace=((at.start, at.end, root),),
        applicability="display",
    )


def _scale(call: Tree) -> Node | None:
    """The second argument of a call, or the one named `scale`."""
    args = call.find("args")
    given = args.children if args else ()
    for argument in given:
        if isinstance(argument, Tree) and argument.kind == "keyword" and argument.name == "scale":
            return argument.children[1]
    return given[1] if len(given) > 1 else None


def _name(node: Node) -> str:
    """The name that an expression is, or that it is a call or an element of; "" for any other."""
    if isinstance(node, Tree):
        return node.name if node.kind in ("call", "index") else ""
    return node.text if node.kind == "NAME" else ""
