"""What noising arrows share as steps: a Gaussian path from the data to the noise, and a net that predicts along it.

Nothing here is written by authors as a step. Each class holds the author's law as closed formulas; `path` derives the
`GaussianPath` for the event at hand once, and every refusal names the part at fault (``drift``, ``scale``, ``learn``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from dgmspec.algebra.paths.affine import NotAffine
from dgmspec.algebra.paths.closed import closed_form
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.algebra.paths.scalar import Chain
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.parameters import Draw
from dgmspec.core.steps import Facts, Kernel
from dgmspec.core.types import REAL, Shape, Type
from dgmspec.ops.distributions.line import Normal
from dgmspec.ops.paths.learned import AbstractLearnedPath
from dgmspec.ops.paths.numbers import AbstractNumbered, Schedule
from dgmspec.ops.paths.predictions import check_prediction
from dgmspec.ops.paths.settings import AbstractPrecondition, Edm

__all__ = ["AbstractNoising", "scale_of"]

_MISMATCH = 0.01
"""Nats per dimension of prior mismatch from which on it is worth a warning."""


class AbstractNoising(AbstractNumbered, AbstractLearnedPath, ABC):
    """An arrow from data to noise along a Gaussian path: x_t given x_0 is normal, with a mean that is affine in x_0."""

    end: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Mean and standard deviation of the prior at the end, one number each or one a coordinate; None where it is no
    normal law of numbers."""

    @abstractmethod
    def schedule(self) -> Schedule | None:
        """The law as formulas of what is learned, defined whatever its values; None where nothing is."""

    @abstractmethod
    def derived(self, shape: Shape) -> GaussianPath | NotAffine:
        """The path for events of `shape`, or why the law is not affine in the state; raises `Refusal`."""

    def path(self, shape: Shape) -> GaussianPath:
        """The Gaussian path; `Refusal` where there is none (DGM647) or its coefficients are matrices (DGM901)."""
        try:
            found = self.derived(shape)
        except Refusal as refusal:
            if refusal.code != "DGM455":
                raise
            raise Refusal(
                "DGM901",
                f"the law reads other coordinates of `{self.state}` than its own, or names them one by one: a path "
                "with matrices for coefficients is read and kept, not compiled",
                self.law_at(),
                label="coordinates mixed",
                help=(f"write a coefficient for each coordinate, as in `[-1, -2] * {self.state}`",),
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

    def law_at(self) -> str:
        """The part of the braces that says how the mean moves."""
        return "loc"

    @property
    def scaled(self) -> AbstractPrecondition | None:
        """How the net's input and value are scaled."""
        return self.settings.precondition

    def draws(self, x: Type) -> tuple[Draw, ...]:
        if self.bounded:
            return (Draw("chain", (len(self.path(x.shape).levels), *x.shape), "normal"),)
        return super().draws(x)

    def facts(self, x: Type, c: Type | None) -> Facts:
        how = self.likelihood
        if how is None or self.learn is None:
            return Facts()
        proved = f"kernel of x at {self.time} derived from the law; {self.time} runs from {self.start(x.shape):.3g}"
        return Facts(checked=(f"probability flow by {how.solver.promise()}",), proved=(proved,))

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

    def start(self, shape: Shape) -> float:
        """The earliest time that losses, samplers and likelihoods use."""
        return self.path(shape).low

    # ---- as a step --------------------------------------------------------------------------------------------------

    def infer_type(self, x: Type, c: Type | None) -> Type:
        self._check(x, c)
        return x.with_support(REAL)

    def infer_input(self, y: Type, c: Type | None) -> Type:
        self._check(y, c)
        return y

    def _check(self, x: Type, c: Type | None) -> None:
        self.check_start(x)
        path = self.path(x.shape)
        if self.learn is not None:
            check_prediction(self.learn, path, self.time, self.scaled is not None)
        self.parameters(x, c)

    def doubts(self, x: Type, prior: AbstractDistribution) -> Refusal | None:
        """The declared prior beside the law of x_T, for data whose coordinates have a mean square of 1."""
        try:
            path = self.path(x.shape)
        except Refusal:
            return None
        end = f"normal({path.curves[0].mean(path.high):.4g}, {path.curves[0].sigma(path.high):.4g})"
        gap = "is not normal"
        if isinstance(prior, Normal):
            loc, scale = prior.loc, prior.scale
            if not isinstance(loc, (int, float)) or not isinstance(scale, (int, float)):
                return None
            nats = path.prior_mismatch(float(scale), mean=float(loc))
            if nats < _MISMATCH:
                return None
            gap = f"is {nats:.2g} nats per dimension away"
        left = max(curve.alpha(path.high) / curve.sigma(path.high) for curve in path.curves)
        help_ = f"write `~ {end}`" if left < 0.1 else "let the path run longer or with more noise: data are left in x_T"
        return Refusal(
            "DGM648",
            f"the path ends at {end}{'' if path.alike else ' in its first coordinate'}, and the prior there {gap}",
            label="not where the path ends",
            notes=("for data whose coordinates have a mean square of 1; samples start from the prior",),
            help=(help_,),
        )


def scale_of(op: AbstractNoising) -> float | None:
    """The standard deviation of the data that a preconditioned net is told; None without preconditioning."""
    return op.scaled.data_std if isinstance(op.scaled, Edm) else None
