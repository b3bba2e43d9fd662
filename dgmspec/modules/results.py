"""What a model returns besides tensors: the loss with its terms, and the ledger of a log-density."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from dgmspec.core.address import Address
from dgmspec.core.markup import Html, fragment, tag

__all__ = ["Chains", "Ledger", "LedgerStep", "LossValue"]


@dataclass(frozen=True)
class LossValue:
    """A loss: `total` (a 0-dimensional tensor, nats) and the mean of each of its terms by name."""

    total: Tensor
    terms: Mapping[str, Tensor]


@dataclass(frozen=True)
class Chains:
    """What chains of a sampler by density end with, a chain a row: the `values`, their `log_density` (up to a constant,
    nats; None where a score alone is known) and the `acceptance`, the share of steps that each has taken.

    Of `hmc` also each chain's `step_size`, the share of its orbits that `diverged`, and of each coordinate (flat, at
    most 256) `r_hat` over all chains and the number of independent draws that a chain's steps are worth, `effective`.
    """

    values: Tensor
    log_density: Tensor | None
    acceptance: Tensor
    step_size: Tensor | None = None
    diverged: Tensor | None = None
    r_hat: Tensor | None = None
    effective: Tensor | None = None


@dataclass(frozen=True)
class LedgerStep:
    """One contribution to log p(x), per sample.

    `logdet` is log|det ∂out/∂in| of the direction that was run (or a log-probability), shape (batch,);
    log p takes it times `sign`. `group` is the variable whose density it is a part of.
    """

    name: str
    address: Address
    kind: str
    direction: str
    cost: str
    sign: int
    logdet: Tensor
    group: str = ""


@dataclass(frozen=True, repr=False)
class Ledger:
    """The contributions in the order they were run; they sum, with their signs, to `total` = log p, (batch,)."""

    steps: tuple[LedgerStep, ...]
    total: Tensor
    density: str = "exact"
    """What the sum is: exact, an unbiased estimate, or a lower bound on average."""

    def __iter__(self) -> Iterator[LedgerStep]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> LedgerStep:
        return self.steps[index]

    def __repr__(self) -> str:
        """One line a contribution: its mean and standard deviation over the batch, in nats."""
        rows = self._rows()
        width = max(len(name) for name, _, _, _ in rows)
        said = [f"  {name:{width}}  {mean:+10.4f} ± {spread:.4f}" for name, _, mean, spread in rows]
        return "\n".join([self._title(), *said])

    def _repr_html_(self) -> Html:
        """The same for notebooks, with a bar each."""
        rows = self._rows()
        top = max(abs(mean) for _, _, mean, _ in rows) or 1.0
        heads = (("contribution", None), ("", None), ("mean", "dgm-right"), ("± sd", "dgm-right"), ("", None))
        table = tag(
            "table",
            tag("caption", self._title()),
            tag("thead", tag("tr", *(tag("th", name, scope="col", class_=side) for name, side in heads))),
            tag("tbody", *(_row(*row, top) for row in rows[:-1])),
            tag("tfoot", _row(*rows[-1], top)),
            class_="dgm-table",
        )
        return fragment(tag("div", table, class_="dgm-scroll"))

    def _title(self) -> str:
        kind = "" if self.density == "exact" else f" ({self.density})"
        return f"log p{kind} by its contributions, nats, over {len(self.total):,} rows"

    def _rows(self) -> list[tuple[str, str, float, float]]:
        """Name, kind, mean and standard deviation of each contribution with its sign, and of the sum last."""
        steps = [(s.name, s.kind, s.sign * s.logdet) for s in self.steps]
        values = [(name, kind, v.detach()) for name, kind, v in (*steps, ("log p", "", self.total))]
        return [(name, kind, float(v.mean()), float(v.std(correction=0))) for name, kind, v in values]


def _row(name: str, kind: str, mean: float, spread: float, top: float) -> Html:
    bar = f"width:{max(0.5, 120 * abs(mean) / top):.1f}px" if math.isfinite(mean / top) else None
    return tag(
        "tr",
        tag("th", tag("code", name), scope="row"),
        tag("td", kind.replace("log_det", "log |det|").replace("log_prob", "log p")),
        tag("td", f"{mean:+.4f}".replace("-", "−"), class_="dgm-right"),
        tag("td", f"{spread:.4f}", class_="dgm-right"),
        tag("td", tag("span", class_="dgm-bar dgm-minus" if mean < 0 else "dgm-bar", style=bar)),
    )
