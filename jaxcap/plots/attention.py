"""Where a captioner looks: the picture once a word, with the word's map of attention over it."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from PIL import Image

_COLUMNS, _MOST_ROWS = 6, 8
_WIDTH = 9.6
_PIXELS = 320
_LONGEST = 16
_COLORS = colormaps["YlOrRd"]
# Range of greys in which the picture under a map is shown, so that it is pale.
_PALE = (-170, 255)
_OPACITY = 0.7


def attention_maps(
    picture: Image.Image | np.ndarray,
    words: Sequence[str],
    maps: ArrayLike,
    *,
    shape: tuple[int, int] | None = None,
    mask: ArrayLike | None = None,
    box: tuple[float | int, ...] | None = None,
) -> Figure:
    """Draw a picture, and once more for each word with the map over it that chose the word.

    All words share one scale of colours.

    Args:
        picture: the picture; pixels are (H, W, 3) uint8.
        words: the T words of the caption.
        maps: (T, L), the share of each of L places at each word, as of
            `jaxcap.nn.inspect.attention_maps`.
        shape: rows and columns of the grid, whose places are in order row by row; a square by
            default.
        mask: (L,), True at the places that the image has. The others are left out, and those that
            remain are a grid of `shape`.
        box: left, top, right and bottom of the part of the picture that the grid covers, in pixels,
            as of `Preprocessing.box`; the whole picture by default.

    Returns:
        The figure, of bounded size: tiles get smaller where there are many words.

    Raises:
        ValueError: the number of words is not T, the grid is not of `shape`, or the pixels have
            another shape or type.
    """
    picture = _as_picture(picture)
    grids = _as_grids(words, np.asarray(maps, np.float32), shape, mask)
    width, height = picture.size
    left, top, right, bottom = box or (0, 0, width, height)
    whole = {"extent": (0, width, height, 0)}
    shown = picture.copy()
    shown.thumbnail((_PIXELS, _PIXELS))
    # At least four times the even share, so that maps that are even are pale.
    scale = Normalize(0, max(grids.max(initial=0), 4 / max(grids[:1].size, 4)))
    detail = _PIXELS / max(picture.size)
    pixels = [max(1, round(detail * side)) for side in (right - left, bottom - top)]

    columns, rows = _layout(1 + len(words))
    side = _WIDTH / max(columns, _COLUMNS)
    tall = side * min(max(height / width, 0.5), 1.6) + 0.3
    figure = Figure(figsize=(side * columns, tall * rows + 0.35), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for ax in axes:
        ax.set_axis_off()
    axes[0].imshow(shown, **whole)
    for ax, word, grid in zip(axes[1:], words, grids, strict=False):
        ax.imshow(shown.convert("L"), cmap="gray", vmin=_PALE[0], vmax=_PALE[1], **whole)
        smooth = Image.fromarray(grid).resize((pixels[0], pixels[1]), Image.Resampling.BICUBIC)
        share = scale(np.asarray(smooth)).clip(0, 1)
        colors = _COLORS(share)
        colors[..., 3] = _OPACITY * np.sqrt(share)
        ax.imshow(colors, extent=(left, right, bottom, top))
        ax.set(xlim=(0, width), ylim=(height, 0))
        title = word if len(word) <= _LONGEST else word[: _LONGEST - 1] + "…"
        ax.set_title(title, fontsize=min(10, 7 * side), pad=3, parse_math=False)
    if len(grids):
        bar = figure.colorbar(
            ScalarMappable(scale, _COLORS),
            ax=axes,
            location="bottom",
            aspect=60,
            shrink=0.5,
            ticks=MaxNLocator(4),
        )
        bar.ax.tick_params(labelsize=7, length=0)
        bar.set_label("share of a place", fontsize=7)
        bar.outline.set_visible(False)
    return figure


def _layout(tiles: int) -> tuple[int, int]:
    """Return the columns and rows of some tiles."""
    columns = min(tiles, max(_COLUMNS, math.ceil(tiles / _MOST_ROWS)))
    return columns, -(-tiles // columns)


def _as_picture(picture: Image.Image | np.ndarray) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(
            f"`picture` has type {picture.dtype} and shape {picture.shape}, expected uint8 of "
            "shape (H, W, 3)"
        )
    return Image.fromarray(picture)


def _as_grids(
    words: Sequence[str],
    maps: np.ndarray,
    shape: tuple[int, int] | None,
    mask: ArrayLike | None,
) -> Float[np.ndarray, "T R C"]:
    """Arrange the places of each map in rows and columns."""
    if maps.ndim != 2:
        raise ValueError(
            f"`maps` has shape {maps.shape}, expected (T, L), those of one caption: a row of L "
            "places for each word"
        )
    if len(words) != len(maps):
        raise ValueError(f"got {len(words)} words for {len(maps)} maps, expected one map a word")
    if not (np.isfinite(maps).all() and (maps >= 0).all()):
        raise ValueError("`maps` holds values that are no shares: negative, NaN or infinite")
    if mask is not None:
        mask = np.asarray(mask, bool)
        if mask.shape != maps.shape[1:]:
            raise ValueError(
                f"`mask` has shape {mask.shape}, expected {maps.shape[1:]}, a value for each place"
            )
        maps = maps[:, mask]
    places = maps.shape[1]
    rows, columns = shape or (math.isqrt(places),) * 2
    if rows * columns != places or not places:
        wrong = f"`shape` is {shape}, {rows * columns} places" if shape else "no square"
        raise ValueError(
            f"a map has {places} places, but {wrong}: give the rows and columns of the grid by "
            "`shape`"
        )
    return maps.reshape(-1, rows, columns)
