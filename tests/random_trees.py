"""Random syntax trees without a source, for laws of the printer and the parser."""

from random import Random

from dgmspec.syntax.tree import Node, Tree, token, tree

NAMES = ("x", "z", "σ_max", "mlp", "over", "in", "flow", "sample", "inverse", "β", "x0", "as", "for", "data", "like")
ARROWS = ("flow", "ode", "sde", "markov", "perturb")
COMMENTS = ("# why", "# dgm: allow DGM512", "#", "# π is `pi` { ( [")


class RandomTrees:
    """Draws trees that the grammar can spell: parentheses stand wherever precedence needs them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def file(self) -> Tree:
        statements = [self.statement(3) for _ in range(self.random.randint(0, 5))]
        return tree("file", tree("dgm", token("INT", "1")), *statements)

    # ------------------------------------------------------------------------------------------------ expressions

    def name(self) -> Node:
        if self.random.random() < 0.1:
            return token("QNAME", f"blocks.{self.random.choice(NAMES)}")
        return self.plain()

    def plain(self) -> Node:
        return token("NAME", self.random.choice(NAMES))

    def expression(self, depth: int, level: int = 0) -> Node:
        """An expression that may stand where `level` binds: 0 a sum, 1 a product, 2 a minus, 3 a power, 4 an atom."""
        if depth <= 0:
            return self.leaf()
        kind = self.random.choice(("sum", "product", "neg", "power", "call", "index", "vector", "leaf", "leaf"))
        node, binds = getattr(self, f"_{kind}")(depth - 1)
        return tree("group", node) if binds < level or self.random.random() < 0.05 else node

    def leaf(self) -> Node:
        kinds = ("NAME", "NAME", "INT", "FLOAT", "STRING")
        kind = self.random.choice(kinds)
        texts = {"INT": ("0", "7", "20_000"), "FLOAT": ("0.5", "1e-3", "1_0.25E+2"), "STRING": ('"a b.csv"', '""')}
        return self.name() if kind == "NAME" else token(kind, self.random.choice(texts[kind]))

    def _leaf(self, depth: int) -> tuple[Node, int]:
        return self.leaf(), 4

    def _nary(self, kind: str, operators: tuple[tuple[str, str], ...], depth: int, level: int) -> Node:
        children = [self.expression(depth, level)]
        for _ in range(self.random.randint(1, 3)):
            children += [token(*self.random.choice(operators)), self.expression(depth, level)]
        return tree(kind, *children)

    def _sum(self, depth: int) -> tuple[Node, int]:
        return self._nary("sum", (("PLUS", "+"), ("MINUS", "-")), depth, 1), 0

    def _product(self, depth: int) -> tuple[Node, int]:
        return self._nary("product", (("STAR", "*"), ("SLASH", "/"), ("AT", "@")), depth, 2), 1

    def _neg(self, depth: int) -> tuple[Node, int]:
        return tree("neg", self.expression(depth, 2)), 2

    def _power(self, depth: int) -> tuple[Node, int]:
        return tree("power", self.expression(depth, 4), self.expression(depth, 2)), 3

    def _call(self, depth: int) -> tuple[Node, int]:
        return tree("call", self.name(), self.args(depth)), 4

    def _index(self, depth: int) -> tuple[Node, int]:
        return tree("index", self.expression(depth, 4), self.expression(depth)), 4

    def _vector(self, depth: int) -> tuple[Node, int]:
        return tree("vector", *(self.expression(depth) for _ in range(self.random.randint(0, 3)))), 4

    def args(self, depth: int) -> Tree:
        return tree("args", *(self.argument(depth) for _ in range(self.random.choice((0, 1, 2, 3, 8)))))

    def argument(self, depth: int) -> Node:
        kind = self.random.choice(("plain", "plain", "range", "arrow", "keyword", "inverse"))
        if kind in ("range", "arrow"):
            return tree(kind, self.expression(depth), self.expression(depth))
        if kind == "keyword":
            return tree("keyword", self.plain(), self.expression(depth))
        return self.inverse(depth) if kind == "inverse" else self.expression(depth)

    def inverse(self, depth: int) -> Tree:
        if self.random.random() < 0.3:
            return tree("inverse", self.block(depth - 1))
        return tree("inverse", self.name() if self.random.random() < 0.5 else self._call(depth)[0])

    # -------------------------------------------------------------------------------------------------- statements

    def maybe(self, node: Node) -> Node | None:
        return node if self.random.random() < 0.5 else None

    def block(self, depth: int) -> Tree:
        compact = self.random.random() < 0.4
        count = self.random.randint(0, 3) if depth > 0 else 0
        return tree("block", *(self.statement(depth - 1, compact) for _ in range(count)), compact=compact)

    def statement(self, depth: int, bare: bool = False) -> Tree:
        kind = self.random.choice(
            ("use", "declaration", "variable", "arrow", "conditional", "block", "repeat", "plain")
        )
        node: Tree = getattr(self, f"_{kind}_statement")(max(depth, 1))
        before = ("", self.random.choice(COMMENTS)) if not bare and self.random.random() < 0.2 else ()
        return tree(node.kind, *node.children, before=before)

    def _use_statement(self, depth: int) -> Tree:
        return tree("use", token("STRING", '"blocks.dgm"'), self.maybe(self.plain()))

    def _declaration_statement(self, depth: int) -> Tree:
        kind = self.random.choice(("param", "fn", "net", "data", "energy", "learn"))
        params = self.maybe(self.params(depth)) if kind in ("fn", "net", "energy", "learn") else None
        type_ = self.maybe(self.type(depth)) if kind not in ("fn", "data") else None
        return tree(kind, self.plain(), params, type_, self.maybe(tree("value", self.expression(depth))))

    def _variable_statement(self, depth: int) -> Tree:
        kind = self.random.choice(("observe", "latent", "given"))
        name = self.plain()
        variable = name if self.random.random() < 0.7 else tree("index", name, self.expression(1))
        law = self.maybe(tree("law", self.expression(depth)))
        return tree(kind, variable, self.maybe(self.type(depth)), law, self.maybe(self.domain("for")))

    def _arrow_statement(self, depth: int) -> Tree:
        context = self.maybe(tree("context", *(self._call(1)[0] for _ in range(self.random.randint(1, 2)))))
        source = self.plain() if self.random.random() < 0.7 else tree("vector", self.plain(), self.plain())
        target = self.maybe(tree("target", self.plain()))
        over = self.maybe(self.domain("over"))
        return tree(self.random.choice(ARROWS), tree("source", source), target, context, over, self.block(depth))

    def _conditional_statement(self, depth: int) -> Tree:
        kind = self.random.choice(("generate", "infer"))
        context = self.maybe(tree("context", self.name(), self.plain()))
        return tree(kind, tree("heads", self.plain()), context, tree("law", self.expression(depth)))

    def _block_statement(self, depth: int) -> Tree:
        kind = self.random.choice(("model", "train", "sample", "bijector"))
        if kind == "bijector" and self.random.random() < 0.5:
            return tree(kind, self.plain(), self.maybe(self.params(depth)), tree("chain", self.block(depth)))
        params = self.maybe(self.params(depth)) if kind == "bijector" else None
        return tree(kind, self.plain(), params, self.block(depth))

    def _repeat_statement(self, depth: int) -> Tree:
        return tree("repeat", self.expression(1), self.maybe(tree("as", self.plain())), self.block(depth))

    def _plain_statement(self, depth: int) -> Tree:
        left = self.name() if self.random.random() < 0.5 else self._call(1)[0]
        kind = self.random.choice(("step", "setting", "draw", "update"))
        if kind == "step":
            return tree(kind, left if self.random.random() < 0.7 else self.inverse(depth))
        return tree(kind, left, self.expression(depth))

    def domain(self, kind: str) -> Tree:
        bounds = tree("range", self.expression(1), self.expression(1))
        return tree(kind, self.plain(), bounds if self.random.random() < 0.7 else self.expression(1, 4))

    def params(self, depth: int) -> Tree:
        own = [self.parameter(depth) for _ in range(self.random.randint(0, 2))]
        learned = tree("learned", self.parameter(depth), self.parameter(depth)) if own else None
        return tree("params", *own, self.maybe(learned) if learned else None)

    def parameter(self, depth: int) -> Tree:
        value = tree("value", self.expression(1))
        return tree("parameter", self.plain(), self.maybe(self.type(1)), self.maybe(value))

    def type(self, depth: int) -> Tree:
        dims = tree("dims", token("STAR", "*") if self.random.random() < 0.2 else self.expression(1), self.leaf())
        return tree("type", self.plain(), self.maybe(self.args(1)), self.maybe(dims))
