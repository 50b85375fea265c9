"""Save figures, and find the figure of an axis."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxcap.files import AnyPath
from jaxcap.files.whole import replacing


def save_figure(figure: Figure, path: AnyPath) -> None:
    """Write a figure to a file atomically, in the format of its suffix; PNG without one."""
    with replacing(path) as partial:
        figure.savefig(partial, dpi=150, format=Path(path).suffix[1:] or "png")


def figure_of(ax: Axes) -> Figure:
    """Return the whole figure that an axis is part of."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
