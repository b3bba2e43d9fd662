"""Named chains opened where they are used: their params bound to constants, or to the operations that a use names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dgmspec.algebra.evaluate import Constants, evaluate
from dgmspec.algebra.nodes import AbstractExpr, Call, Inverse, Name, expr
from dgmspec.algebra.rewrite import free_names, inline, substitute
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Label
from dgmspec.graph.findings import Findings, meant
from dgmspec.graph.scope import FileScope
from dgmspec.ops import find
from dgmspec.spec.model import Chain, ChainParam

__all__ = ["ChainUse", "Frame"]


@dataclass(frozen=True)
class Frame:
    """Where unrolling stands: `address` names nodes, `place` points into the text (no turns, the chain's own place)."""

    address: Address
    place: Address
    scope: FileScope
    constants: Constants
    arguments: Mapping[str, AbstractExpr] = field(default_factory=dict)
    chains: tuple[str, ...] = ()
    labels: tuple[Label, ...] = ()

    def at(self, part: str | int) -> Frame:
        """The same below a part of the text."""
        return replace(self, address=child(self.address, part), place=child(self.place, part))


@dataclass(frozen=True)
class ChainUse:
    """``block(width = 64)`` in a frame: `call` uses the chain that `name` stands for."""

    findings: Findings
    name: str
    call: AbstractExpr
    frame: Frame

    @property
    def chain(self) -> Chain:
        """The chain as it is declared."""
        return self.frame.scope.chains[self.name]

    def opened(self) -> Frame:
        """The frame inside the chain; raises `Reported` where the use or a default is wrong."""
        frame, name = self.frame, self.name
        scope = frame.scope.home.get(name, frame.scope)
        place = child(scope.prefix, name.rpartition(".")[2])
        labels = frame.labels or (Label(frame.place, f"`{name}` is used here"),)
        inner = Frame(frame.address, place, scope, scope.constants, {}, (*frame.chains, name), labels)
        constants, arguments = dict(scope.constants), dict[str, AbstractExpr]()
        written = self._written()
        for param in self.chain.params:
            at, value, home = self._value(param, written, inner)
            known = home.constants
            if _names_operation(value, known):
                constants.pop(param.name, None)
                arguments[param.name] = substitute(value, {n: expr(known[n]) for n in free_names(value) if n in known})
                continue
            with self.findings.refusals_at(at, frame.labels):
                constants[param.name] = evaluate(inline(value, home.scope.functions), known)
        return replace(inner, constants=constants, arguments=arguments)

    def _value(
        self, param: ChainParam, written: Mapping[str, tuple[Address, AbstractExpr]], inner: Frame
    ) -> tuple[Address, AbstractExpr, Frame]:
        """What stands for a param: where it was written, and the frame whose names it reads."""
        if param.name in written:
            return *written[param.name], self.frame
        if param.value is not None:
            return child(child(inner.place, param.name), "value"), param.value, inner
        self.findings.refuse(
            "DGM233",
            f"`{self.name}` needs `{param.name}`",
            self.frame.place,
            label="incomplete",
            labels=self.frame.labels,
            help=(f"write `{self.name}({param.name} = …)`",),
        )

    def _written(self) -> dict[str, tuple[Address, AbstractExpr]]:
        """The arguments of the use by the names of the chain's params."""
        known = [param.name for param in self.chain.params]
        written: dict[str, tuple[Address, AbstractExpr]] = {}
        for i, arg in enumerate(self.call.args if isinstance(self.call, Call) else ()):
            place = child(self.frame.place, arg.name if arg.name is not None else i)
            target = arg.name if arg.name is not None else (known[i] if i < len(known) else "")
            if target not in known or target in written:
                what = f"no param `{arg.name}`" if arg.name else f"only {len(known)} param{'s' * (len(known) != 1)}"
                self.findings.refuse(
                    "DGM232",
                    f"the chain `{self.name}` has {what}",
                    place,
                    label="not a param of it",
                    labels=self.frame.labels,
                    help=meant(target, known) or ("leave it out",),
                )
            written[target] = (place, arg.value)
        return written


def _names_operation(value: AbstractExpr, constants: Constants) -> bool:
    """Whether an argument of a chain names an operation (or a choice) rather than having a value of its own."""
    if isinstance(value, Inverse):
        return True
    if isinstance(value, Name):
        return value.id not in constants
    return isinstance(value, Call) and any(
        find(role, value.name) for role in ("net", "scalar", "mask", "order", "step")
    )
