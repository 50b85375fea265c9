"""What must hold of captions and features before they can be indexed without looking.

Each function raises one ValueError that names `where` (a file and a dataset in it), the first row
at fault, what it holds, what was expected and what to do.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Integer

from jaxcap.data.dataset import SplitArrays
from jaxcap.files.hdf5 import check_finite


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


def check_arrays(split: str, arrays: SplitArrays, words: int) -> None:
    """All of the above, for a split about to be written."""
    for field, ndim in (("captions", 2), ("image_idxs", 1), ("features", 2)):
        array = getattr(arrays, field)
        if array.ndim != ndim or array.size == 0:
            raise ValueError(
                f"{split}.{field} has shape {array.shape}, expected {ndim} dimensions, none empty"
            )
    images = len(arrays.features)
    check_captions(arrays.captions, f"{split}.captions", words, "the vocabulary")
    check_one_a_caption(len(arrays.image_idxs), f"{split}.image_idxs", len(arrays.captions))
    check_image_idxs(arrays.image_idxs, f"{split}.image_idxs", images, f"{split}.features")
    check_finite(arrays.features, f"{split}.features")
    if arrays.urls:
        check_urls(arrays.urls, f"{split}.urls", images, f"{split}.features")
        for i, url in enumerate(arrays.urls):
            if not url or url.split() != [url]:
                raise ValueError(f"{split}.urls[{i}] is {url!r}, expected text without blanks")
