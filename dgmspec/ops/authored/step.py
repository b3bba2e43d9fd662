"""Steps of the author's own: several parts updated in turn, with nets and learned constants inside."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from math import prod
from operator import or_

from pydantic import InstanceOf

from dgmspec.algebra.nodes import AbstractExpr, Name
from dgmspec.algebra.rewrite import free_names
from dgmspec.algebra.shapes import broadcast, shape_of, show_shape
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import EXACT_UP_TO, Dependency, Fact, Jacobian, Structure, row_bits
from dgmspec.core.masking import AbstractMask
from dgmspec.core.nets import NetUse
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.steps import AbstractStep, Cost, Direction, Facts
from dgmspec.core.types import Shape, Support, Type
from dgmspec.ops.authored.definition import Definition, Line, OwnNet, Reading
from dgmspec.ops.authored.patterns import Reads, degree, pattern, spread
from dgmspec.ops.authored.proofs import Proof, facts, proved, supports_before
from dgmspec.ops.authored.starts import felt, start
from dgmspec.ops.masks import image_shape
from dgmspec.ops.masks import parts as masked
from dgmspec.ops.nets import context_shape

Divided = Mapping[str, tuple[tuple[int, ...], Shape]]
"""For each part its flat coordinates in the event, ascending, and its shape."""


class AuthoredStep(AbstractStep):
    """The lines of a bijector, each an update of one part with everything else held fixed.

    Shapes: any event, kept; two parts are divided by a mask (part one is the mask's untouched set) or several by counts
    along the first dimension. Domain -> codomain: every part is taken onto the same support. Log-det: the sum of the
    lines' log-derivatives, O(d), each line being triangular. The inverse runs the lines backwards.
    Parameters: a number or an array for each learned constant, and those of the nets, which also read the context; a
    net starts at zero, unless the lines do not feel it there.
    """

    definition: InstanceOf[Definition]
    label: str
    """The use as it was written."""
    mask: AbstractMask | None = None
    counts: tuple[int, ...] = ()

    @property
    def name(self) -> str:  # type: ignore[override]  # the author's, so each object has its own
        return self.definition.name

    def equations(self) -> tuple[tuple[str, AbstractExpr], ...]:
        return self.definition.equations()

    # ---- types ------------------------------------------------------------------------------------------------------

    def infer_type(self, x: Type, c: Type | None) -> Type:
        self._require_shapes(x, c)
        return x.with_support(self._common(self.proof(x).after))

    def infer_input(self, y: Type, c: Type | None) -> Type:
        self._require_shapes(y, c)
        before = supports_before(self.definition, (y.support,) * len(self.definition.parts))
        return y.with_support(self._common(before))

    def proof(self, x: Type) -> Proof:
        """The updates on the support of `x`."""
        return proved(self.definition, (x.support,) * len(self.definition.parts))

    def divided(self, shape: Shape) -> Divided:
        """The coordinates and the shape of each part; `Refusal` where the event does not divide."""
        names = self.definition.parts
        if self.mask is not None:
            return {n: (at, _part_shape(shape, at)) for n, at in zip(names, masked(self.mask, shape), strict=True)}
        if not self.counts:
            return {names[0]: (tuple(range(prod(shape))), shape)}
        if not shape or sum(self.counts) != shape[0]:
            raise Refusal(
                "DGM461",
                f"the parts have {' + '.join(map(str, self.counts))} = {sum(self.counts)} coordinates, and the event "
                f"has {shape[0] if shape else 1}" + (" channels" if len(shape) > 2 else ""),
                argument="parts",
                help=("make the counts add up to the first dimension of the event",),
            )
        return self._counted(shape)

    def _counted(self, shape: Shape) -> Divided:
        found: dict[str, tuple[tuple[int, ...], Shape]] = {}
        size, at = prod(shape[1:]), 0
        for name, count in zip(self.definition.parts, self.counts, strict=True):
            found[name] = (tuple(range(at, at + count * size)), (count, *shape[1:]))
            at += count * size
        return found

    def _common(self, supports: tuple[Support, ...]) -> Support:
        """The one support of all parts."""
        if len(set(supports)) > 1:
            names = self.definition.parts
            other = next(i for i, support in enumerate(supports) if support != supports[0])
            raise Refusal(
                "DGM440",
                f"`{self.name}` leaves `{names[0]}` in {supports[0].describe()} and `{names[other]}` in "
                f"{supports[other].describe()}, and an event has one support",
                help=("take all parts onto the same set",),
                place=self.definition.lines[-1].place,
            )
        return supports[0]

    # ---- shapes -----------------------------------------------------------------------------------------------------

    def shapes(self, x: Type) -> dict[str, Shape]:
        """The shape of everything that a line can name."""
        parts = {name: shape for name, (_, shape) in self.divided(x.shape).items()}
        known = dict(parts)
        known |= {constant.name: constant.size.at(parts) for constant in self.definition.constants}
        for reading in self.definition.readings:
            known[reading.symbol] = self.definition.net(reading.net).size.at(parts)
        return known

    def _require_shapes(self, x: Type, c: Type | None) -> None:
        known = self.shapes(x)
        moved = {line.target for line in self.definition.lines}
        for name in self.definition.parts:
            if not prod(known[name]) and (name in moved or c is None):
                raise Refusal(
                    "DGM402",
                    f"part `{name}` of `{self.name}` gets no coordinate of an event of {x.size}",
                    argument="mask" if self.mask is not None else "parts",
                    help=("use a larger event, or another division",),
                )
        for line in self.definition.lines:
            try:
                given = shape_of(line.value, known)
                fits = broadcast([given, known[line.target]]) == known[line.target]
            except Refusal as refusal:
                refusal.place = line.place
                raise
            if not fits:
                raise Refusal(
                    "DGM310",
                    f"the right side has the shape {show_shape(given)}, and `{line.target}` has "
                    f"{show_shape(known[line.target])}",
                    help=(f"give each number of `{line.target}` one value: `like({line.target})` has its shape",),
                    place=line.place,
                )

    # ---- facts ------------------------------------------------------------------------------------------------------

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        found = Jacobian.identity(x.size)
        for index in range(len(self.definition.lines)):
            found = found.then(self._line_jacobian(index, x))
        return found

    def _line_jacobian(self, index: int, x: Type) -> Jacobian:
        """The identity but for the rows of one part."""
        line, update = self.definition.lines[index], self.proof(x).updates[index]
        others = self._others_read(line)
        affine = self._reads_parts(line) < 2
        constant = Fact.NO if not update.constant_slope else Fact.YES if affine else Fact.UNKNOWN
        unit = Fact.YES if update.unit_slope else Fact.NO
        orthogonal = Fact.NO if others else unit
        named = Structure.BLOCK_TRIANGULAR if others else Structure.DIAGONAL
        if x.size > EXACT_UP_TO:
            return Jacobian(named, None, constant, unit, orthogonal)
        return Jacobian(named, self._dependency(line, x), constant, unit, orthogonal)

    def _dependency(self, line: Line, x: Type) -> Dependency:
        """Which coordinate reads which, for one line."""
        divided = self.divided(x.shape)
        known: dict[str, Reads] = {name: (shape, 0) for name, shape in self.shapes(x).items()}
        known |= {name: (shape, tuple(1 << i for i in at)) for name, (at, shape) in divided.items()}
        for reading in self.definition.readings:
            parts = self.definition.behind[reading.symbol]
            bits = reduce(or_, (row_bits(divided[part][0]) for part in parts), 0)
            known[reading.symbol] = (known[reading.symbol][0], bits)
        rows = [1 << i for i in range(x.size)]
        at, shape = divided[line.target]
        for i, reads in zip(at, spread(pattern(line.value, known), shape), strict=True):
            rows[i] |= reads
        return Dependency(tuple(rows), x.size)

    def _others_read(self, line: Line) -> bool:
        """Whether a line reads a part that it does not update."""
        behind = self.definition.behind
        return any(behind.get(name, frozenset()) - {line.target} for name in free_names(line.value))

    def _reads_parts(self, line: Line) -> int:
        """The degree of a line in all parts together; a net of a part counts as no polynomial."""
        nets = {r.symbol for r in self.definition.readings if self.definition.behind[r.symbol]}
        if nets.intersection(free_names(line.value)):
            return 2
        return degree(line.value, frozenset(self.definition.parts))

    def cost(self, x: Type, c: Type | None) -> Cost:
        proof = self.proof(x)
        seen: set[Reading] = set()
        passes = 0
        for line in self.definition.lines:
            passes += not seen.issuperset(line.readings)
            seen.update(line.readings)
        one = Direction("parallel", passes)
        iterative = any(update.inverse is None for update in proof.updates)
        log_det = "O(1)" if self.jacobian(x, c).constant is Fact.YES else "O(d)"
        if all(update.unit_slope for update in proof.updates):
            log_det = "0"
        return Cost(log_det, one, Direction("iterative") if iterative else one)

    def facts(self, x: Type, c: Type | None) -> Facts:
        return facts(self.definition, self.proof(x))

    def untouched(self, x: Type) -> tuple[int, ...] | None:
        if len(self.definition.parts) == 1:
            return None
        moved = {line.target for line in self.definition.lines}
        kept = (at for name, (at, _) in self.divided(x.shape).items() if name not in moved)
        return tuple(sorted(i for at in kept for i in at))

    # ---- parameters -------------------------------------------------------------------------------------------------

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        known = self.shapes(x)
        found = [ParamSpec(own.name, known[own.name], start(own, known[own.name])) for own in self.definition.constants]
        for net in self.definition.nets:
            use = self.net_use(net, x.shape, known, c)
            if use is not None:
                found += [spec.under(net.name) for spec in _net_parameters(net, use)]
        return tuple(found)

    def net_use(self, net: OwnNet, event: Shape, known: Mapping[str, Shape], c: Type | None) -> NetUse | None:
        """The shapes of a net, from the arguments that it is applied to; None where no line reads it."""
        found: dict[tuple[Shape, ...], Line] = {}
        for line in self.definition.lines:
            for reading in (r for r in line.readings if r.net == net.name):
                found.setdefault(tuple(self._met(net, arg, event, known) for arg in reading.args), line)
        if len(found) > 1:
            first, second = (" and ".join(map(show_shape, shapes)) for shapes in list(found)[:2])
            raise Refusal(
                "DGM312",
                f"`{net.name}` reads {first} in one place and {second} here",
                help=("a net has one size: declare a second net",),
                place=list(found.values())[1].place,
            )
        if not found:
            return None
        whole = self.whole(net, net.size.like, event, known)
        output = event if whole else net.size.at({name: known[name] for name in self.definition.parts})
        return NetUse(next(iter(found)), output, context_shape(c), zero=felt(self.definition, net))

    def _met(self, net: OwnNet, arg: AbstractExpr, event: Shape, known: Mapping[str, Shape]) -> Shape:
        """The shape in which a net meets an argument."""
        whole = isinstance(arg, Name) and self.whole(net, arg.id, event, known)
        return event if whole else shape_of(arg, known)

    def whole(self, net: OwnNet, name: str, event: Shape, known: Mapping[str, Shape]) -> bool:
        """Whether a net of images meets what has this name as the event with zeros elsewhere: a part of an image that
        is not whole channels of it."""
        return net.op.reads == "image" and len(event) == 3 and name in self.definition.parts and len(known[name]) == 1


def _part_shape(shape: Shape, at: tuple[int, ...]) -> Shape:
    """The shape of a part under a mask: an image where it is whole channels of one, else a vector."""
    met = image_shape(shape, at) if len(shape) == 3 else ()
    return met if prod(met) == len(at) and met else (len(at),)


def _net_parameters(net: OwnNet, use: NetUse) -> tuple[ParamSpec, ...]:
    try:
        return net.op.net_parameters(use)
    except Refusal as refusal:
        refusal.place = net.place
        raise
