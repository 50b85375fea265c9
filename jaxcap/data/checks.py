"""What must hold of captions and features before they can be indexed without looking.

Each function raises one ValueError that names `where` (a file and a dataset in it), the first row
at fault, what it holds, what was expected and what to do.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer, Shaped

from jaxcap.files.hdf5 import check_finite

AnyArray = Shaped[Array, "..."] | Shaped[np.ndarray, "..."]


def check_captions(
    captions: Integer[np.ndarray, "M L"],
    where: str,
    words: int,
    vocabulary: str,
    first_row: int = 0,
) -> None:
    """Every id lies in [0, words), `vocabulary` being the file of the words.

    Rows are counted from `first_row`.
    """
    if captions.min() >= 0 and captions.max() < words:
        return
    row, column = np.argwhere((captions < 0) | (captions >= words))[0].tolist()
    raise ValueError(
        f"{where} row {first_row + row} holds the id {captions[row, column]}, expected 0 to "
        f"{words - 1}, for {vocabulary} has {words} words; use the vocabulary the captions were "
        "written with"
    )


def check_one_a_caption(image_idxs: int, where: str, captions: int) -> None:
    """There is one image index a caption."""
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
    """Each index lies in [0, images), `features` being where the images are.

    Rows are counted from `first_row`.
    """
    if image_idxs.min() >= 0 and image_idxs.max() < images:
        return
    row = np.argmax((image_idxs < 0) | (image_idxs >= images))
    raise ValueError(
        f"{where} row {first_row + row} is image {image_idxs[row]}, expected 0 to {images - 1}, "
        f"for {features} has {images} images; use the features made with these captions"
    )


LONGEST_URL = 4096
"""Characters of the longest URL, since all of a split take the room of its longest."""


def check_urls(
    urls: Sequence[str] | Sequence[bytes], where: str, images: int, features: str
) -> None:
    """There is one URL an image, and none of more than `LONGEST_URL` characters."""
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
    """The arrays, of the shapes under their names, have rows of one length."""
    if len({shape[1] for shape in shapes.values()}) > 1:
        found = " and ".join(f"{where} has shape {shape}" for where, shape in shapes.items())
        raise ValueError(f"{found}, expected rows of one length; take both from one data set")


def check_arrays(
    arrays: Sequence[AnyArray], names: Sequence[str], words: int, vocabulary: str
) -> tuple[Int[np.ndarray, "M L"], Int[np.ndarray, "M"], Float[np.ndarray, "K D"]]:
    """Check the captions, image indices and features of a split, in memory.

    Args:
        arrays: the three, of any integers and floats.
        names: what messages call each.
        words: number of words, V.
        vocabulary: what messages call the words.

    Returns:
        The three as int32, int32 and float32.
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
