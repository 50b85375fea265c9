"""Loss curves of training runs."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from jaxcap.plots.figures import figure_of


def loss_curve(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    ax: Axes | None = None,
    *,
    log: bool = False,
    smoothing: float = 0.0,
) -> Figure:
    """Draw training and validation losses of one or more runs against the iteration.

    Args:
        runs: rows of metrics of each run by its name; see `jaxcap.learning.metrics`.
        ax: axes to draw in; a new figure by default.
        log: use a logarithmic axis for the losses.
        smoothing: weight of the past in the training losses, in [0, 1); see `smooth`. Above 0, the
            raw losses are drawn pale behind.

    Returns:
        The figure.

    Raises:
        ValueError: a run has no losses; with `log`, a loss is not above 0; or `smoothing` is
            outside [0, 1).
    """
    ax = Figure(figsize=(7, 4.5), layout="constrained").subplots() if ax is None else ax
    for name, rows in runs.items():
        iterations, losses = _column(rows, "loss")
        measured, val_losses = _column(rows, "val_loss")
        if not losses:
            raise ValueError(f"the run {name} has no losses to draw")
        if log and min(losses + val_losses) <= 0:
            raise ValueError(
                f"the run {name} has the loss {min(losses + val_losses)}, which a logarithmic axis "
                "cannot show: give `log=False`"
            )
        line = {"linewidth": 0.8 if not smoothing else 1.4, "label": f"{name}, training"}
        (drawn,) = ax.plot(iterations, smooth(losses, smoothing), zorder=3, **line)
        color = drawn.get_color()
        if smoothing:
            ax.plot(iterations, losses, color=color, linewidth=0.6, alpha=0.25, zorder=2)
        if measured:
            style = {"linestyle": "--", "label": f"{name}, validation", "zorder": 3}
            ax.plot(measured, val_losses, color=color, **style)
    ax.set(xlabel="Iteration", ylabel="Loss (nats per caption)")
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(0, None)
    ax.set_title("Training loss history")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return figure_of(ax)


def sweep_curves(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw the losses of many runs in one figure, up to the largest initial loss.

    Args:
        runs: rows of metrics of each run by its name, the best first; see `loss_curve`.

    Returns:
        The figure. Training losses are solid and validation losses dashed, in the colour that the
        legend gives for the run.

    Raises:
        ValueError: a run has no losses.
    """
    ax = Figure(figsize=(9, 5), layout="constrained").subplots()
    spread = np.linspace(0.05, 0.95, max(len(runs), 1))
    ax.set_prop_cycle(color=[to_hex(color) for color in colormaps["turbo"](spread)])
    figure = loss_curve(runs, ax)
    trained = [line for line in ax.get_lines() if str(line.get_label()).endswith(", training")]
    names = dict(zip(runs, trained, strict=True))
    ax.legend(
        list(names.values()),
        list(names),
        frameon=False,
        fontsize="x-small",
        loc="center left",
        bbox_to_anchor=(1, 0.5),
    )
    ax.set_ylim(0, 1.05 * max(rows[0]["loss"] for rows in runs.values()))
    return figure


def smooth(values: Sequence[float], weight: float) -> list[float]:
    """Compute the exponential moving average without initial bias, a weighted mean of all values.

        s_t = (v_t + weight * v_(t-1) + weight^2 * v_(t-2) + ...) / (1 + weight + weight^2 + ...)

    Args:
        values: the value at each step.
        weight: weight of the past, in [0, 1); 0 changes nothing.

    Raises:
        ValueError: `weight` is outside [0, 1).
    """
    if not 0 <= weight < 1:
        raise ValueError(f"`smoothing` must be at least 0 and below 1, got {weight}")
    sums = accumulate(values, lambda past, value: weight * past + value)
    weights = accumulate([1.0] * len(values), lambda past, one: weight * past + one)
    return [total / norm for total, norm in zip(sums, weights, strict=True)]


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[list[int], list[float]]:
    """Return the iterations at which a metric was measured, and its values."""
    found = [(row["iteration"], row[name]) for row in rows if row.get(name) is not None]
    return [iteration for iteration, _ in found], [value for _, value in found]
