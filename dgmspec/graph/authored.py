"""Definitions of bijectors closed: params put in, functions written out, nets read by name, types worked out.

What is wrong with a definition whatever it is used on is found here, and said once. What depends on the support at
hand (domains, monotonicity) is found when types are inferred, at the line, with the use as second place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

from dgmspec.algebra.evaluate import evaluate, is_constant, show
from dgmspec.algebra.nodes import AbstractExpr, Call, Name, children, expr
from dgmspec.algebra.rewrite import called, free_names, rebuild
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.op import AbstractNet
from dgmspec.core.types import REAL, Support
from dgmspec.graph.arguments import Caller
from dgmspec.graph.building import flat
from dgmspec.graph.declared import declared_type
from dgmspec.graph.findings import Findings, Reported
from dgmspec.graph.scope import Definitions, FileScope
from dgmspec.ops.authored import Definition, Line, OwnConstant, OwnNet, Reading, Size
from dgmspec.spec.model import Bijector, Fn, Learn, Net, TypeExpr, Unknowns, Update

__all__ = ["close_bijector"]


def close_bijector(bijector: Bijector, scope: FileScope, findings: Findings) -> Definition:
    """The definition that a bijector of the file `scope` stands for; raises `Reported` where it holds a mistake."""
    return _Closing(bijector, scope, findings, child(scope.prefix, bijector.name)).definition()


@dataclass
class _Closing:
    """One definition on its way. `versions` counts the updates of each part so far: it tells readings apart."""

    bijector: Bijector
    scope: FileScope
    findings: Findings
    at: Address
    nets: dict[str, OwnNet] = field(default_factory=dict)
    arity: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    known: dict[object, Reading] = field(default_factory=dict)
    behind: dict[str, frozenset[str]] = field(default_factory=dict)
    """For each reading the parts that it depends on."""

    def definition(self) -> Definition:
        """All of it: constants and nets first, then functions, then the lines in order."""
        body = self.bijector.body
        parameters = tuple(self._parameter(unknown) for unknown in self.bijector.parameters)
        learned = tuple(self._learned(part) for part in body if isinstance(part, Learn))
        for net in (part for part in body if isinstance(part, Net)):
            self.nets[net.name], self.arity[net.name] = self._net(net), len(net.args)
        names = frozenset((*self.bijector.parts, *(c.name for c in (*parameters, *learned))))
        functions = {name: fn for name, fn in self.scope.functions.items() if name not in self.nets}
        own = Definitions(self.findings, functions, self.scope.constants, names, frozenset(self.nets))
        own.add_functions({part.name: part for part in body if isinstance(part, Fn)}, self.at)
        lines = [self._line(i, part, own) for i, part in enumerate(body) if isinstance(part, Update)]
        if not lines:
            help_ = (f"write one: `{self.bijector.parts[0]} <- …`",)
            message = f"`{self.bijector.name}` has no update, so it changes nothing"
            self._report("DGM462", message, self.at, "no update", help_)
        nets = tuple(self.nets.values())
        return Definition(self.bijector.name, self.bijector.parts, parameters, learned, nets, tuple(lines), self.at)

    def _report(self, code: str, message: str, at: Address, label: str = "", help: tuple[str, ...] = ()) -> None:
        self.findings.report(code, message, at, label, help=help)
        raise Reported

    # ---- what it declares -------------------------------------------------------------------------------------------

    def _parameter(self, unknown: Unknowns) -> OwnConstant:
        support, size = self._type(unknown.type, child(self.at, unknown.name))
        return OwnConstant(unknown.name, support, size)

    def _learned(self, learn: Learn) -> OwnConstant:
        at = child(self.at, learn.name)
        support, size = self._type(learn.type, at)
        initial: float | tuple[float, ...] | None = None
        if learn.value is not None:
            with self.findings.refusals_at(child(at, "value")):
                value = evaluate(learn.value, self.scope.constants)
            numbers = flat(value)
            inside = all(isinstance(n, (int, float)) and support.low < n < support.high for n in numbers)
            if not inside or len(numbers) not in ((1,) if size.like else (1, prod(size.shape))):
                message = f"`{learn.name}` starts at {show(value)}, which is no value of its type"
                self._report("DGM234", message, child(at, "value"), f"not in {support.describe()}")
            initial = float(numbers[0]) if len(numbers) == 1 else tuple(map(float, numbers))
        return OwnConstant(learn.name, support, size, initial)

    def _net(self, net: Net) -> OwnNet:
        at = child(self.at, net.name)
        if net.type is None:
            help_ = (f"state it: `net {net.name}({', '.join(net.args)}) : like({self.bijector.parts[-1]}) = …`",)
            self._report("DGM305", f"nothing fixes the size of `{net.name}`'s value", at, "no type", help_)
        support, size = self._type(net.type, at)
        if isinstance(net.value, Name) and net.value.id == "external":
            message = f"`{net.name}` is external, and a net inside a bijector is made anew at each of its uses"
            self._report("DGM463", message, child(at, "value"), "not a network of the library")
        op = Caller(self.findings, self.scope.constants, self.scope.functions).operation(
            "net", net.value, child(at, "value")
        )
        assert isinstance(op, AbstractNet)
        return OwnNet(net.name, op, support, size, child(at, "value"))

    def _type(self, type_: TypeExpr | None, owner: Address) -> tuple[Support, Size]:
        """The support and the size of a declared type; `like(b)` is the shape of part b, over all of ℝ."""
        if type_ is None:
            return REAL, Size()
        at = child(owner, "type")
        if type_.name == "like":
            (of,) = type_.args
            if not isinstance(of, Name) or of.id not in self.bijector.parts or type_.dims:
                listed = ", ".join(f"`like({part})`" for part in self.bijector.parts)
                self._report("DGM305", "`like` names a part here", at, "not a part", (f"write {listed}",))
            assert isinstance(of, Name)
            return REAL, Size(like=of.id)
        try:
            declared = declared_type(type_, self.scope.constants)
        except Refusal as refusal:
            self.findings.add(refusal.diagnostic(child(at, refusal.argument) if refusal.argument else at))
            raise Reported from refusal
        support, shape = declared.support, declared.shape
        if shape is None or not support.continuous:
            what = "nothing fixes its shape" if shape is None else f"{support} is no interval of the reals"
            help_ = ("write `real`, `positive`, `unit` or `interval(a, b)`, with dimensions or without",)
            self._report("DGM463", f"a number of a bijector has a type of the reals, and {what}", at, "", help_)
        assert shape is not None
        return support, Size(shape)

    # ---- lines ------------------------------------------------------------------------------------------------------

    def _line(self, index: int, update: Update, own: Definitions) -> Line:
        """A line closed: its nets read before it, under names of their own."""
        at = child(self.at, index)
        with self.findings.refusals_at(child(at, "value")):
            self._require_own_nets(update)
            closed = own.closed(update.value, frozenset())
        readings: list[Reading] = []
        with self.findings.refusals_at(at):
            value = _folded(self._read(closed, update.target, readings))
        self.versions[update.target] = self.versions.get(update.target, 0) + 1
        return Line(update.target, value, tuple(readings), at)

    def _require_own_nets(self, update: Update) -> None:
        """Refuse a net of the file, which is shared, in a body, whose nets are fresh at each use."""
        theirs = self.scope.nets.keys() - self.nets.keys()
        shared = next((name for name in called(update.value) if name in theirs), None)
        if shared is not None:
            net = self.scope.nets[shared]
            raise Refusal(
                "DGM463",
                f"`{shared}` is a net of the file, and the nets of a bijector are its own, fresh at each use",
                label=f"`{shared}` is shared",
                help=(f"declare it in the body: `net {net.name}({', '.join(net.args)}) : … = …`",),
            )

    def _read(self, node: AbstractExpr, target: str, readings: list[Reading]) -> AbstractExpr:
        """The formula with the value of each net under a name; the same net of the same values is read once."""
        parts = list(children(node))
        inner = [self._read(part, target, readings) for part in parts]
        if not (isinstance(node, Call) and node.name in self.nets):
            return rebuild(node, inner) if parts else node
        if len(inner) != self.arity[node.name] or any(arg.name for arg in node.args):
            wanted = self.arity[node.name]
            raise Refusal("DGM211", f"`{node.name}` takes {wanted} arguments by position, got {len(inner)}")
        read = frozenset(n for arg in inner for n in free_names(arg))
        parts_read = read.intersection(self.bijector.parts).union(*(self.behind.get(name, ()) for name in read))
        if target in parts_read:
            raise Refusal(
                "DGM455",
                f"the net `{node.name}` reads `{target}`, which this line updates",
                label=f"`{target}` is not undone through a net",
                help=(f"let `{node.name}` read another part, and `{target}` stand outside it",),
            )
        key = (node.name, tuple(inner), tuple((part, self.versions.get(part, 0)) for part in sorted(parts_read)))
        if key not in self.known:
            symbol = self._fresh(node.name)
            self.behind[symbol] = parts_read
            self.known[key] = Reading(symbol, node.name, tuple(inner))
        # A line holds all readings that it uses, also those that an earlier line holds: backwards it comes first.
        if self.known[key] not in readings:
            readings.append(self.known[key])
        return Name(id=self.known[key].symbol)

    def _fresh(self, net: str) -> str:
        """A name for a reading that nothing of the definition has."""
        taken = {*self.bijector.parts, *(p.name for p in self.bijector.parameters), *self.behind}
        taken |= {part.name for part in self.bijector.body if isinstance(part, (Net, Learn, Fn))}
        count = 1
        while f"{net}_{count}" in taken:
            count += 1
        return f"{net}_{count}"


def _folded(node: AbstractExpr) -> AbstractExpr:
    """The formula with what is made of numbers worked out where it gives a number of an array (`dot([1, 2], w)`)."""
    parts = list(children(node))
    if parts and is_constant(node, {}):
        value = evaluate(node, {})
        if not isinstance(value, tuple):
            return expr(value)
    return rebuild(node, [_folded(part) for part in parts]) if parts else node
