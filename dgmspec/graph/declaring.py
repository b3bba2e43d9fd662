"""What a body in braces declares for itself, a bijector's or a dynamics': ``learn``, ``net``, and their types."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from dgmspec.algebra.evaluate import evaluate, show
from dgmspec.algebra.nodes import Name
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.nets import AbstractNet
from dgmspec.core.types import REAL, Support
from dgmspec.graph.arguments import Caller
from dgmspec.graph.building import flat
from dgmspec.graph.declared import declared_type
from dgmspec.graph.findings import Findings, Reported
from dgmspec.graph.scope import FileScope
from dgmspec.ops.authored import OwnConstant, OwnNet, Size
from dgmspec.spec.model import Learn, Net, TypeExpr, Unknowns

__all__ = ["Declaring"]


@dataclass(frozen=True)
class Declaring:
    """Reads the declarations of one body, at `at`; ``like`` names one of its `parts`."""

    scope: FileScope
    findings: Findings
    at: Address
    parts: tuple[str, ...]

    def parameter(self, unknown: Unknowns) -> OwnConstant:
        """``a : positive`` after the ``;`` of a header."""
        support, size = self.type(unknown.type, child(self.at, unknown.name))
        return OwnConstant(unknown.name, support, size)

    def learned(self, learn: Learn) -> OwnConstant:
        """``learn a : positive = 1``."""
        at = child(self.at, learn.name)
        support, size = self.type(learn.type, at)
        initial: float | tuple[float, ...] | None = None
        if learn.value is not None:
            with self.findings.refusals_at(child(at, "value")):
                value = evaluate(learn.value, self.scope.constants)
            numbers = flat(value)
            inside = all(isinstance(n, (int, float)) and support.low < n < support.high for n in numbers)
            if not inside or len(numbers) not in ((1,) if size.like else (1, prod(size.shape))):
                message = f"`{learn.name}` starts at {show(value)}, which is no value of its type"
                self.findings.refuse("DGM234", message, child(at, "value"), f"not in {support.describe()}")
            initial = float(numbers[0]) if len(numbers) == 1 else tuple(map(float, numbers))
        return OwnConstant(learn.name, support, size, initial)

    def net(self, net: Net) -> OwnNet:
        """``net s(a) : like(b) = mlp(64)``; its type is stated."""
        at = child(self.at, net.name)
        if net.type is None:
            help_ = (f"state it: `net {net.name}({', '.join(net.args)}) : like({self.parts[-1]}) = …`",)
            self.findings.refuse("DGM305", f"nothing fixes the size of `{net.name}`'s value", at, "no type", help_)
        support, size = self.type(net.type, at)
        return OwnNet(net.name, self.network(net), support, size, child(at, "value"))

    def network(self, net: Net) -> AbstractNet:
        """The operation that computes a net of the body."""
        at = child(child(self.at, net.name), "value")
        if isinstance(net.value, Name) and net.value.id == "external":
            message = f"`{net.name}` is external, and a net inside a body is made anew at each of its uses"
            self.findings.refuse("DGM463", message, at, "not a network of the library")
        op = Caller(self.findings, self.scope.constants, self.scope.functions).operation("net", net.value, at)
        assert isinstance(op, AbstractNet)
        return op

    def type(self, type_: TypeExpr | None, owner: Address) -> tuple[Support, Size]:
        """The support and the size of a declared type; `like(b)` is the shape of part b, over all of ℝ."""
        if type_ is None:
            return REAL, Size()
        at = child(owner, "type")
        if type_.name == "like":
            (of,) = type_.args
            if not isinstance(of, Name) or of.id not in self.parts or type_.dims:
                listed = ", ".join(f"`like({part})`" for part in self.parts)
                self.findings.refuse("DGM305", "`like` names a part here", at, "not a part", (f"write {listed}",))
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
            self.findings.refuse(
                "DGM463", f"what is declared in braces is a number of the reals, and {what}", at, "", help_
            )
        return support, Size(shape)
