"""What a model keeps of its training data beside its weights: statistics to standardise by, rows to start from."""

from __future__ import annotations

from abc import ABC
from typing import Any

import torch
from torch import Tensor

from dgmspec.core.address import Address, child
from dgmspec.graph.graph import Prior
from dgmspec.graph.standardizing import standardizer
from dgmspec.modules.chains import AbstractChained
from dgmspec.modules.inputs import as_event
from dgmspec.modules.runner import Given, UnavailableError
from dgmspec.ops.distributions import Empirical
from dgmspec.program.program import Phase, Program

__all__ = ["AbstractRecorded"]


class AbstractRecorded(AbstractChained, ABC):
    """Parameters that are recorded from data once, kept with the weights, and never trained."""

    # ---- statistics -------------------------------------------------------------------------------------------------

    @property
    def standardized(self) -> tuple[str, ...]:
        """The variables that the model standardises (`standardize = true` of its train block)."""
        return tuple(v.name for v in self.graph.variables.values() if standardizer(v) in self.graph.steps)

    @torch.no_grad()
    def set_statistics(self, variable: str, mean: Any, std: Any) -> None:
        """Record the mean and the standard deviation, of the event's shape, that a variable is standardised by.

        Training does so from its rows; in a loop of one's own it is called before `initialise`.
        """
        if variable not in self.standardized:
            raise ValueError(f"`{variable}` is not standardised: write `standardize = true` in the train block")
        if self.frozen:
            raise UnavailableError("set_statistics: a frozen model keeps those that it was frozen with")
        mean, std = (torch.as_tensor(value, dtype=torch.float64) for value in (mean, std))
        if not bool(((std > 0) & torch.isfinite(std) & torch.isfinite(mean)).all()):
            raise ValueError(f"`{variable}` has a standard deviation that is not positive, or a mean that is no number")
        at = standardizer(self.graph.variables[variable])
        for name, value in (("mean", mean), ("log_std", std.log())):
            parameter = self.get_parameter(f"{at}/{name}")
            parameter.copy_(value.expand(parameter.shape))

    # ---- rows -------------------------------------------------------------------------------------------------------

    @property
    def empirical(self) -> dict[str, Prior]:
        """The laws that draw rows of data, by their variables."""
        return {law.variable: law for law in self.graph.laws if isinstance(law.op, Empirical)}

    @torch.no_grad()
    def set_rows(self, variable: str, rows: Any) -> None:
        """Record the rows, (n, *event), that a variable ``~ empirical(…)`` is drawn from: at most as many as its law
        keeps. Training records those of the law's source; in a loop of one's own it is called before the first step."""
        laws = self.empirical
        if variable not in laws:
            raise ValueError(f"`{variable}` is no row of data: declare `latent {variable} : … ~ empirical(…)`")
        law, events = laws[variable], as_event(variable, rows, self.type_of(variable), self.dtype, self.device)
        kept = self.get_parameter(child(law.address, "rows"))
        if not 1 <= len(events) <= len(kept):
            raise ValueError(f"`{variable}` keeps 1 to {len(kept):,} rows, and here are {len(events):,}")
        if not bool(torch.isfinite(events).all()):
            raise ValueError(f"a row of `{variable}` holds what is no finite number")
        kept[: len(events)] = events
        kept[len(events) :] = 0.0
        self.get_parameter(child(law.address, "count")).fill_(float(len(events)))

    def lacks_rows(self, phase: Phase) -> str:
        """Why a phase that draws rows cannot run yet, or nothing. What was recorded once is not looked at again, which
        on an accelerator would wait for it."""
        for name, key in self._drawn.get(phase, ()):
            if key not in self._recorded:
                if not bool(self.get_parameter(key) > 0):
                    return (
                        f"`{name}` is drawn from rows that are not recorded yet: train the model, or call "
                        f"model.set_rows({name!r}, rows)"
                    )
                self._recorded.add(key)
        return ""

    def _require_rows(self, phase: Phase) -> None:
        if self._drawn and (lacks := self.lacks_rows(phase)):
            raise UnavailableError(f"{phase}: {lacks}")

    def _read(self, phase: Phase, values: Any, given: Given) -> tuple[dict[str, Tensor], int]:
        self._require_rows(phase)
        return super()._read(phase, values, given)

    def _read_given(self, phase: Phase, n: int, given: Given) -> tuple[dict[str, Tensor], int, tuple[int, ...]]:
        self._require_rows(phase)
        return super()._read_given(phase, n, given)

    def _read_batch(self, program: Program, batch: Any, count: int | None) -> tuple[dict[str, Tensor], int]:
        self._require_rows(program.phase)
        return super()._read_batch(program, batch, count)

    def _prepare(self) -> None:
        self._recorded: set[Address] = set()
        self._drawn: dict[Phase, list[tuple[str, Address]]] = {}
        """By phase, the variables that it draws rows of, with the parameters that count these."""
        super()._prepare()

    def _prepare_program(self, program: Program) -> None:
        super()._prepare_program(program)
        names = {law.address: name for name, law in self.empirical.items()}
        for line in program.instructions if names else ():
            if line.target in ("draw", "mean_of") and line.address in names:
                drawn = names[line.address], child(line.address, "count")
                self._drawn.setdefault(program.phase, []).append(drawn)
