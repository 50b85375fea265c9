"""The references that captions are scored against, counted once for all scores."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from jaxcap.scoring.ngrams import NgramIndex


class References:
    """The references of N images, R in total.

    Args:
        references: the references of each image, each a list of words.

    Attributes:
        sentences: the R references, image by image.
        first: (N + 1,) index of the first reference of each image, and R.
        image: (R,) index of the image of each reference.
        index: n-grams of the references up to n = 4.

    Raises:
        ValueError: there is no image, or one has no reference.
    """

    def __init__(self, references: Sequence[Sequence[Sequence[str]]]) -> None:
        counts = np.fromiter(map(len, references), np.int64, len(references))
        if not len(counts):
            raise ValueError("there are no references, expected those of at least one image")
        if not counts.all():
            place = int(np.argmin(counts))
            raise ValueError(f"the image at place {place} has no reference, expected at least one")
        self.sentences = [sentence for image in references for sentence in image]
        self.first = np.concatenate([[0], np.cumsum(counts)])
        self.image = np.repeat(np.arange(len(counts)), counts)
        self.index = NgramIndex(self.sentences)

    def by_image(self) -> list[list[Sequence[str]]]:
        """Return the references of each image."""
        first = self.first.tolist()
        return [self.sentences[a:b] for a, b in pairwise(first)]

    def __len__(self) -> int:
        return len(self.first) - 1
