"""Heat maps of the gates of the LSTM over a caption, hidden units by words."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage

from jaxcap.nn.inspect import Gates
from jaxcap.plots.figures import figure_of

_TITLES = {"i": "input gate i", "f": "forget gate f", "o": "output gate o", "g": "candidate g"}


def gate_maps(
    gates: Gates,
    words: Sequence[str],
    axes: Sequence[Axes] | None = None,
    *,
    order: Sequence[int] | Int[np.ndarray, " K"] | None = None,
) -> Figure:
    """Draw the four gates side by side: a row for each hidden unit, a column for each word read.

    Args:
        gates: gates of one caption, (T, H) each.
        words: the T words, `<START>` first.
        axes: four axes to draw in; a new figure by default.
        order: hidden units from top to bottom, all or some; all by `similar_order` by default. A
            unit has the same place in all four maps.

    Returns:
        The figure.

    Raises:
        ValueError: the number of words is not T, or the number of axes is not four.
    """
    arrays = [np.asarray(gate, np.float32) for gate in gates]
    if len(words) != len(arrays[0]):
        raise ValueError(f"got {len(words)} words for gates at {len(arrays[0])} words")
    if axes is None:
        size = (0.4 + 4 * max(1.4, 0.24 * len(words)), 5)
        axes = list(Figure(figsize=size, layout="constrained").subplots(1, 4))
    if len(axes) != len(_TITLES):
        raise ValueError(f"`axes` has {len(axes)} axes, expected {len(_TITLES)}")
    rows = similar_order(gates) if order is None else np.asarray(order)
    for ax, (name, title), gate in zip(axes, _TITLES.items(), arrays, strict=True):
        colors, low = ("RdBu_r", -1) if name == "g" else ("Blues", 0)
        image = ax.imshow(
            gate.T[rows], cmap=colors, vmin=low, vmax=1, aspect="auto", interpolation="nearest"
        )
        ax.set_title(title, fontsize=10)
        ax.set_xticks(range(len(words)), words, rotation=90, fontsize=8, parse_math=False)
        ax.set_yticks([])
        ax.tick_params(length=0)
        ticks = [low, (low + 1) / 2, 1]
        bar = figure_of(ax).colorbar(image, ax=ax, location="bottom", aspect=25, ticks=ticks)
        bar.ax.tick_params(labelsize=8, length=0)
    axes[0].set_ylabel(f"{len(rows)} hidden units")
    return figure_of(axes[0])


def similar_order(gates: Gates) -> Int[np.ndarray, " H"]:
    """Order the hidden units so that neighbours have similar activations over a caption.

    The order is that of the leaves of an average-linkage tree over all four gates, with optimal
    leaf ordering (Bar-Joseph et al. 2001).

    Args:
        gates: gates of one caption, (T, H) each.
    """
    units = np.concatenate([np.asarray(gate, np.float32) for gate in gates]).T
    if len(units) < 2:
        return np.arange(len(units))
    return leaves_list(linkage(units, "average", optimal_ordering=True))
