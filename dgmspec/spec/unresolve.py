"""From the spec to the tree, and so to text: every document has one canonical spelling.

Parentheses are put exactly where the grammar needs them, so reading the text gives the same document again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dgmspec.algebra.nodes import (
    AbstractExpr,
    Argument,
    Arrow,
    Call,
    Constant,
    Factor,
    Index,
    Inverse,
    Name,
    Neg,
    Node,
    Number,
    Power,
    Product,
    Range,
    Sum,
    Term,
    Text,
    Vector,
)
from dgmspec.spec.model import (
    Apply,
    Bijector,
    Chain,
    Conditional,
    Data,
    Definition,
    Energy,
    Flow,
    Fn,
    For,
    InverseBlock,
    Kernel,
    Learn,
    LearnFunction,
    Model,
    Net,
    Param,
    Path,
    Repeat,
    Sample,
    Setting,
    Spec,
    Star,
    Step,
    Train,
    TypeExpr,
    Update,
    Use,
    Variable,
)
from dgmspec.syntax.printer import format_tree
from dgmspec.syntax.tree import Node as Syntax
from dgmspec.syntax.tree import Tree, token, tree

_OPERATORS = {"+": "PLUS", "-": "MINUS", "*": "STAR", "/": "SLASH", "@": "AT"}


def text_of(spec: Spec) -> str:
    """The canonical text of a spec."""
    return format_tree(tree_of(spec))


def tree_of(spec: Spec) -> Tree:
    """A spec as the tree that its text is read to."""
    edition = [tree("dgm", token("INT", str(spec.edition)))] if spec.edition is not None else []
    return tree("file", *edition, *(_spaced(item) for item in spec.items))


def _spaced(item: Node) -> Tree:
    """An item of a file; those with braces have a blank line above."""
    read = node_of(item)
    roomy = isinstance(item, (Model, Train, Sample))
    return tree(read.kind, *read.children, before=("",)) if roomy else read


def node_of(node: Node) -> Tree:
    """One statement as a tree: an item, a member, a step, or a line of a body."""
    match node:
        case Use():
            return tree("use", token("STRING", f'"{node.path}"'), _name(node.alias))
        case Param():
            return tree("param", _name(node.name), _type(node.type), _value(node.value))
        case Data():
            return tree("data", _name(node.name), _value(node.value))
        case Fn() | Energy():
            return tree(node.kind, _name(node.name), _params(node.args), _value(node.value))
        case LearnFunction():
            return tree("learn", _name(node.name), _params(node.args), _value(node.value))
        case Net():
            return tree("net", _name(node.name), _params(node.args), _type(node.type), _value(node.value))
        case Learn():
            return tree("learn", _name(node.name), _type(node.type), _value(node.value))
        case Bijector() | Chain():
            return _bijector(node)
        case Model():
            return tree("model", _name(node.name), _block(node.members))
        case Train() | Sample():
            return tree(node.kind, _name(node.model), _block(node.settings))
    return _inner(node)


def _inner(node: Node) -> Tree:
    """A statement that stands in braces only."""
    match node:
        case Variable():
            return _variable(node)
        case Flow() | Path():
            return _arrow(node)
        case Conditional():
            heads = tree("heads", expression(node.target))
            law = tree("law", expression(node.law))
            return tree(node.head, heads, _context(node.context), law, _for(node.repeat))
        case Setting():
            return tree("setting", _name(node.name), expression(node.value))
        case Definition():
            return tree("setting", _signature(node), expression(node.value))
        case Kernel():
            return tree("draw", _signature(node), expression(node.law))
        case Update():
            return tree("update", _name(node.target), expression(node.value))
        case Apply():
            call = expression(node.call)
            return tree("step", tree("inverse", call) if node.inverse else call)
        case InverseBlock():
            return tree("step", tree("inverse", _block(node.steps)))
        case Repeat():
            index = tree("as", _name(node.index)) if node.index else None
            return tree("repeat", expression(node.count), index, _block(node.steps))
    raise AssertionError(f"{node!r} is no statement")


# ---- parts of statements --------------------------------------------------------------------------------------------


def _name(name: str) -> Syntax:
    return token("QNAME" if "." in name else "NAME", name)


def _block(parts: Iterable[Node | Step]) -> Tree:
    return tree("block", *(node_of(part) for part in parts))


def _value(value: AbstractExpr | None) -> Tree | None:
    return None if value is None else tree("value", expression(value))


def _params(names: Sequence[str]) -> Tree:
    return tree("params", *(tree("parameter", _name(name)) for name in names))


def _signature(node: Definition | Kernel) -> Tree:
    return tree("call", _name(node.name), tree("args", *(_name(arg) for arg in node.args)))


def _bijector(node: Bijector | Chain) -> Tree:
    if isinstance(node, Chain):
        params = (tree("parameter", _name(p.name), _value(p.value)) for p in node.params)
        header = tree("params", *params) if node.params else None
        return tree("bijector", _name(node.name), header, tree("chain", _block(node.steps)))
    learned = (tree("parameter", _name(p.name), _type(p.type)) for p in node.parameters)
    parts = (tree("parameter", _name(part)) for part in node.parts)
    header = tree("params", *parts, tree("learned", *learned) if node.parameters else None)
    return tree("bijector", _name(node.name), header, _block(node.body))


def _variable(node: Variable) -> Tree:
    name = _name(node.name)
    left = tree("index", name, _name(node.index)) if node.index else name
    law = tree("law", expression(node.prior)) if node.prior is not None else None
    return tree(node.role, left, _type(node.type), law, _for(node.repeat))


def _for(node: For | None) -> Tree | None:
    return None if node is None else tree("for", _name(node.index), argument(node.domain))


def _arrow(node: Flow | Path) -> Tree:
    ends = [tree("source", _end(node.source)), tree("target", _end(node.target)) if node.target else None]
    if isinstance(node, Flow):
        return tree("flow", *ends, _context(node.context), _block(node.steps))
    over = tree("over", _name(node.over.name), argument(node.over.domain))
    return tree(node.head, *ends, _context(node.context), over, _block(node.body))


def _end(names: Sequence[str]) -> Syntax:
    return _name(names[0]) if len(names) == 1 else tree("vector", *(_name(name) for name in names))


def _context(context: Sequence[AbstractExpr]) -> Tree | None:
    return tree("context", *(_atom(part) for part in context)) if context else None


def _type(node: TypeExpr | None) -> Tree | None:
    if node is None:
        return None
    args = tree("args", *(argument(arg) for arg in node.args)) if node.args else None
    dims = (token("STAR", "*") if isinstance(d, Star) else expression(d) for d in node.dims)
    return tree("type", _name(node.name), args, tree("dims", *dims) if node.dims else None)


# ---- expressions ----------------------------------------------------------------------------------------------------


def formula_text(node: AbstractExpr) -> str:
    """A formula as it is written."""
    return format_tree(expression(node))


def expression(node: AbstractExpr) -> Syntax:
    """An expression where any operator may stand."""
    match node:
        case Number():
            return token("INT" if isinstance(node.value, int) else "FLOAT", repr(node.value))
        case Constant():
            return token("NAME", node.name)
        case Text():
            return token("STRING", f'"{node.value}"')
        case Name():
            return _name(node.id)
        case Neg():
            return tree("neg", _factor(node.of))
        case Sum():
            return tree("sum", *_terms(node.terms))
        case Product():
            return tree("product", *_factors(node.factors))
        case Power():
            return tree("power", _atom(node.base), _factor(node.exponent))
        case Index():
            return tree("index", _atom(node.of), expression(node.index))
        case Vector():
            return tree("vector", *(expression(item) for item in node.items))
        case Call():
            return tree("call", _name(node.name), tree("args", *(_argument(arg) for arg in node.args)))
    raise AssertionError(f"{node!r} stands as an argument only")


def _terms(terms: Sequence[Term]) -> Iterable[Syntax]:
    for i, term in enumerate(terms):
        if i:
            yield token(_OPERATORS[term.sign], term.sign)
        yield _grouped(term.of, (Sum,))


def _factors(factors: Sequence[Factor]) -> Iterable[Syntax]:
    for i, factor in enumerate(factors):
        if i:
            yield token(_OPERATORS[factor.op], factor.op)
        yield _factor(factor.of)


def _factor(node: AbstractExpr) -> Syntax:
    """An expression where no sum or product may stand without parentheses."""
    return _grouped(node, (Sum, Product))


def _atom(node: AbstractExpr) -> Syntax:
    """An expression where no operator may stand without parentheses."""
    return _grouped(node, (Sum, Product, Neg, Power))


def _grouped(node: AbstractExpr, kinds: tuple[type[AbstractExpr], ...]) -> Syntax:
    written = expression(node)
    return tree("group", written) if isinstance(node, kinds) else written


def argument(node: AbstractExpr) -> Syntax:
    """What may stand as an argument or a domain: an expression, a range, an arrow, an inverse operation."""
    match node:
        case Range():
            return tree("range", expression(node.low), expression(node.high))
        case Arrow():
            return tree("arrow", expression(node.source), expression(node.target))
        case Inverse():
            return tree("inverse", expression(node.of))
        case Name(quoted=True):
            return tree("group", expression(node))
    return expression(node)


def _argument(arg: Argument) -> Syntax:
    value = argument(arg.value)
    return value if arg.name is None else tree("keyword", _name(arg.name), value)
