"""A caption word by word, with the probabilities of its words and of alternatives."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxcap.nn.inspect import WordProbabilities
from jaxcap.plots.figures import figure_of
from jaxcap.text.vocabulary import Vocabulary

_LONGEST = 11
_GAP = 0.3


def probability_strip(
    probabilities: WordProbabilities,
    caption: Sequence[int] | Int[Array, " L"] | Int[np.ndarray, " L"],
    vocabulary: Vocabulary,
    ax: Axes | None = None,
) -> Figure:
    """Draw the words of a caption from left to right, with the likeliest alternatives below each.

    Likelier words have darker cells. Words after `<END>` are left out.

    Args:
        probabilities: word probabilities of one caption, (T,) and (T, K); K - 1 alternatives are
            shown.
        caption: ids of the caption from `<START>` on, of length L = T + 1.
        vocabulary: words of the ids.
        ax: axes to draw in; a new figure of the right size by default.

    Returns:
        The figure.

    Raises:
        ValueError: the probabilities are of a caption of another length.
    """
    ids = np.asarray(caption).tolist()[1:]
    written, top_ids, top = (np.asarray(x) for x in probabilities)
    if written.shape != (len(ids),):
        raise ValueError(
            f"`probabilities` has shape {written.shape}, expected ({len(ids)},) for the "
            f"{len(ids)} words after <START>"
        )
    if vocabulary.end in ids:
        ids = ids[: ids.index(vocabulary.end) + 1]
    columns = [
        [(i, p), *_others(i, others, probabilities)]
        for i, p, others, probabilities in zip(
            ids, written.tolist(), top_ids.tolist(), top.tolist(), strict=False
        )
    ]
    shades = np.array([[p for _, p in column] for column in columns]).T
    rows, T = shades.shape
    # The gap separates the caption from the alternatives.
    tops = np.array([0, *(row + _GAP for row in range(1, rows))])
    if ax is None:
        size = (0.86 * T + 0.15, 0.45 * (rows + _GAP) + 0.15)
        ax = Figure(figsize=size, layout="constrained").subplots()
    for row, y in enumerate(tops):
        ax.imshow(shades[row : row + 1], cmap="Blues", vmin=0, vmax=1, extent=(0, T, y + 1, y))
    for t, column in enumerate(columns):
        for row, (y, (i, p)) in enumerate(zip(tops, column, strict=True)):
            style = {"ha": "center", "parse_math": False, "color": "white" if p > 0.6 else "black"}
            weight = "normal" if row else "bold"
            word = _shorten(vocabulary.idx_to_word[i])
            ax.text(t + 0.5, y + 0.47, word, va="bottom", fontsize=8.5, weight=weight, **style)
            ax.text(t + 0.5, y + 0.58, _number(p), va="top", fontsize=7, alpha=0.8, **style)
    ax.vlines(range(1, T), 0, tops[-1] + 1, color="white", linewidth=1.5)
    ax.hlines(tops, 0, T, color="white", linewidth=1.5)
    ax.set(xlim=(0, T), ylim=(tops[-1] + 1, 0), aspect="auto")
    ax.set_axis_off()
    return figure_of(ax)


def _others(written: int, ids: list[int], probabilities: list[float]) -> list[tuple[int, float]]:
    """Find the K - 1 likeliest words other than the written one."""
    pairs = [pair for pair in zip(ids, probabilities, strict=True) if pair[0] != written]
    return pairs[: len(ids) - 1]


def _shorten(word: str) -> str:
    return word if len(word) <= _LONGEST else word[: _LONGEST - 1] + "…"


def _number(p: float) -> str:
    return f"{p:.2f}" if p >= 0.005 else "<0.01"
