"""The syntax tree: one generic frozen node, used for every construct of the language.

A `Tree` has a kind, children (trees and tokens that carry meaning; keywords and punctuation are dropped, because the
kind and the order say the same) and a span. A `Token` has a kind, its text and a span. Comments and blank lines hang
on either as `Trivia`, which equality ignores, as it ignores spans: two trees are equal when they mean the same text.
A name's `text` is its normal form (NFKC, and `pi` for `π`), `written` is how the source spells it.

Kinds of tokens: NAME, QNAME (`blocks.step`, one level), INT, FLOAT, STRING (text with its quotes), and the operators
PLUS, MINUS, STAR, SLASH, AT. Constants (`pi inf true false`) are NAMEs.

Kinds of nodes. In the list, `a?` may be absent, `a…` may repeat; E is an expression, that is a NAME, QNAME, INT,
FLOAT or STRING token, or one of the nodes under "expressions". `block`, `type`, `law`, … name a child of that kind,
which `node.find("law")` returns, or None. The grammar is a cover: every statement may stand in every block.

    file       statement…                        the whole text
    block      statement…                        { a; b }

    dgm        INT                               dgm 1
    use        STRING NAME?                      use "blocks.dgm" as blocks
    param      NAME type? value?                 param σ_max : positive = 50
    fn         NAME params? value?               fn β(t) = 0.1 + 19.9 * t
    net        NAME params? type? value?         net s(a, t) : like(b) = mlp(64, 64)
    data       NAME value?                       data moons = two_moons(n = 20_000)
    bijector   NAME params? block                bijector tilted(x; a : positive) { x <- sinh(a * arcsinh(x)) }
    bijector   NAME params? chain                bijector block(width = 64) = { actnorm; linear(plu) }
    model      NAME block                        model RealNVP { … }
    train      NAME? block                       train RealNVP { steps = 5_000 }
    sample     NAME? block                       sample VP { count = 1000 }

    observe    variable type? law? for?          observe x : real[2] ~ exp(-E(x))
    latent     variable type? law? for?          latent z[k] : real[16] ~ normal(0, 1) for k in 1..T
    given      variable type? law? for?          given c : category(10)
                 where variable is a NAME, or an index node for z[k] (the cover admits any E without operators)
    flow       source target? context? over? block         flow [a, b] -> z | h(c) { … }
    ode        source target? context? over? block         ode x -> z over t in 0..1 { … }
    sde        source target? context? over? block         sde x -> z over t in 0..T { … }
    markov     source target? context? over? block         markov x -> z over t in 1..T { … }
    perturb    source target? context? over? block         perturb x over σ in levels { … }
    generate   heads context? law? for?          generate x | z, c ~ normal(mlp(400))
    infer      heads context? law? for?          infer z | x ~ normal(mlp(400))
    energy     NAME params? type? value?         energy E(x) = mlp(64, 64)
    learn      NAME params? type? value?         learn A : real[2, 2]      learn noise(x, t) = mlp(64)

    repeat     E as? block                       repeat depth as k { … }
    step       E|inverse                         actnorm      coupling(affine, mask = half)      inverse { … }
    setting    E E|inverse                       loss = nll + 0.1 * kinetic      velocity(y, t) = mlp(64)
    draw       E E                               step(x, t) ~ normal(sqrt(1 - β(t)) * x, β(t))
    update     E E                               x <- a * x + b
                 where the first E of setting, draw and update is a NAME, QNAME or call (the parser has checked it)

    source     E                                 the x of x -> z; a vector node for [a, b] -> z
    target     E                                 the z of x -> z
    context    E…                                | h(c), d
    over       NAME domain                       over t in 0..1        domain: an E or a range
    heads      E…                                the x of generate x | z
    as         NAME                              as k
    value      E|inverse                         = 0.5
    chain      block|E|inverse                   = { actnorm; linear(plu) }
    law        E                                 ~ normal(0, 1)
    for        NAME domain                       for k in 1..T
    type       NAME args? dims?                  interval(-1, 1)[3, 32, 32]
    dims       (E|STAR)…                         [2 * D]    [*]  (a STAR token)
    params     parameter… learned?               (x; a : positive, b = 1)
    learned    parameter…                        a : positive, b = 1   (what follows the `;`)
    parameter  NAME type? value?                 a : positive = 1

    expressions
    sum        E (PLUS|MINUS) E …                a + b - c         n-ary, operands at even places
    product    E (STAR|SLASH|AT) E …             2 * A @ y         n-ary, from the left
    neg        E                                 -x
    power      E E                               x^2               right-associative
    call       NAME|QNAME args                   f(x, k = 2)
    args       (E|range|arrow|keyword|inverse)…  (x, 0..3, u -> x, net = mlp(64), inverse affine)
    keyword    NAME E|range|inverse              net = mlp(64)
    index      E E…                              x[0]   z[k + 1]
    group      E                                 (x + 1)           parentheses as written; the printer adds none
    vector     E…                                [1, 2, x]
    range      E E                               0..255            as an argument, after `over … in` and `for … in`
    arrow      E E                               u -> x            as an argument: dsm(x -> z)
    inverse    NAME|QNAME|call|block             inverse affine(1)      inverse { … }
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from dgmspec.core.diagnostics import Span

__all__ = ["NOWHERE", "NO_TRIVIA", "Node", "Token", "Tree", "Trivia", "token", "tree"]

NOWHERE = Span("", 0, 0)


@dataclass(frozen=True, slots=True)
class Trivia:
    """Comments (with their `#`) and blank lines (as "") around a node.

    `before` stands on lines of its own above, `after` at the end of the node's last line; for a node with brackets,
    `opening` stands behind the opening one and `inside` above the closing one. `compact` is set on a block that was
    written on one line.
    """

    before: tuple[str, ...] = ()
    after: str = ""
    opening: str = ""
    inside: tuple[str, ...] = ()
    compact: bool = False

    def comments(self) -> tuple[str, ...]:
        """The comments in the order of the text, without blank lines."""
        return tuple(c for c in (*self.before, self.opening, *self.inside, self.after) if c)


NO_TRIVIA = Trivia()


@dataclass(frozen=True, slots=True)
class Token:
    """A leaf: a name, a number, a string or an operator."""

    kind: str
    text: str
    span: Span = field(default=NOWHERE, compare=False)
    trivia: Trivia = field(default=NO_TRIVIA, compare=False, repr=False)
    written: str = field(default="", compare=False, repr=False)

    @property
    def value(self) -> int | float | str:
        """What the token says: the number of an INT or FLOAT, the inside of a STRING, the text of any other."""
        if self.kind == "INT":
            return int(self.text)
        if self.kind == "FLOAT":
            return float(self.text)
        return self.text[1:-1] if self.kind == "STRING" else self.text


@dataclass(frozen=True, slots=True)
class Tree:
    """An inner node; see the module's docstring for the kinds and their children."""

    kind: str
    children: tuple["Node", ...] = ()
    span: Span = field(default=NOWHERE, compare=False)
    trivia: Trivia = field(default=NO_TRIVIA, compare=False, repr=False)

    def find(self, kind: str) -> "Tree | None":
        """The first child node of a kind, or None."""
        return next((c for c in self.children if isinstance(c, Tree) and c.kind == kind), None)

    def find_all(self, kind: str) -> tuple["Tree", ...]:
        """All child nodes of a kind, in order."""
        return tuple(c for c in self.children if isinstance(c, Tree) and c.kind == kind)

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The children that are tokens, in order."""
        return tuple(c for c in self.children if isinstance(c, Token))

    @property
    def trees(self) -> tuple["Tree", ...]:
        """The children that are trees, in order."""
        return tuple(c for c in self.children if isinstance(c, Tree))

    @property
    def name(self) -> str:
        """The text of the first NAME or QNAME child, "" where there is none: the name that a declaration declares."""
        return next((c.text for c in self.tokens if c.kind in ("NAME", "QNAME")), "")

    @property
    def block(self) -> "Tree | None":
        """The braces of a statement, if it has them."""
        return self.find("block")

    def walk(self) -> Iterator["Node"]:
        """This node and all below it, parents before children, in the order of the text; no recursion."""
        stack: list[Node] = [self]
        while stack:
            node = stack.pop()
            yield node
            if isinstance(node, Tree):
                stack.extend(reversed(node.children))

    def text_of(self, node: "Node", text: str) -> str:
        """The characters of the source `text` that a node covers."""
        return text[node.span.start : node.span.end]


Node = Tree | Token


def tree(kind: str, *children: "Node | None", before: tuple[str, ...] = (), compact: bool = False) -> Tree:
    """A node without a source, for trees built by a program; children that are None are left out."""
    trivia = Trivia(before=before, compact=compact) if before or compact else NO_TRIVIA
    return Tree(kind, tuple(c for c in children if c is not None), NOWHERE, trivia)


def token(kind: str, text: str) -> Token:
    """A token without a source."""
    return Token(kind, text)
