"""A random data set of the size of the course's, in its layout."""

import numpy as np

from jaxcap.data.coco import write_coco
from jaxcap.data.dataset import SplitArrays
from jaxcap.text.vocabulary import Vocabulary

SIZES = {"train": (82783, 400135), "val": (40504, 195954)}
"""Images and captions."""
WORDS, LENGTH, FEATURES = 1004, 17, 512


def random_split(rng: np.random.Generator, split: str) -> SplitArrays:
    """A split of full size, its captions of 5 to 15 words, its URLs of up to 63 bytes."""
    images, count = SIZES[split]
    captions = rng.integers(4, WORDS, (count, LENGTH), dtype=np.int32)
    ends = rng.integers(6, LENGTH, (count, 1))
    captions[:, 0] = 1
    captions[np.arange(LENGTH) == ends] = 2
    captions[np.arange(LENGTH) > ends] = 0
    return SplitArrays(
        captions=captions,
        image_idxs=rng.integers(0, images, count, dtype=np.int32),
        features=rng.standard_normal((images, FEATURES), dtype=np.float32),
        urls=[f"http://example.org/{split}/{i:0{39 - len(split)}}.jpg" for i in range(images)],
    )


def write(folder: str) -> None:
    """Write the data set, about 300 MB."""
    rng = np.random.default_rng(0)
    vocabulary = Vocabulary.build(f"word{i}" for i in range(WORDS - 4))
    write_coco(folder, vocabulary, {s: random_split(rng, s) for s in SIZES}, name="random")
