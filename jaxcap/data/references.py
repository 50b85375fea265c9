"""The images of a split and the captions that people gave them."""

import jax
import numpy as np
from jaxtyping import Array, Int

from jaxcap.data.dataset import Split
from jaxcap.text.vocabulary import Vocabulary


def choose_images(split: Split, num: int, key: Array) -> Int[np.ndarray, " K"]:
    """Rows of at most `num` different images that have captions in `split`.

    Args:
        split: where to choose.
        num: how many; all of them, in order, if there are no more.
        key: random key of the choice.
    """
    images = np.unique(np.asarray(split.image_idxs))
    if num >= len(images):
        return images
    return images[np.asarray(jax.random.permutation(key, len(images)))[:num]]


def references_of(
    split: Split, images: Int[np.ndarray, " K"], vocabulary: Vocabulary
) -> list[list[str]]:
    """The captions of each of `images` as sentences, in the order of the split, each once."""
    image_idxs, captions = np.asarray(split.image_idxs), np.asarray(split.captions)
    order = np.argsort(image_idxs, kind="stable")
    first = np.searchsorted(image_idxs[order], images, side="left")
    last = np.searchsorted(image_idxs[order], images, side="right")
    return [
        list(dict.fromkeys(vocabulary.decode(row) for row in captions[order[a:b]]))
        for a, b in zip(first, last, strict=True)
    ]
