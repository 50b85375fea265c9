"""ROUGE-L, as COCO's evaluation computes it.

Lin (2004): the score is (1 + b^2) P R / (R + b^2 P) with b = 1.2, where P is the largest precision
and R the largest recall over the references, by the longest common subsequence. The corpus score is
the mean.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, Int64

from jaxcap.scoring.ngrams import number_words
from jaxcap.scoring.references import References

_BETA = 1.2
# Pairs per group; groups have similar lengths and so little padding.
_GROUP = 2048


def rouge_l(
    candidates: Sequence[Sequence[str]], references: References
) -> Float64[np.ndarray, " N"]:
    """Score one candidate per image.

    Args:
        candidates: N candidates, each a list of words.
        references: the references of the same N images.

    Returns:
        (N,) scores between 0 and 1.
    """
    numbers: dict[str, int] = {}
    ours = _Sentences.of(candidates, numbers)
    theirs = _Sentences.of(references.sentences, numbers)
    common = _common_lengths(ours, theirs, references.image)
    first = references.first[:-1]
    precision = np.maximum.reduceat(common, first) / ours.lengths
    recall = np.maximum.reduceat(common / theirs.lengths, first)
    weighted = recall + _BETA**2 * precision
    product = (1 + _BETA**2) * precision * recall
    return np.divide(product, weighted, out=np.zeros_like(product), where=product > 0)


class _Sentences(NamedTuple):
    """Sentences as numbers, concatenated."""

    lengths: Int64[np.ndarray, " S"]
    starts: Int64[np.ndarray, " S"]
    words: Int64[np.ndarray, " K"]

    @classmethod
    def of(cls, sentences: Sequence[Sequence[str]], numbers: dict[str, int]) -> "_Sentences":
        # The reference scorer sees one empty word in an empty sentence.
        lengths, words = number_words([words or [""] for words in sentences], numbers)
        return cls(lengths, np.cumsum(lengths) - lengths, words)

    def padded(self, chosen: Int64[np.ndarray, " P"], filler: int) -> Int32[np.ndarray, "P L"]:
        """Pad the chosen sentences to rows of one length."""
        columns = np.arange(self.lengths[chosen].max())
        inside = columns < self.lengths[chosen, None]
        places = np.where(inside, self.starts[chosen, None] + columns, 0)
        return np.where(inside, self.words[places], filler).astype(np.int32)


def _common_lengths(
    ours: _Sentences, theirs: _Sentences, image: Int64[np.ndarray, " R"]
) -> Int64[np.ndarray, " R"]:
    """Compute the length of the longest common subsequence of each reference and its candidate."""
    order = np.argsort(np.maximum(ours.lengths[image], theirs.lengths))
    common = np.empty(len(order), np.int64)
    for begin in range(0, len(order), _GROUP):
        group = order[begin : begin + _GROUP]
        left, right = ours.padded(image[group], -1), theirs.padded(group, -2)
        # The usual dynamic programme, one row of all pairs at a time: the running maximum over the
        # row replaces the step to the right.
        row = np.zeros((len(group), right.shape[1] + 1), np.int32)
        for word in left.T:
            match = row[:, :-1] + (right == word[:, None])
            row[:, 1:] = np.maximum.accumulate(np.maximum(row[:, 1:], match), axis=1)
        common[group] = row[:, -1]
    return common
