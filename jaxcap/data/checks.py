"""Checks of captions and features, after which they can be indexed safely.

Each function raises one ValueError that names `where` (a file and its dataset), the first wrong
row, its value, the expected values and the remedy.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer, Shaped

from jaxcap.data.image import Image
from jaxcap.files.hdf5 import check_finite

AnyArray = Shaped[Array, "..."] | Shaped[np.ndarray, "..."]


def check_captions(
    captions: Integer[np.ndarray, "M L"],
    where: str,
    words: int,
    vocabulary: str,
    first_row: int = 0,
) -> None:
    """Check that every id is in [0, words).

    Args:
        captions: (M, L) ids.
        where: the file and dataset of the captions, for the message.
        words: number of words, V.
        vocabulary: the file of the words, for the message.
        first_row: number of the first row in the dataset.

    Raises:
        ValueError: an id is out of range.
    """
    if captions.min() >= 0 and captions.max() < words:
        return
    row, column = np.argwhere((captions < 0) | (captions >= words))[0].tolist()
    raise ValueError(
        f"{where} row {first_row + row} holds the id {captions[row, column]}, expected 0 to "
        f"{words - 1}, since {vocabulary} has {words} words; use the vocabulary that the captions "
        "were written with"
    )


def check_one_a_caption(image_idxs: int, where: str, captions: int) -> None:
    """Check that there is one image index a caption."""
    if image_idxs != captions:
        raise ValueError(
            f"{where} has {image_idxs} entries for {captions} captions, expected one a "
            "caption; take both from one data set"
        )


def check_image_idxs(
    image_idxs: Integer[np.ndarray, "M"],
    where: str,
    images: int,
    features: str,
    first_row: int = 0,
) -> None:
    """Check that every index is in [0, images).

    Args:
        image_idxs: (M,) indices.
        where: the file and dataset of the indices, for the message.
        images: number of images, K.
        features: the file of the features, for the message.
        first_row: number of the first row in the dataset.

    Raises:
        ValueError: an index is out of range.
    """
    if image_idxs.min() >= 0 and image_idxs.max() < images:
        return
    row = np.argmax((image_idxs < 0) | (image_idxs >= images))
    raise ValueError(
        f"{where} row {first_row + row} is image {image_idxs[row]}, expected 0 to {images - 1}, "
        f"since {features} has {images} images; use the features made with these captions"
    )


LONGEST_URL = 4096
"""Most characters of a URL; each URL of a split takes as many bytes as the longest."""


def check_urls(
    urls: Sequence[str] | Sequence[bytes], where: str, images: int, features: str
) -> None:
    """Check that there is one URL an image, each of at most `LONGEST_URL` characters."""
    if len(urls) != images:
        raise ValueError(
            f"{where} has {len(urls)} URLs, expected {images}, one an image of {features}; "
            "remove the file to go without URLs"
        )
    for line, url in enumerate(urls, start=1):
        if len(url) > LONGEST_URL:
            raise ValueError(
                f"{where} line {line} has {len(url):,} characters, expected a URL of at most "
                f"{LONGEST_URL:,}; remove the file to go without URLs"
            )


def check_widths(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that arrays, given as their shapes by name, have rows of one length."""
    if len({shape[1] for shape in shapes.values()}) > 1:
        found = " and ".join(f"{where} has shape {shape}" for where, shape in shapes.items())
        raise ValueError(f"{found}, expected rows of one length; take both from one data set")


def check_grid(image: Image, where: str) -> None:
    """Check that the grid of K images, if any, is (K, L, C) finite floats, and its mask (K, L).

    Raises:
        ValueError: it has another shape or type, a value is not finite, or an image has no place.
    """
    if image.grid is None:
        return
    grid, mask, num = image.grid, image.grid_mask, len(image.pooled)
    if grid.ndim != 3 or len(grid) != num or grid.size == 0:
        raise ValueError(f"{where}.grid has shape {grid.shape}, expected ({num}, L, C), none empty")
    if not jnp.issubdtype(grid.dtype, jnp.floating):
        raise ValueError(f"{where}.grid has type {grid.dtype}, expected floats")
    with np.errstate(over="ignore"):
        # A double may be infinite as the float32 that it becomes.
        kept = np.asarray(grid).astype(jax.dtypes.canonicalize_dtype(grid.dtype), copy=False)
    if not np.isfinite(kept).all():
        raise ValueError(f"{where}.grid holds values that are NaN or infinite as {kept.dtype}")
    if mask is not None and (mask.shape != grid.shape[:2] or mask.dtype != bool):
        raise ValueError(
            f"{where}.grid_mask has shape {mask.shape} and type {mask.dtype}, expected "
            f"{grid.shape[:2]} and bool"
        )
    if mask is not None and not np.asarray(mask).any(1).all():
        row = int(np.argmin(np.asarray(mask).any(1)))
        raise ValueError(f"{where}.grid_mask row {row} has no place, expected one at least")


def check_grid_widths(grids: Mapping[str, Float[Array, "_ L C"] | None]) -> None:
    """Check that the grids of all splits have one length C of vectors, or that there are none."""
    widths = {where: None if grid is None else grid.shape[2] for where, grid in grids.items()}
    if len(set(widths.values())) > 1:
        found = " and ".join(
            f"{where} has {'no grid' if width is None else f'a grid of width {width}'}"
            for where, width in widths.items()
        )
        raise ValueError(f"{found}, expected grids of one width, or none at all")


def check_arrays(
    arrays: Sequence[AnyArray], names: Sequence[str], words: int, vocabulary: str
) -> tuple[Int[np.ndarray, "M L"], Int[np.ndarray, "M"], Float[np.ndarray, "K D"]]:
    """Check the captions, image indices and features of a split, in memory.

    Args:
        arrays: the three arrays, of any integer, integer and float types.
        names: the names of the arrays, for messages.
        words: number of words, V.
        vocabulary: the name of the words, for messages.

    Returns:
        The three arrays as int32, int32 and float32.

    Raises:
        ValueError: an array has another shape or type, or a value is out of range.
    """
    integers, floats = ("integers", jnp.integer), ("floats", jnp.floating)
    kinds = ((2, *integers), (1, *integers), (2, *floats))
    for array, name, (ndim, kind, base) in zip(arrays, names, kinds, strict=True):
        if array.ndim != ndim or array.size == 0:
            raise ValueError(
                f"{name} has shape {array.shape}, expected {ndim} dimensions, none empty"
            )
        if not jnp.issubdtype(array.dtype, base):
            raise ValueError(f"{name} has type {array.dtype}, expected {kind}")
    captions, image_idxs, features = map(np.asarray, arrays)
    check_captions(captions, names[0], words, vocabulary)
    check_one_a_caption(len(image_idxs), names[1], len(captions))
    check_image_idxs(image_idxs, names[1], len(features), names[2])
    with np.errstate(over="ignore"):
        features = features.astype(np.float32, copy=False)
    check_finite(features, names[2])
    return (
        captions.astype(np.int32, copy=False),
        image_idxs.astype(np.int32, copy=False),
        features,
    )
