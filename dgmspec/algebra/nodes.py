"""Expressions as closed syntax: what a spec holds, exactly as its author wrote it.

Literals are non-negative (``-1`` is ``Neg(Number(1))``), ``1`` and ``1.0`` differ, ``pi inf true false`` are
constants. Sums and products are n-ary and flat on the left, as text is read: ``a - b + c`` is one `Sum` of three
terms, while ``a + (b + c)`` keeps its inner sum. So text, objects and JSON stand for each other exactly.

The same nodes serve as formulas (``-y^2``), as calls of operations (``coupling(affine, mask = half)``) and as
arguments (``alternate(k)``, ``1..T``, ``[2, 2]``). Ranges, arrows and `Inverse` stand as arguments only, so `Formula`
(what an operand may be) leaves them out. Python operators build nodes: ``name("t") * 2 - 1``.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import pairwise
from numbers import Integral, Real
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    field_validator,
    model_validator,
)

CONSTANTS = ("pi", "inf", "true", "false")
RESERVED = (*CONSTANTS, "repeat")
MAX_DEPTH = 64

_WORD = re.compile(r"[^\W\d][\w\u0300-\u036f]*")


def identifier(name: str) -> str:
    """`name` itself if a text can declare it (a word in normal form, not reserved); `ValueError` otherwise."""
    if name in RESERVED:
        raise ValueError(f"`{name}` is reserved")
    if not _WORD.fullmatch(name) or unicodedata.normalize("NFKC", name) != name:
        raise ValueError(f"{name!r} is no name: letters, digits and _, a letter first, in the normal form NFKC")
    return name


def _qualified(name: str) -> str:
    """`name` itself if it is an identifier, or two with a dot between (``blocks.step``)."""
    for part in name.split(".", 1):
        identifier(part)
    return name


def _label(text: str) -> str:
    """`text` itself if it can stand between quotes."""
    if '"' in text or not text.isprintable():
        raise ValueError("a string holds printable characters, and no quote")
    return text


Identifier = Annotated[str, AfterValidator(identifier)]
Qualified = Annotated[str, AfterValidator(_qualified)]
Label = Annotated[str, AfterValidator(_label)]


class Node(BaseModel):
    """A frozen piece of syntax; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class AbstractOperand(ABC):
    """What Python operators turn into larger expressions; numbers become `Number` (negative ones `Neg`)."""

    @abstractmethod
    def as_expr(self) -> AbstractExpr:
        """The expression that this object stands for."""

    def __add__(self, other: Operand) -> Sum:
        return add(self, "+", other)

    def __radd__(self, other: Operand) -> Sum:
        return add(other, "+", self)

    def __sub__(self, other: Operand) -> Sum:
        return add(self, "-", other)

    def __rsub__(self, other: Operand) -> Sum:
        return add(other, "-", self)

    def __mul__(self, other: Operand) -> Product:
        return multiply(self, "*", other)

    def __rmul__(self, other: Operand) -> Product:
        return multiply(other, "*", self)

    def __truediv__(self, other: Operand) -> Product:
        return multiply(self, "/", other)

    def __rtruediv__(self, other: Operand) -> Product:
        return multiply(other, "/", self)

    def __matmul__(self, other: Operand) -> Product:
        return multiply(self, "@", other)

    def __pow__(self, other: Operand) -> Power:
        return Power(base=self.as_expr(), exponent=expr(other))

    def __rpow__(self, other: Operand) -> Power:
        return Power(base=expr(other), exponent=self.as_expr())

    def __neg__(self) -> Neg:
        return Neg(of=self.as_expr())

    def __getitem__(self, index: Operand) -> Index:
        return Index(of=self.as_expr(), index=expr(index))


class AbstractExpr(Node, AbstractOperand):
    """An expression."""

    def as_expr(self) -> AbstractExpr:
        return self


class Number(AbstractExpr):
    """A non-negative literal; ``2`` and ``2.0`` are different numbers."""

    kind: Literal["number"] = "number"
    value: StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)]

    @field_validator("value")
    @classmethod
    def _not_negative(cls, value: int | float) -> int | float:
        if str(value).startswith("-"):
            raise ValueError("literals are not negative: write Neg(Number(...))")
        return value


class Constant(AbstractExpr):
    """One of ``pi``, ``inf``, ``true``, ``false``."""

    kind: Literal["constant"] = "constant"
    name: Literal["pi", "inf", "true", "false"]


class Text(AbstractExpr):
    """A string: a path or a label."""

    kind: Literal["text"] = "text"
    value: Label


class Name(AbstractExpr):
    """A name, or a qualified one such as ``blocks.step``.

    An argument that stands in parentheses of its own, ``weight = (simple)``, is `quoted`: the name of a value, even
    where the argument has a choice of that name.
    """

    kind: Literal["name"] = "name"
    id: Qualified
    quoted: bool = False


class Neg(AbstractExpr):
    """``-of``."""

    kind: Literal["neg"] = "neg"
    of: Formula


class Term(Node):
    """One term of a sum with its sign."""

    sign: Literal["+", "-"] = "+"
    of: Formula


class Sum(AbstractExpr):
    """``a - b + c``: two or more terms, the first with sign ``+`` and itself no `Sum`."""

    kind: Literal["sum"] = "sum"
    terms: tuple[Term, ...]

    @field_validator("terms")
    @classmethod
    def _flat(cls, terms: tuple[Term, ...]) -> tuple[Term, ...]:
        if len(terms) < 2 or terms[0].sign == "-" or isinstance(terms[0].of, Sum):
            raise ValueError("a sum has two or more terms; the first has sign + and is no sum itself")
        return terms


class Factor(Node):
    """One factor of a product with the operator before it."""

    op: Literal["*", "/", "@"] = "*"
    of: Formula


class Product(AbstractExpr):
    """``a / b * c @ d``: two or more factors, read from the left, the first itself no `Product`."""

    kind: Literal["product"] = "product"
    factors: tuple[Factor, ...]

    @field_validator("factors")
    @classmethod
    def _flat(cls, factors: tuple[Factor, ...]) -> tuple[Factor, ...]:
        if len(factors) < 2 or factors[0].op != "*" or isinstance(factors[0].of, Product):
            raise ValueError("a product has two or more factors; the first has no operator and is no product")
        return factors


class Power(AbstractExpr):
    """``base ^ exponent``, right-associative."""

    kind: Literal["power"] = "power"
    base: Formula
    exponent: Formula


class Index(AbstractExpr):
    """``of[index]``."""

    kind: Literal["index"] = "index"
    of: Formula
    index: Formula


class Vector(AbstractExpr):
    """``[a, b]``."""

    kind: Literal["vector"] = "vector"
    items: tuple[Formula, ...]


class Range(AbstractExpr):
    """``low..high``, both ends included."""

    kind: Literal["range"] = "range"
    low: Formula
    high: Formula


class Arrow(AbstractExpr):
    """``u -> x`` as an argument: the arrow between these variables, as in ``kinetic(u -> x)``."""

    kind: Literal["arrow"] = "arrow"
    source: Formula
    target: Formula


class Argument(Node):
    """An argument of a call: by position (``name`` is None) or by name."""

    name: Identifier | None = None
    value: Expr

    @model_validator(mode="after")
    def _arrow_by_position(self) -> Argument:
        if self.name is not None and isinstance(self.value, Arrow):
            raise ValueError("an arrow is an argument by position")
        return self


class Call(AbstractExpr):
    """``name(args)``: a function, an operation or a net applied; positional arguments come first."""

    kind: Literal["call"] = "call"
    name: Qualified
    args: tuple[Argument, ...] = ()

    @field_validator("args")
    @classmethod
    def _positional_first(cls, args: tuple[Argument, ...]) -> tuple[Argument, ...]:
        named = [arg.name for arg in args if arg.name is not None]
        if any(arg.name is not None and later.name is None for arg, later in pairwise(args)):
            raise ValueError("positional arguments come before named ones")
        if len(set(named)) < len(named):
            raise ValueError("an argument is given twice")
        return args


class Inverse(AbstractExpr):
    """``inverse name(args)`` as an argument, e.g. ``coupling(inverse rqs, …)``."""

    kind: Literal["inverse"] = "inverse"
    of: Annotated[Call | Name, Field(discriminator="kind")]


Formula = Annotated[
    Number | Constant | Text | Name | Neg | Sum | Product | Power | Index | Vector | Call,
    Field(discriminator="kind"),
]
Expr = Annotated[
    Number | Constant | Text | Name | Neg | Sum | Product | Power | Index | Vector | Range | Arrow | Call | Inverse,
    Field(discriminator="kind"),
]
Operand = AbstractOperand | int | float


def expr(value: object) -> AbstractExpr:
    """A Python value as an expression: numbers, NumPy's too, bools, strings (as `Text`), lists, and what is one."""
    if isinstance(value, AbstractOperand):
        return value.as_expr()
    if isinstance(value, bool):
        return Constant(name="true" if value else "false")
    if isinstance(value, Real):
        value = int(value) if isinstance(value, Integral) else float(value)
        if value != value:
            raise ValueError("not a number has no literal")
        if value < 0 or str(value).startswith("-"):
            return Neg(of=expr(-value))
        return Constant(name="inf") if value == float("inf") else Number(value=value)
    if isinstance(value, str):
        return Text(value=value)
    if isinstance(value, (list, tuple)):
        return Vector(items=tuple(expr(item) for item in value))
    raise TypeError(f"{value!r} is no expression")


def call_of(name: str, *args: AbstractExpr) -> Call:
    """A function of formulas, all by place."""
    return Call(name=name, args=tuple(Argument(value=arg) for arg in args))


def sum_of(first: AbstractExpr, rest: Iterable[Term]) -> Sum:
    """A sum read from the left: where the first term is a sum, in brackets or not, its terms come first."""
    head = first.terms if isinstance(first, Sum) else (Term(of=first),)
    return Sum(terms=(*head, *rest))


def product_of(first: AbstractExpr, rest: Iterable[Factor]) -> Product:
    """A product read from the left, likewise."""
    head = first.factors if isinstance(first, Product) else (Factor(of=first),)
    return Product(factors=(*head, *rest))


def add(left: Operand, sign: Literal["+", "-"], right: Operand) -> Sum:
    """``left ± right``."""
    return sum_of(expr(left), (Term(sign=sign, of=expr(right)),))


def multiply(left: Operand, op: Literal["*", "/", "@"], right: Operand) -> Product:
    """``left op right``."""
    return product_of(expr(left), (Factor(op=op, of=expr(right)),))


def children(node: AbstractExpr) -> Iterator[AbstractExpr]:
    """The direct sub-expressions of `node`, in reading order."""
    match node:
        case Neg() | Inverse():
            yield node.of
        case Sum():
            yield from (term.of for term in node.terms)
        case Product():
            yield from (factor.of for factor in node.factors)
        case Power():
            yield from (node.base, node.exponent)
        case Index():
            yield from (node.of, node.index)
        case Vector():
            yield from node.items
        case Range():
            yield from (node.low, node.high)
        case Arrow():
            yield from (node.source, node.target)
        case Call():
            yield from (arg.value for arg in node.args)


def walk(node: AbstractExpr) -> Iterator[AbstractExpr]:
    """`node` and all its sub-expressions, parents first."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(reversed(list(children(top))))
