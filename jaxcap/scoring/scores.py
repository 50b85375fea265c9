"""The scores of a set of captions that need nothing but Python: BLEU, ROUGE-L and CIDEr-D."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from jaxcap.scoring.bleu import bleu
from jaxcap.scoring.cider import CiderD
from jaxcap.scoring.references import References
from jaxcap.scoring.rouge import rouge_l
from jaxcap.text.tokenizer import tokenize


@dataclass(frozen=True)
class Scores:
    """Scores of a corpus, each between 0 and 1, CIDEr between 0 and 10."""

    bleu_1: float
    bleu_2: float
    bleu_3: float
    bleu_4: float
    rouge_l: float
    cider: float


@dataclass(frozen=True)
class ImageScores:
    """The same for each of N images, in the order of the references."""

    image_ids: tuple[Any, ...]
    bleu: Float64[np.ndarray, "4 N"]
    rouge_l: Float64[np.ndarray, " N"]
    cider: Float64[np.ndarray, " N"]


class Scorer:
    """Score captions against references that are tokenized and counted once.

        Scorer({"a.jpg": ["A cat sits."]}).score({"a.jpg": "a cat"}).bleu_1

    Args:
        references: for each image its references, as people write them; the ids of images are any
            hashable values.

    Raises:
        ValueError: there is no image, or one has no reference.
    """

    def __init__(self, references: Mapping[Any, Sequence[str]]) -> None:
        for image, sentences in references.items():
            if isinstance(sentences, str):
                raise ValueError(f"the references of image {image} are one string, expected a list")
            if not sentences:
                raise ValueError(f"image {image} has no reference, expected at least one")
        self.image_ids = tuple(references)
        self.references = References(
            [[tokenize(sentence) for sentence in references[image]] for image in references]
        )
        self.cider = CiderD(self.references)
        self._places = {image: place for place, image in enumerate(self.image_ids)}

    def score(self, candidates: Mapping[Any, str]) -> Scores:
        """Score one caption of every image.

        Args:
            candidates: a caption for each image of the references, as a sentence.

        Raises:
            ValueError: the images are not those of the references.
        """
        return self.score_images(candidates)[0]

    def score_images(self, candidates: Mapping[Any, str]) -> tuple[Scores, ImageScores]:
        """Score as `score` does, and each image by itself too."""
        self._check_images(candidates)
        words = [tokenize(candidates[image]) for image in self.image_ids]
        counted = self.references.index.count(words)
        blues = bleu(counted, self.references)
        images = ImageScores(
            self.image_ids, blues.images, rouge_l(words, self.references), self.cider(counted)
        )
        b1, b2, b3, b4 = blues.corpus.tolist()
        scores = Scores(b1, b2, b3, b4, float(images.rouge_l.mean()), float(images.cider.mean()))
        return scores, images

    def rewards(self, images: Sequence[Any], captions: Sequence[str]) -> Float64[np.ndarray, " C"]:
        """CIDEr-D of any captions, such as several samples of an image.

        Args:
            images: the image of each of C captions; they may repeat.
            captions: as sentences.

        Raises:
            ValueError: an image has no references here, or the lengths differ.
        """
        if unknown := [image for image in images if image not in self._places]:
            raise ValueError(f"image {unknown[0]} has no references among {len(self._places)}")
        counted = self.references.index.count([tokenize(caption) for caption in captions])
        return self.cider(counted, np.array([self._places[i] for i in images], np.int64))

    def _check_images(self, candidates: Mapping[Any, str]) -> None:
        missing = [image for image in self.image_ids if image not in candidates]
        unknown = [image for image in candidates if image not in self._places]
        for images, lacking in ((missing, "caption"), (unknown, "reference")):
            if images:
                raise ValueError(
                    f"{len(images)} images have no {lacking}, first {images[0]}; a score needs "
                    "one caption and at least one reference for each image"
                )


def score(candidates: Mapping[Any, str], references: Mapping[Any, Sequence[str]]) -> Scores:
    """Score captions as COCO's evaluation does, tokenizer included.

    Args:
        candidates: one caption for each image, as a sentence.
        references: for each image its references, as people write them.

    Raises:
        ValueError: the two are not about the same images, or an image has no reference.
    """
    return Scorer(references).score(candidates)
