"""Pictures of an `ode` arrow in motion: its paths, its velocity, its density from one end to the other; and the paths
of an `sde` that runs forwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import PowerNorm
from numpy.typing import NDArray
from PIL import Image

from dgmspec.core.disk import replacing
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.continuous.view import Arrow, arrow_of, starts_of
from dgmspec.modules.runner import UnavailableError
from dgmspec.runtime.canvas import DATA, MODEL, Grid, canvas, frame_of, save
from dgmspec.runtime.rundir import RunError
from dgmspec.runtime.stored import load_model

__all__ = ["PICTURES", "draw_motion"]

PATHS: Final = 150
"""Paths that are drawn."""
TIMES: Final = 41
"""States of a path that are joined."""
PANELS: Final = 6
"""Moments of a strip."""
FRAMES: Final = 24
"""Moments of a moving picture."""
POINTS: Final = 90
"""Points along each side of a density."""

Array = NDArray[Any]


def draw_motion(run: Path | CompiledModel, what: str, out: Path | None = None, seed: int = 0) -> Path:
    """Draw one of `PICTURES` of the only ode arrow of a run or a model, as a PNG, or the density as a GIF by the ending
    of `out`; the path of the file, which without `out` stands in the run's folder, or in that of the caller."""
    path = out or (run if isinstance(run, Path) else Path()) / f"{what}{'_over_time' if what == 'density' else ''}.png"
    endings = (".png", ".gif") if what == "density" else (".png",)
    if path.suffix not in endings:
        raise RunError(f"{path.name}: a picture of {what} is written as {' or '.join(endings)}")
    model = load_model(run) if isinstance(run, Path) else run
    if what == "trajectories" and model.simulates:
        name = model.simulation().address.rpartition("/")[0]
        times, states = model.paths(PATHS, seed=seed)
        _paths(name, times.numpy(), states.reshape(len(times), PATHS, -1).cpu().double().numpy(), path)
        return path
    try:
        arrow = arrow_of(model)
        starts = _starts(model, arrow, seed)
        PICTURES[what](arrow, starts, path)
    except UnavailableError as error:
        raise RunError(str(error)) from None
    return path


def _starts(model: CompiledModel, arrow: Arrow, seed: int) -> torch.Tensor:
    """States at the arrow's start, of samples of the model."""
    if len(model.observed) != 1:
        raise UnavailableError(f"{model.name} observes {len(model.observed)} variables; with one it can be drawn")
    (name,) = model.observed
    drawn = model.sample(PATHS * 10, seed=seed)
    return starts_of(model, name, drawn, seed)


def _states(arrow: Arrow, starts: torch.Tensor, count: int) -> tuple[Array, Array]:
    """Times from start to end, and the states at them, (times, paths, d)."""
    times = np.linspace(*arrow.times, count)
    states = arrow.paths(starts, times.tolist())
    return times, states.reshape(count, len(starts), -1).cpu().double().numpy()


def _plane(arrow: Arrow, what: str) -> None:
    if arrow.event.shape != (2,):
        raise UnavailableError(f"a picture of {what} is one of the plane, and {arrow.name} moves {arrow.event}")


# ---- paths ----------------------------------------------------------------------------------------------------------


def _trajectories(arrow: Arrow, starts: torch.Tensor, path: Path) -> None:
    """The paths from some of the starts."""
    _paths(arrow.name, *_states(arrow, starts[:PATHS], TIMES), path)


def _paths(name: str, times: Array, states: Array, path: Path) -> None:
    """One coordinate against the time, or two in the plane (the first two of more); states (times, paths, d)."""
    figure = canvas(6.4, 4.2 if states.shape[2] == 1 else 6.0)
    axes = figure.subplots()
    if states.shape[2] == 1:
        lines = [np.column_stack((times, line)) for line in states[:, :, 0].T]
        axes.add_collection(LineCollection(lines, colors=DATA, linewidths=0.7, alpha=0.5))
        axes.set(xlim=(times.min(), times.max()), ylim=frame_of(states.ravel()), xlabel="t", ylabel="y")
    else:
        flat = states[:, :, :2]
        axes.add_collection(LineCollection(list(flat.transpose(1, 0, 2)), colors="#9aa7b5", linewidths=0.6, alpha=0.6))
        for moment, color in ((0, DATA), (-1, MODEL)):
            axes.scatter(
                flat[moment, :, 0],
                flat[moment, :, 1],
                s=9,
                color=color,
                zorder=3,
                label=f"t = {times[moment]:g}",
                linewidths=0,
            )
        axes.set(xlim=frame_of(flat[..., 0].ravel()), ylim=frame_of(flat[..., 1].ravel()), aspect="equal")
        axes.legend(frameon=False)
    size = states.shape[2]
    axes.set_title(f"paths of {name}" + (f", the first two of {size} coordinates" if size > 2 else ""))
    save(figure, path)


# ---- velocity -------------------------------------------------------------------------------------------------------


def _field(arrow: Arrow, starts: torch.Tensor, path: Path) -> None:
    """Stream lines at the start, the middle and the end, coloured by speed, over states of that time."""
    _plane(arrow, "the field")
    times, states = _states(arrow, starts, 3)
    grid = Grid.around(states.reshape(-1, 2), 30)
    points = torch.as_tensor(grid.points).to(starts)
    fields = [arrow.velocity(t, points).cpu().double().numpy().reshape(grid.size, grid.size, 2) for t in times.tolist()]
    speeds = [np.linalg.norm(field, axis=2) for field in fields]
    norm = PowerNorm(0.7, vmin=0.0, vmax=float(np.quantile(speeds, 0.99)) or 1.0)
    figure = canvas(4.4 * len(times), 4.6)
    panels = figure.subplots(1, len(times), squeeze=False)[0]
    x, y = grid.points[: grid.size, 0], grid.points[:: grid.size, 1]
    for axes, t, rows, field, speed in zip(panels, times, states, fields, speeds, strict=True):
        axes.scatter(rows[:500, 0], rows[:500, 1], s=4, color="#c4ccd4", linewidths=0)
        shown = axes.streamplot(x, y, *field.transpose(2, 0, 1), color=speed, cmap="viridis", norm=norm, linewidth=1.0)
        axes.set(xlim=grid.extent[:2], ylim=grid.extent[2:], aspect="equal", title=f"t = {t:g}")
    figure.colorbar(shown.lines, ax=list(panels), shrink=0.9, pad=0.01, label="|dy/dt|")
    save(figure, path)


# ---- density --------------------------------------------------------------------------------------------------------


def _density(arrow: Arrow, starts: torch.Tensor, path: Path) -> None:
    """The density at moments from start to end: side by side, or one after another in a moving picture."""
    _plane(arrow, "the density")
    moving = path.suffix == ".gif"
    times, states = _states(arrow, starts, FRAMES if moving else PANELS)
    grid = Grid.around(states.reshape(-1, 2), POINTS)
    points = torch.as_tensor(grid.points).to(starts)
    densities = [
        np.exp(np.nan_to_num(arrow.log_prob(t, points).cpu().double().numpy(), nan=-np.inf)).reshape(grid.size, -1)
        for t in times.tolist()
    ]
    if not moving:
        figure = canvas(2.7 * len(times), 3.0)
        for axes, t, density in zip(figure.subplots(1, len(times), squeeze=False)[0], times, densities, strict=True):
            _panel(axes, grid, t, density)
        save(figure, path)
        return
    frames = [_frame(grid, t, density) for t, density in zip(times, densities, strict=True)]
    pauses = [900, *(90 for _ in frames[2:]), 900]
    with replacing(path) as part:
        frames[0].save(part, "GIF", save_all=True, append_images=frames[1:], duration=pauses, loop=0)


def _panel(axes: Any, grid: Grid, t: float, density: Array) -> None:
    """A density with a colour scale of its own, for it spreads or gathers on its way."""
    norm = PowerNorm(0.6, vmin=0.0, vmax=float(np.quantile(density, 0.999)) or 1.0)
    axes.imshow(density, extent=grid.extent, origin="lower", cmap="magma", norm=norm, interpolation="bilinear")
    axes.set_title(f"t = {t:.3g}")
    axes.set_axis_off()


def _frame(grid: Grid, t: float, density: Array) -> Image.Image:
    figure = canvas(3.4, 3.7)
    _panel(figure.subplots(), grid, t, density)
    drawn = BytesIO()
    figure.savefig(drawn, format="png")
    return Image.open(drawn).convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE)


PICTURES: Final[Mapping[str, Callable[[Arrow, torch.Tensor, Path], None]]] = {
    "trajectories": _trajectories,
    "field": _field,
    "density": _density,
}
