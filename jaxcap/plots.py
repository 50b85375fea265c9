"""Figures: loss curves and captioned picture grids. Needs the extra `plots`; needs no display."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from jaxcap.data.whole_files import replacing

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError("figures need Matplotlib: pip install 'jaxcap[plots]'") from error


def loss_curve(runs: Mapping[str, Sequence[Mapping[str, Any]]], ax: Axes | None = None) -> Figure:
    """Training and validation losses of one or more runs against the iteration.

    Args:
        runs: rows of each run's metrics by its name; see `jaxcap.learning.metrics`.
        ax: where to draw; a new figure if left out.

    Returns:
        The figure.
    """
    ax = Figure(figsize=(7, 4.5), layout="constrained").subplots() if ax is None else ax
    for name, rows in runs.items():
        losses = [(row["iteration"], row["loss"]) for row in rows if row.get("loss") is not None]
        (line,) = ax.plot(*zip(*losses, strict=True), linewidth=0.8, label=f"{name}, training")
        measured = [(r["iteration"], r["val_loss"]) for r in rows if r.get("val_loss") is not None]
        if measured:
            ax.plot(
                *zip(*measured, strict=True),
                color=line.get_color(),
                linestyle="--",
                label=f"{name}, validation",
            )
    ax.set(xlabel="Iteration", ylabel="Loss (nats per caption)", ylim=(0, None))
    ax.set_title("Training loss history")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return _figure(ax)


def caption_grid(
    pictures: Sequence[Image.Image | str | None], titles: Sequence[str], *, columns: int = 4
) -> Figure:
    """Pictures with a caption under each, and an empty frame where there is no picture.

    Args:
        pictures: at least one; for a picture that is not there, the reason or None.
        titles: the text under each; broken into lines of its own where it holds newlines.
        columns: pictures in a row, at most.

    Returns:
        The figure.
    """
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    lines = [
        "\n".join(line for part in title.split("\n") for line in textwrap.wrap(part, 34) or [""])
        for title in titles
    ]
    height = 2.2 + 0.17 * max(text.count("\n") + 1 for text in lines)
    figure = Figure(figsize=(2.6 * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, picture, text in zip(axes, pictures, lines, strict=False):
        if picture is None or isinstance(picture, str):
            reason = textwrap.fill(picture or "no picture at hand", 30, max_lines=7)
            ax.set_axis_on()
            ax.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1), aspect="equal")
            style = {"ha": "center", "va": "center", "color": "gray", "parse_math": False}
            ax.text(0.5, 0.5, reason, fontsize=8.5, **style)
        else:
            ax.imshow(picture)
        ax.text(
            0.5,
            -0.03,
            text,
            transform=ax.transAxes,
            ha="center",
            va="top",
            fontsize=8.5,
            parse_math=False,
        )
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a file of the kind that its name says, whole or not at all."""
    with replacing(path) as partial:
        figure.savefig(partial, dpi=150, format=path.suffix[1:] or "png")


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
