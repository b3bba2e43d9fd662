"""Definitions of bijectors closed: params put in, functions written out, nets read by name, types worked out.

What is wrong with a definition whatever it is used on is found here, and said once. What depends on the support at
hand (domains, monotonicity) is found when types are inferred, at the line, with the use as second place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.rewrite import called, free_names
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Refusal
from dgmspec.graph.declaring import Declaring
from dgmspec.graph.findings import Findings
from dgmspec.graph.readings import Readings, folded
from dgmspec.graph.scope import Definitions, FileScope
from dgmspec.ops.authored import Definition, Line, OwnNet, Reading
from dgmspec.spec.model import Bijector, Fn, Learn, Net, Update

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
    versions: dict[str, int] = field(default_factory=dict)
    readings: Readings = field(init=False)

    def definition(self) -> Definition:
        """All of it: constants and nets first, then functions, then the lines in order."""
        body = self.bijector.body
        declaring = Declaring(self.scope, self.findings, self.at, self.bijector.parts)
        parameters = tuple(declaring.parameter(unknown) for unknown in self.bijector.parameters)
        learned = tuple(declaring.learned(part) for part in body if isinstance(part, Learn))
        declared = [part for part in body if isinstance(part, Net)]
        self.nets = {net.name: declaring.net(net) for net in declared}
        taken = {*self.bijector.parts, *(p.name for p in self.bijector.parameters)}
        taken |= {part.name for part in body if isinstance(part, (Net, Learn, Fn))}
        self.readings = Readings({net.name: len(net.args) for net in declared}, frozenset(taken))
        names = frozenset((*self.bijector.parts, *(c.name for c in (*parameters, *learned))))
        functions = {name: fn for name, fn in self.scope.functions.items() if name not in self.nets}
        own = Definitions(self.findings, functions, self.scope.constants, names, frozenset(self.nets))
        own.add_functions({part.name: part for part in body if isinstance(part, Fn)}, self.at)
        lines = [self._line(i, part, own) for i, part in enumerate(body) if isinstance(part, Update)]
        if not lines:
            help_ = (f"write one: `{self.bijector.parts[0]} <- …`",)
            message = f"`{self.bijector.name}` has no update, so it changes nothing"
            self.findings.refuse("DGM462", message, self.at, "no update", help_)
        nets = tuple(self.nets.values())
        return Definition(self.bijector.name, self.bijector.parts, parameters, learned, nets, tuple(lines), self.at)

    def _line(self, index: int, update: Update, own: Definitions) -> Line:
        """A line closed: its nets read before it, under names of their own."""
        at = child(self.at, index)
        with self.findings.refusals_at(child(at, "value")):
            self._require_own_nets(update)
            closed = own.closed(update.value, frozenset())
        used: list[Reading] = []

        def seen(net: str, args: tuple[AbstractExpr, ...]) -> object:
            parts = self._parts_read(args)
            if update.target in parts:
                raise _read_and_updated(net, update.target)
            return tuple((part, self.versions.get(part, 0)) for part in sorted(parts))

        with self.findings.refusals_at(at):
            value = folded(self.readings.read(closed, used, seen))
        self.versions[update.target] = self.versions.get(update.target, 0) + 1
        return Line(update.target, value, tuple(used), at)

    def _parts_read(self, args: tuple[AbstractExpr, ...]) -> frozenset[str]:
        """The parts that arguments depend on, through other readings too."""
        read = frozenset(n for arg in args for n in free_names(arg))
        inner = [r.args for r in self.readings.known.values() if r.symbol in read]
        return read.intersection(self.bijector.parts).union(*map(self._parts_read, inner))

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


def _read_and_updated(net: str, target: str) -> Refusal:
    return Refusal(
        "DGM455",
        f"the net `{net}` reads `{target}`, which this line updates",
        label=f"`{target}` is not undone through a net",
        help=(f"let `{net}` read another part, and `{target}` stand outside it",),
    )
