"""BLEU-1 to BLEU-4 of a corpus, as COCO's evaluation computes them.

Papineni, Roukos, Ward and Zhu (2002): the geometric mean of the n-gram precisions times a brevity
penalty. A precision is the share of a candidate's n-grams that occur in a reference; each n-gram
counts at most as often as in the reference that has it most. The penalty is exp(1 - r/c) if the
total length c of the candidates is below r, the sum of the closest reference lengths, the shorter
one at a tie.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from jaxcap.scoring.ngrams import Counted, places_of, starts_of_runs, sum_at
from jaxcap.scoring.references import References

# The reference scorer adds these to avoid a division by zero.
_SMALL, _TINY = 1e-9, 1e-15


class Bleu(NamedTuple):
    """BLEU-1 to BLEU-4 of the corpus and of each image."""

    corpus: Float64[np.ndarray, "4"]
    images: Float64[np.ndarray, "4 N"]


def bleu(candidates: Counted, references: References) -> Bleu:
    """Score one candidate per image.

    Args:
        candidates: N candidates, counted by `references.index`.
        references: the references of the same N images.
    """
    matches, guesses = [], []
    for n, counts in enumerate(candidates.orders, start=1):
        size = references.index.sizes[n - 1]
        keys, most = _most_in_one_reference(references, n)
        # Numbers of unknown n-grams would overlap with those of the next image.
        known = counts.gram < size
        image, count = counts.sentence[known], counts.times[known]
        places = places_of(keys, image * size + counts.gram[known])
        allowed = np.where(places < 0, 0, most[places]) if len(most) else np.zeros_like(places)
        clipped = np.minimum(count, allowed)
        matches.append(sum_at(image, clipped, len(references)))
        guesses.append(np.maximum(candidates.lengths - n + 1, 0))
    matched, guessed = np.stack(matches), np.stack(guesses)
    closest = _closest_lengths(candidates.lengths, references)
    corpus = _combine(
        matched.sum(1, keepdims=True),
        guessed.sum(1, keepdims=True),
        candidates.lengths.sum(keepdims=True),
        closest.sum(keepdims=True),
    )
    return Bleu(corpus[:, 0], _combine(matched, guessed, candidates.lengths, closest))


def _most_in_one_reference(
    references: References, n: int
) -> tuple[Int64[np.ndarray, " K"], Int64[np.ndarray, " K"]]:
    """Find pairs of image and n-gram as sorted keys, and the largest count in one reference."""
    counts = references.index.counted.orders[n - 1]
    keys = references.image[counts.sentence] * references.index.sizes[n - 1] + counts.gram
    order = np.argsort(keys)
    first = starts_of_runs(keys[order])
    most = np.maximum.reduceat(counts.times[order], first) if len(first) else first
    return keys[order][first], most


def _closest_lengths(
    lengths: Int64[np.ndarray, " N"], references: References
) -> Int64[np.ndarray, " N"]:
    theirs = references.index.counted.lengths
    # One number orders by distance and then by length.
    rank = np.abs(theirs - lengths[references.image]) << 32 | theirs
    return np.minimum.reduceat(rank, references.first[:-1]) & 0xFFFFFFFF


def _combine(
    matched: Float64[np.ndarray, "4 K"],
    guessed: Int64[np.ndarray, "4 K"],
    lengths: Int64[np.ndarray, " K"],
    closest: Int64[np.ndarray, " K"],
) -> Float64[np.ndarray, "4 K"]:
    precisions = np.cumprod((matched + _TINY) / (guessed + _SMALL), axis=0)
    scores = precisions ** (1 / np.arange(1, len(matched) + 1)[:, None])
    ratio = (lengths + _TINY) / (closest + _SMALL)
    return scores * np.exp(np.minimum(1 - 1 / ratio, 0))
