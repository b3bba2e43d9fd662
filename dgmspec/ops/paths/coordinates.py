"""Noising arrows whose law acts on each coordinate by itself, so that α and σ are numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.affine import Affine, NotAffine, Times
from dgmspec.algebra.paths.closed import closed_form
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.algebra.paths.scalar import Chain
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.steps import Kernel
from dgmspec.core.types import Shape, Type
from dgmspec.ops.distributions.line import Normal
from dgmspec.ops.paths.noising import AbstractNoising, Gap
from dgmspec.ops.paths.numbers import Schedule
from dgmspec.ops.paths.predictions import check_prediction

__all__ = ["AbstractCoordinatewise"]


class AbstractCoordinatewise(AbstractNoising, ABC):
    """An arrow along a `GaussianPath`."""

    @property
    @abstractmethod
    def times(self) -> Times:
        """The time and its ends, between which the law is defined."""

    @abstractmethod
    def _derived(self, mean: AbstractExpr, spread: AbstractExpr, shape: Shape) -> GaussianPath | NotAffine:
        """The path of a law of numbers for events of `shape`."""

    @abstractmethod
    def _schedule(self, rate: AbstractExpr, offset: AbstractExpr, spread: AbstractExpr) -> Schedule:
        """One coordinate's law, the mean rate · x + offset, as formulas of what is learned."""

    def derived(self, shape: Shape) -> GaussianPath | NotAffine:
        """The path for events of `shape`, of what is learned the starting values, or why the law is not affine in the
        state; raises `Refusal`."""
        law = tuple(getattr(self, name) for name in self.laws)
        if self.learned and isinstance(read := self.coefficients(law[0], self.times), NotAffine):
            return read
        mean, spread = self.started(*law)
        found = self._derived(mean, spread, shape)
        if isinstance(found, GaussianPath):
            self.schedule(shape)  # which refuses what a learned law may not be
        return found

    def schedule(self, shape: Shape) -> tuple[Schedule, ...]:
        if not self.learned:
            return ()
        mean, spread = (getattr(self, name) for name in self.laws)
        law = self.coefficients(mean, self.times)
        assert isinstance(law, Affine), "checked where the path is derived"
        rows = self.by_coordinate((law.rate, law.offset, spread), self.times, shape)
        return tuple(self._schedule(*row) for row in rows)

    def path(self, shape: Shape) -> GaussianPath:
        """The Gaussian path; `Refusal` where there is none (DGM647) or its coefficients are matrices (DGM676)."""
        try:
            found = self.derived(shape)
        except Refusal as refusal:
            if refusal.code != "DGM455":
                raise
            raise Refusal(
                "DGM676",
                f"a `{self.name}` acts on each coordinate by itself, and its law reads other coordinates of "
                f"`{self.state}` than its own, or names them one by one",
                self.law_at(),
                label="coordinates mixed",
                help=(
                    f"write a coefficient for each coordinate, as in `[-1, -2] * {self.state}`",
                    "or an `sde`, whose drift may be a matrix: its kernel is derived",
                ),
            ) from None
        if isinstance(found, NotAffine):
            raise Refusal(
                "DGM647",
                f"`{self.name}` is not affine in `{self.state}`, so x_t given x_0 is not normal and its kernel has no "
                "formula",
                self.law_at(),
                notes=(f"its derivative by `{self.state}` still reads `{self.state}`",),
                help=(f"write a(t) * {self.state} + b(t)",),
            )
        return found

    def kernel(self, x: Type) -> Kernel | None:
        try:
            path = self.path(x.shape)
        except Refusal:
            return None
        found = closed_form(path.curves[0])
        ends = (path.log_snr(self.start(x.shape)), path.log_snr(path.high))
        shift = " + m" if any(curve.mean(path.high) for curve in path.curves) else ""
        said = f"{self.state}_{self.time} = α {self.state}_0{shift} + σ ε"
        if not path.alike:
            said += ", of the first coordinate"
        if self.learned:
            said += ", at the starting values of what is learned"
        if found is None:
            how = "the recursion of the steps" if isinstance(path.curves[0], Chain) else "quadrature"
            return Kernel(self.time, f"{said}, its coefficients by {how}", (), ends)
        pairs = (("α", found.alpha), ("m", found.mean), ("σ^2", found.variance), ("σ", found.sigma))
        return Kernel(self.time, said, tuple((name, value) for name, value in pairs if value is not None), ends)

    def _gap(self, x: Type, prior: AbstractDistribution) -> Gap | None:
        path, nats = self.path(x.shape), None
        if isinstance(prior, Normal):
            loc, scale = prior.loc, prior.scale
            if not isinstance(loc, (int, float)) or not isinstance(scale, (int, float)):
                return None
            nats = path.prior_mismatch(float(scale), mean=float(loc))
        end = f"normal({path.curves[0].mean(path.high):.4g}, {path.curves[0].sigma(path.high):.4g})"
        left = max(curve.alpha(path.high) / curve.sigma(path.high) for curve in path.curves)
        return Gap(nats, end, "" if path.alike else " in its first coordinate", left)

    def _check_law(self, x: Type) -> None:
        path = self.path(x.shape)
        if self.learn is not None:
            check_prediction(self.learn, path, self.time, self.scaled is not None)
