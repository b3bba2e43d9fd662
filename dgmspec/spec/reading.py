"""What every reader of the tree shares: findings, spans by address, expressions, types and lists of names.

Each method reads one piece of the tree. A piece that cannot be read is reported and stands as `HOLE` (or is left out),
so that one run finds as many mistakes as it can; a spec is given out only when there were none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import cast

from dgmspec.algebra.nodes import (
    CONSTANTS,
    RESERVED,
    AbstractExpr,
    Argument,
    Arrow,
    Call,
    Constant,
    Factor,
    Formula,
    Index,
    Inverse,
    Name,
    Neg,
    Number,
    Power,
    Range,
    Term,
    Text,
    Vector,
    product_of,
    sum_of,
)
from dgmspec.core.address import Address, callee, child, keyword
from dgmspec.core.diagnostics import Diagnostic, Label, Span
from dgmspec.spec.model import Domain, Star, TypeExpr
from dgmspec.syntax.tree import Node, Token, Tree

HOLE = Number(value=0)
_SIGNS = {"PLUS": "+", "MINUS": "-"}
_OPERATORS = {"STAR": "*", "SLASH": "/", "AT": "@"}


class Reading:
    """One text being read: what was found wrong, and where everything stands."""

    def __init__(self, prefix: Address = "") -> None:
        self.prefix = prefix
        self.found: list[Diagnostic] = []
        self.spans: dict[Address, Span] = {}
        # Where a name or a call of a formula was written, by the identity of its node; nodes live as long as this.
        self.written: dict[int, tuple[AbstractExpr, Span]] = {}

    def report(
        self,
        code: str,
        message: str,
        at: Span | Node,
        label: str = "",
        *,
        labels: tuple[Label, ...] = (),
        notes: tuple[str, ...] = (),
        help: tuple[str, ...] = (),
    ) -> None:
        """Add a finding."""
        place = at if isinstance(at, Span) else at.span
        self.found.append(Diagnostic(code, message, place, label, labels, notes, help))

    def mark(self, address: Address | None, at: Span | Node) -> None:
        """Remember where an address was written; the first time counts."""
        if address is not None:
            self.spans.setdefault(address, at if isinstance(at, Span) else at.span)

    def span_of(self, node: AbstractExpr) -> Span | None:
        """Where a name or a call was written."""
        found = self.written.get(id(node))
        return found[1] if found else None

    # ------------------------------------------------------------------------------------------------------- names

    def declared(self, token: Token) -> str:
        """The name that a declaration gives; constants cannot be declared anew."""
        if token.text in RESERVED:
            self.report("DGM206", f"`{token.text}` is a constant of the language and cannot be declared", token)
            return "_"
        return token.text

    def plain_name(self, node: Node, what: str) -> str | None:
        """The name that `node` is, or None with a finding that says what was wanted."""
        if isinstance(node, Token) and node.kind == "NAME":
            return self.declared(node)
        self.report("DGM205", f"{what} must be a plain name", node, "not a name")
        return None

    def plain_names(self, nodes: Iterable[Node], what: str, address: Address | None = None) -> tuple[str, ...]:
        """Several names, each once; their places are marked below `address`."""
        first: dict[str, Node] = {}
        for node in nodes:
            name = self.plain_name(node, what)
            if name is None:
                continue
            if name in first and name != "_":
                self.twice(name, node.span, first[name].span)
            else:
                first[name] = node
                self.mark(child(address, name) if address is not None else None, node)
        return tuple(first)

    def twice(self, name: str, here: Span, there: Span | None, what: str = "name") -> None:
        """Report that something is declared a second time."""
        labels = (Label(there, "first declared here"),) if there else ()
        self.report("DGM202", f"the {what} `{name}` is declared twice", here, "declared again here", labels=labels)

    def arguments(self, params: Tree | None, address: Address) -> tuple[str, ...]:
        """The argument names of a function: no types, no defaults, nothing after `;`."""
        if params is None:
            return ()
        names: list[Node] = []
        for parameter in params.find_all("parameter"):
            names.append(parameter.children[0])
            for part in parameter.trees:
                self.report("DGM204", "an argument is a name alone", part, "leave this out")
        learned = params.find("learned")
        if learned is not None:
            self.report("DGM204", "learned parameters after `;` belong to a bijector", learned, "leave this out")
        if not names and learned is None:
            self.report("DGM203", "a function needs at least one argument", params, "name its arguments here")
        return self.plain_names(names, "an argument", address) or ("_",)

    # ------------------------------------------------------------------------------------------------- expressions

    def formula(self, node: Node, address: Address | None = None) -> Formula:
        """An expression; `address` marks where it and the arguments inside it stand."""
        self.mark(address, node)
        named = node.children[0] if isinstance(node, Tree) and node.kind == "call" else node
        if address is not None and isinstance(named, Token):
            self.mark(callee(address), named)
        read = self._token(node) if isinstance(node, Token) else self._tree(node, address)
        return cast(Formula, read)

    def argument(self, node: Node, address: Address | None) -> AbstractExpr:
        """What may stand as an argument: an expression, a range, or an inverse operation."""
        if isinstance(node, Tree) and node.kind == "range":
            return self._range(node, address)
        if isinstance(node, Tree) and node.kind == "inverse":
            self.mark(address, node)
            return self._inverse(node, address)
        if isinstance(node, Tree) and node.kind == "arrow":
            self.mark(address, node)
            return Arrow(source=self.formula(node.children[0]), target=self.formula(node.children[1]))
        read = self.formula(node, address)
        if isinstance(node, Tree) and node.kind == "group" and isinstance(node.children[0], Token):
            return self._written(Name(id=read.id, quoted=True), node.span) if isinstance(read, Name) else read
        return read

    def domain(self, node: Node, address: Address | None) -> Domain:
        """What `over t in` and `for k in` run through: a range or an expression."""
        if isinstance(node, Tree) and node.kind == "range":
            return self._range(node, address)
        return self.formula(node, address)

    def _range(self, node: Tree, address: Address | None) -> Range:
        self.mark(address, node)
        low, high = node.children
        return Range(low=self.formula(low), high=self.formula(high))

    def _inverse(self, node: Tree, address: Address | None) -> AbstractExpr:
        of = node.children[0]
        if isinstance(of, Tree) and of.kind == "block":
            help = ("name the steps, `bijector back = { … }`, and write `inverse back`",)
            self.report("DGM204", "an argument cannot hold a block of steps", of, help=help)
            return HOLE
        read = self.formula(of, address)
        return Inverse(of=read) if isinstance(read, (Name, Call)) else HOLE

    def _token(self, token: Token) -> AbstractExpr:
        match token.kind:
            case "INT":
                return Number(value=int(token.text.replace("_", "")))
            case "FLOAT":
                return Number(value=min(float(token.text.replace("_", "")), sys.float_info.max))
            case "STRING":
                return Text(value=token.text[1:-1])
        if token.text in CONSTANTS:
            return Constant.model_validate({"name": token.text})
        return self._written(Name(id=token.text), token.span)

    def _written(self, node: AbstractExpr, span: Span) -> AbstractExpr:
        self.written[id(node)] = (node, span)
        return node

    def _tree(self, node: Tree, address: Address | None) -> AbstractExpr:
        parts = node.children
        match node.kind:
            case "group":
                return self.formula(parts[0], address)
            case "sum":
                terms = zip(parts[1::2], parts[2::2], strict=True)
                rest = [Term(sign=_SIGNS[sign.kind], of=self.formula(p)) for sign, p in terms]
                return sum_of(self.formula(parts[0]), rest)
            case "product":
                factors = zip(parts[1::2], parts[2::2], strict=True)
                more = [Factor(op=_OPERATORS[operator.kind], of=self.formula(p)) for operator, p in factors]
                return product_of(self.formula(parts[0]), more)
            case "neg":
                return Neg(of=self.formula(parts[0]))
            case "power":
                return Power(base=self.formula(parts[0]), exponent=self.formula(parts[1]))
            case "index":
                return self._index(node)
            case "vector":
                return Vector(items=tuple(self.formula(p, _below(address, i)) for i, p in enumerate(parts)))
            case "call":
                return self._call(node, address)
        self.report("DGM204", _MISPLACED.get(node.kind, f"a {node.kind} cannot stand in a formula"), node, "not here")
        return HOLE

    def _index(self, node: Tree) -> AbstractExpr:
        of, *indices = node.children
        if len(indices) > 1:
            help = ("index twice: `x[0][1]`",)
            self.report("DGM204", "an index is one expression", indices[1], "one too many", help=help)
        return Index(of=self.formula(of), index=self.formula(indices[0]))

    def _call(self, node: Tree, address: Address | None) -> AbstractExpr:
        name, args = node.children
        assert isinstance(name, Token) and isinstance(args, Tree)
        if name.text in CONSTANTS:
            self.report("DGM207", f"`{name.text}` is a constant and takes no arguments", name)
            return HOLE
        return self._written(Call(name=name.text, args=self._arguments(args.children, address)), node.span)

    def _arguments(self, nodes: Sequence[Node], address: Address | None) -> tuple[Argument, ...]:
        read: list[Argument] = []
        named: dict[str, Node] = {}
        for i, node in enumerate(nodes):
            if not (isinstance(node, Tree) and node.kind == "keyword"):
                if named:
                    self.report("DGM208", "an argument by position stands before those by name", node, "move this")
                    continue
                read.append(Argument(value=cast(Formula, self.argument(node, _below(address, i)))))
                continue
            name, value = self.plain_name(node.children[0], "an argument's name") or "_", node.children[1]
            if name in named:
                self.report(
                    "DGM208",
                    f"the argument `{name}` is given twice",
                    node,
                    "given again here",
                    labels=(Label(named[name].span, "first given here"),),
                )
                continue
            named[name] = node
            self.mark(keyword(address, name) if address is not None else None, node.children[0])
            read.append(Argument(name=name, value=cast(Formula, self.argument(value, _below(address, name)))))
        return tuple(read)

    # ------------------------------------------------------------------------------------------------------- types

    def type(self, node: Tree | None, address: Address) -> TypeExpr | None:
        """A type, marked as `address`; its arguments below ``args``, its dimensions by their places."""
        if node is None:
            return None
        self.mark(address, node)
        args, dims = node.find("args"), node.find("dims")
        return TypeExpr(
            name=self.declared(node.tokens[0]),
            args=self._type_arguments(args, child(address, "args")) if args else (),
            dims=tuple(self._dim(d, child(address, i)) for i, d in enumerate(dims.children)) if dims else (),
        )

    def _type_arguments(self, args: Tree, address: Address) -> tuple[Domain, ...]:
        plain: list[Domain] = []
        for i, node in enumerate(args.children):
            if isinstance(node, Tree) and node.kind in ("keyword", "inverse"):
                self.report("DGM204", "a type's arguments are expressions and ranges, by position", node)
                continue
            plain.append(self.domain(node, child(address, i)))
        return tuple(plain)

    def _dim(self, node: Node, address: Address) -> Formula | Star:
        if isinstance(node, Token) and node.kind == "STAR":
            self.mark(address, node)
            return Star()
        return self.formula(node, address)


_MISPLACED = {
    "arrow": "an arrow stands as an argument only",
    "range": "a range stands as an argument and after `in` only",
    "inverse": "`inverse` stands before a step or an argument only",
    "block": "a block of steps is no value",
}


def _below(address: Address | None, part: str | int) -> Address | None:
    return None if address is None else child(address, part)
