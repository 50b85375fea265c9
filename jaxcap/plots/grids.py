"""Grids of pictures with captions."""

import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure
from PIL import Image

from jaxcap.scenes import open_picture
from jaxcap.scoring.evaluation import Evaluation
from jaxcap.scoring.sheet import best_and_worst


def caption_grid(
    pictures: Sequence[Image.Image | str | None], titles: Sequence[str], *, columns: int = 4
) -> Figure:
    """Draw pictures with a caption under each, and an empty frame for a missing picture.

    Args:
        pictures: at least one; for a missing picture, the reason or None.
        titles: the text under each picture; newlines in it start new lines.
        columns: maximum number of pictures in a row.

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
            reason = textwrap.fill(picture or "no picture", 30, max_lines=7)
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


def sheet_grid(evaluation: Evaluation, num: int = 20) -> Figure:
    """Draw the `num` best and the `num` worst captions by CIDEr, with their pictures."""
    pictures, titles = [], []
    for name, places in best_and_worst(evaluation, num)._asdict().items():
        for place in places:
            image = evaluation.images.image_ids[place]
            pictures.append(open_picture(evaluation.urls.get(image, "")))
            score = f"{name}, CIDEr {evaluation.images.cider[place]:.3f}"
            titles.append(f"{evaluation.captions[image] or '(empty)'}\n{score}")
    return caption_grid(pictures, titles)
