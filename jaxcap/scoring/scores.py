"""The scores that need only Python: BLEU, ROUGE-L and CIDEr-D."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from jaxcap.scoring.bleu import bleu
from jaxcap.scoring.cider import CiderD
from jaxcap.scoring.references import References
from jaxcap.scoring.rouge import rouge_l
from jaxcap.scoring.tokens import word_splitter


@dataclass(frozen=True)
class Scores:
    """Scores of a corpus, between 0 and 1; CIDEr is between 0 and 10."""

    bleu_1: float
    bleu_2: float
    bleu_3: float
    bleu_4: float
    rouge_l: float
    cider: float


@dataclass(frozen=True)
class ImageScores:
    """Scores of each of N images, in the order of the references."""

    image_ids: tuple[Any, ...]
    bleu: Float64[np.ndarray, "4 N"]
    rouge_l: Float64[np.ndarray, " N"]
    cider: Float64[np.ndarray, " N"]


class Scorer:
    """Scores captions against references, which are tokenized and counted once.

    >>> scorer = Scorer({"a.jpg": ["A cat sits.", "A cat."], "b.jpg": ["Two dogs run."]})
    >>> scores = scorer.score({"a.jpg": "a cat", "b.jpg": "two dogs"})
    >>> round(scores.bleu_1, 3), round(scores.rouge_l, 3)
    (0.779, 0.886)

    Args:
        references: references of each image, as people write them; image ids are any hashable
            values.
        tokenizer: how captions are split into words: "ptb" as the reference scorer does, "space",
            or "character" for languages written without spaces.

    Raises:
        ValueError: there is no image, or an image has no reference, or no such tokenizer.
    """

    def __init__(self, references: Mapping[Any, Sequence[str]], tokenizer: str = "ptb") -> None:
        for image, sentences in references.items():
            if isinstance(sentences, str):
                raise ValueError(f"the references of image {image} are one string, expected a list")
            if not sentences:
                raise ValueError(f"image {image} has no reference, expected at least one")
        self.image_ids = tuple(references)
        self.split = word_splitter(tokenizer)
        self.references = References(
            [[self.split(sentence) for sentence in references[image]] for image in references]
        )
        self.cider = CiderD(self.references)
        self._places = {image: place for place, image in enumerate(self.image_ids)}

    def score(self, candidates: Mapping[Any, str]) -> Scores:
        """Score one caption of every image.

        Args:
            candidates: the caption of each image of the references, a sentence.

        Raises:
            ValueError: the images are not those of the references.
        """
        return self.score_images(candidates)[0]

    def score_images(self, candidates: Mapping[Any, str]) -> tuple[Scores, ImageScores]:
        """Score as `score` does, and each image separately too.

        Warns if CIDEr is 0 whatever the captions.
        """
        self._check_images(candidates)
        if self.cider.zero:
            remedy = "score two or more images"
            if len(self.references) > 1:
                remedy = "give each image its own references, or go by BLEU and ROUGE-L"
            warnings.warn(
                f"CIDEr is 0 whatever the captions, for {self.cider.zero}: {remedy}", stacklevel=3
            )
        words = [self.split(candidates[image]) for image in self.image_ids]
        counted = self.references.index.count(words)
        blues = bleu(counted, self.references)
        images = ImageScores(
            self.image_ids, blues.images, rouge_l(words, self.references), self.cider(counted)
        )
        b1, b2, b3, b4 = blues.corpus.tolist()
        scores = Scores(b1, b2, b3, b4, float(images.rouge_l.mean()), float(images.cider.mean()))
        return scores, images

    def rewards(self, images: Sequence[Any], captions: Sequence[str]) -> Float64[np.ndarray, " C"]:
        """Compute CIDEr-D of any captions, such as several samples of an image.

        Args:
            images: the image of each of C captions; images may repeat.
            captions: C captions, as sentences.

        Returns:
            (C,) scores between 0 and 10.

        Raises:
            ValueError: an image has no references, or the lengths differ.
        """
        if unknown := [image for image in images if image not in self._places]:
            raise ValueError(
                f"image {unknown[0]} is not one of the {len(self._places)} images with references"
            )
        counted = self.references.index.count(list(map(self.split, captions)))
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


def score(
    candidates: Mapping[Any, str],
    references: Mapping[Any, Sequence[str]],
    tokenizer: str = "ptb",
) -> Scores:
    """Score captions as COCO's evaluation does, tokenizer included.

    Args:
        candidates: one caption for each image, a sentence.
        references: references of each image, as people write them.
        tokenizer: how both are split into words, as for `Scorer`.

    Raises:
        ValueError: the two have different images, or an image has no reference.
    """
    return Scorer(references, tokenizer).score(candidates)
