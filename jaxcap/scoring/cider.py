"""CIDEr-D, the consensus of a candidate with its references.

Vedantam, Zitnick and Parikh (2015): for each n = 1 ... 4 a sentence is the vector of its n-gram
counts, weighted by log(N / df), where df is the number of images with the n-gram in a reference.
The score is ten times the mean, over n and over the references, of the cosine of the two vectors,
with the counts of the candidate clipped to those of the reference, times exp(-d^2 / (2 sigma^2))
for a length difference of d. For an n-gram in no reference, df is 1.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from jaxcap.scoring.ngrams import Counted, NgramCounts, distinct, places_of, sum_at
from jaxcap.scoring.references import References


class _Vectors(NamedTuple):
    """Sentences as vectors of n-grams of one order, with E entries in total."""

    counts: NgramCounts
    weight: Float64[np.ndarray, " E"]
    norm: Float64[np.ndarray, " S"]


class CiderD:
    """Scorer for one set of references; it keeps their vectors and frequencies.

    Args:
        references: the references of N images. With one image every score is 0, as log(1 / 1) is.
        sigma: scale of the penalty on differences in length, in words.

    Attributes:
        zero: why every score is 0 whatever the caption, as a part of a sentence; else empty.
    """

    def __init__(self, references: References, sigma: float = 6.0) -> None:
        self.references = references
        self.sigma = sigma
        self._idf = [
            _inverse_frequencies(references, n)
            for n in range(1, len(references.index.counted.orders) + 1)
        ]
        self._vectors = self._vectors_of(references.index.counted)
        self.zero = "" if any(idf.any() for idf in self._idf) else self._why_zero()

    def __call__(
        self, candidates: Counted, images: Int64[np.ndarray, " C"] | None = None
    ) -> Float64[np.ndarray, " C"]:
        """Score candidates; the corpus score is the mean.

        Args:
            candidates: C candidates, counted by `references.index`.
            images: (C,) the place in `references` of the image of each candidate; images may repeat
                or be absent. By default candidate i is of image i.

        Returns:
            (C,) scores between 0 and 10.

        Raises:
            ValueError: the numbers of candidates and images differ.
        """
        if images is None:
            images = np.arange(len(self.references))
        if len(images) != len(candidates.lengths):
            raise ValueError(
                f"found {len(candidates.lengths)} candidates and {len(images)} images, expected "
                "one image per candidate"
            )
        theirs, first = self.references.index.counted.lengths, self.references.first
        # Pair every candidate with every reference of its image.
        candidate, reference = _spread(first[images], first[images + 1])
        # The reference scorer counts pairs of words as the length, so 0 and 1 words are equal.
        difference = np.maximum(candidates.lengths[candidate] - 1, 0) - np.maximum(
            theirs[reference] - 1, 0
        )
        cosines = np.zeros(len(candidate))
        start = np.cumsum(first[images + 1] - first[images]) - first[images + 1]
        for ours, known in zip(self._vectors_of(candidates), self._vectors, strict=True):
            dots = self._dots(ours, known, images, start, len(candidate))
            norms = ours.norm[candidate] * known.norm[reference]
            cosines += np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0)
        cosines *= np.exp(-(difference**2) / (2 * self.sigma**2))
        sums = sum_at(candidate, cosines, len(images))
        return 10 * sums / len(self._vectors) / (first[images + 1] - first[images])

    def _why_zero(self) -> str:
        if len(self.references) == 1:
            return "there is only a single image"
        if not any(self.references.sentences):
            return "no reference has a word"
        return f"all {len(self.references):,} images share their references"

    def _vectors_of(self, counted: Counted) -> list[_Vectors]:
        vectors = []
        for idf, counts in zip(self._idf, counted.orders, strict=True):
            unknown = counts.gram >= len(idf)
            weight = np.full(len(counts.gram), np.log(len(self.references)))
            weight[~unknown] = idf[counts.gram[~unknown]]
            weight *= counts.times
            norm = np.sqrt(sum_at(counts.sentence, weight**2, len(counted.lengths)))
            vectors.append(_Vectors(counts, weight, norm))
        return vectors

    def _dots(
        self,
        ours: _Vectors,
        known: _Vectors,
        images: Int64[np.ndarray, " C"],
        start: Int64[np.ndarray, " C"],
        pairs: int,
    ) -> Float64[np.ndarray, " P"]:
        """Compute the dot products of all pairs; pair number `start` + reference."""
        first = np.searchsorted(known.counts.sentence, self.references.first)
        candidate, entry = _spread(first[images], first[images + 1])
        size = int(max(ours.counts.gram.max(initial=0), known.counts.gram.max(initial=0))) + 1
        places = places_of(
            ours.counts.sentence * size + ours.counts.gram,
            candidate * size + known.counts.gram[entry],
        )
        shared = places >= 0
        candidate, entry = candidate[shared], entry[shared]
        weight = known.weight[entry]
        product = np.minimum(ours.weight[places[shared]], weight) * weight
        return sum_at(start[candidate] + known.counts.sentence[entry], product, pairs)


def _inverse_frequencies(references: References, n: int) -> Float64[np.ndarray, " G"]:
    counts, size = references.index.counted.orders[n - 1], references.index.sizes[n - 1]
    pairs = distinct(references.image[counts.sentence] * size + counts.gram)
    frequency = np.bincount(pairs % max(size, 1), minlength=size)
    return np.log(len(references)) - np.log(frequency)


def _spread(
    first: Int64[np.ndarray, " C"], stop: Int64[np.ndarray, " C"]
) -> tuple[Int64[np.ndarray, " P"], Int64[np.ndarray, " P"]]:
    """Concatenate the ranges first[i] ... stop[i]; returns the i and the member of each entry."""
    lengths = stop - first
    owner = np.repeat(np.arange(len(first)), lengths)
    skipped = np.repeat(np.cumsum(lengths) - lengths - first, lengths)
    return owner, np.arange(len(owner)) - skipped
