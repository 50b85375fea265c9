"""Save figures, and find the figure of an axis."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from jaxcap.files import AnyPath
from jaxcap.files.whole import replacing


def save_figure(figure: Figure, path: AnyPath) -> None:
    """Write a figure to a file atomically, in the format of its suffix; PNG without one.

    Raises:
        ValueError: Matplotlib writes no such format.
        OSError: the file cannot be written.
    """
    written = format_of(path)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=150, format=written)


def format_of(path: AnyPath) -> str:
    """Return the format that the suffix of a file names; PNG without one.

    Raises:
        ValueError: Matplotlib writes no such format.
    """
    suffix = Path(path).suffix
    known = FigureCanvasBase.get_supported_filetypes()
    if suffix and suffix[1:].lower() not in known:
        raise ValueError(
            f"{path}: no figure is written as {suffix}; give a name that ends in .png, or in one "
            f"of {', '.join('.' + name for name in sorted(known))}"
        )
    return suffix[1:].lower() or "png"


def figure_of(ax: Axes) -> Figure:
    """Return the whole figure that an axis is part of."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
