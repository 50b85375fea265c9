"""How varied captions are, whatever they say of the pictures.

Distinct-n is the share of different n-grams among all n-grams of the captions (Li, Galley,
Brockett, Gao and Dolan 2016). A caption is novel if no training caption has the same words.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_FEWEST = 4


@dataclass(frozen=True)
class Diversity:
    """Of a set of captions."""

    captions: int
    different: int  # captions, repeated ones counted once
    mean_length: float  # in words
    vocabulary: int  # different words
    distinct_1: float
    distinct_2: float
    novel: float | None = None  # share of captions; None without training captions

    def warning(self) -> str | None:
        """A sentence where all captions are one, which names the likely causes."""
        if self.captions < _FEWEST or self.different > 1:
            return None
        return (
            f"all {self.captions} pictures have the same caption: most often the features are not "
            "those of the training (another encoder, preprocessing or order of images), or the "
            "captioner was hardly trained, or its training diverged"
        )


def diversity(
    captions: Sequence[Sequence[str]], training: Iterable[Sequence[str]] | None = None
) -> Diversity:
    """Measure captions.

    Args:
        captions: each a list of words.
        training: the captions that the captioner has seen, in the same form.

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


def _distinct(sentences: Sequence[Sequence[str]], n: int) -> float:
    grams = [
        tuple(sentence[i : i + n]) for sentence in sentences for i in range(len(sentence) - n + 1)
    ]
    return len(set(grams)) / len(grams) if grams else 0.0
