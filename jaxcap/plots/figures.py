"""Figures as files, and the figure that an axis belongs to."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxcap.files import AnyPath
from jaxcap.files.whole import replacing


def save_figure(figure: Figure, path: AnyPath) -> None:
    """Write a figure as a file of the kind that its name says, whole or not at all."""
    with replacing(path) as partial:
        figure.savefig(partial, dpi=150, format=Path(path).suffix[1:] or "png")


def figure_of(ax: Axes) -> Figure:
    """The whole figure that an axis is part of."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
