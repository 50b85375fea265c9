"""Diversity of captions, independent of the pictures.

Distinct-n is the share of different n-grams among all n-grams of the captions (Li, Galley,
Brockett, Gao and Dolan 2016). A caption is novel if no training caption has the same words.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_FEWEST = 4


@dataclass(frozen=True)
class Diversity:
    """Diversity of a set of captions."""

    captions: int
    different: int  # different captions
    mean_length: float  # in words
    vocabulary: int  # different words
    distinct_1: float
    distinct_2: float
    novel: float | None = None  # share of captions; None without training captions


def diversity(
    captions: Sequence[Sequence[str]], training: Iterable[Sequence[str]] | None = None
) -> Diversity:
    """Measure the diversity of captions.

    Args:
        captions: each a list of words.
        training: the training captions of the captioner, in the same form; without them novelty is
            not measured.

    Raises:
        ValueError: there are no captions.
    """
    if not captions:
        raise ValueError("there are no captions, expected at least one")
    sentences = [tuple(words) for words in captions]
    novel = None
    if training is not None:
        seen = {tuple(words) for words in training}
        novel = sum(sentence not in seen for sentence in sentences) / len(sentences)
    return Diversity(
        captions=len(sentences),
        different=len(set(sentences)),
        mean_length=sum(map(len, sentences)) / len(sentences),
        vocabulary=len({word for sentence in sentences for word in sentence}),
        distinct_1=_distinct(sentences, 1),
        distinct_2=_distinct(sentences, 2),
        novel=novel,
    )


def warn_of_one_caption(
    captions: Sequence[str], features: Float[np.ndarray, "N D"] | None = None
) -> None:
    """Warn if at least four different pictures all get the same caption, and name likely causes.

    Args:
        captions: captions of N pictures.
        features: features of the same pictures, so that equal pictures count once; by default all
            pictures count as different.
    """
    if len(captions) < _FEWEST or len(set(captions)) > 1:
        return
    pictures = len(captions) if features is None else len(np.unique(features, axis=0))
    if pictures >= _FEWEST:
        warnings.warn(
            f"all {pictures} pictures have the same caption, {captions[0]!r}: likely causes are "
            "features unlike those of training (another encoder, preprocessing, or order of "
            "channels or images), too little training, or training that diverged",
            stacklevel=2,
        )


def _distinct(sentences: Sequence[Sequence[str]], n: int) -> float:
    grams = [
        tuple(sentence[i : i + n]) for sentence in sentences for i in range(len(sentence) - n + 1)
    ]
    return len(set(grams)) / len(grams) if grams else 0.0
