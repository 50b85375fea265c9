"""Counts of n-grams in many sentences at once, for BLEU and CIDEr-D.

Words are numbered. An n-gram is numbered by the pair of the number of its first n-1 words and that
of its last word. The pair fits in 64 bits for every vocabulary, so two n-grams never share a
number. The counts come from sorting.
"""

from collections.abc import Sequence
from itertools import chain, count
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Shaped


class NgramCounts(NamedTuple):
    """Counts of each n-gram of one order in each sentence, E pairs in total."""

    sentence: Int64[np.ndarray, " E"]  # sorted
    gram: Int64[np.ndarray, " E"]  # sorted within a sentence
    times: Int64[np.ndarray, " E"]  # at least 1


class Counted(NamedTuple):
    """Counts of S sentences."""

    lengths: Int64[np.ndarray, " S"]  # in words
    orders: tuple[NgramCounts, ...]  # for n = 1, 2, ...


class NgramIndex:
    """Numbers of the n-grams of some sentences, used to count other sentences.

    Args:
        sentences: lists of words. A word with a blank inside, as the tokenizer makes of "1 1/2",
            counts as several, as in the reference scorer.
        orders: the largest n.

    Attributes:
        counted: counts of the sentences themselves.
        sizes: number of known n-grams for n = 1, 2, ...; their numbers are below it.
    """

    def __init__(self, sentences: Sequence[Sequence[str]], orders: int = 4) -> None:
        self._words: dict[str, int] = {}
        # For n = 2, 3, ...: the known pairs, sorted. The place of a pair numbers its n-gram.
        self._pairs: list[Int64[np.ndarray, " G"]] = [np.empty(0, np.int64)] * (orders - 1)
        self.counted = self._count(sentences, self._words)
        self.sizes = (len(self._words), *map(len, self._pairs))

    def count(self, sentences: Sequence[Sequence[str]]) -> Counted:
        """Count the n-grams of other sentences; unknown n-grams are numbered from `sizes` on.

        Args:
            sentences: lists of words.
        """
        return self._count(sentences, dict(self._words))

    def _count(self, sentences: Sequence[Sequence[str]], numbers: dict[str, int]) -> Counted:
        lengths, words = number_words(sentences, numbers, split_blanks=True)
        sentence = np.repeat(np.arange(len(lengths)), lengths)
        last = np.repeat(np.cumsum(lengths) - 1, lengths)
        places, grams = np.arange(len(words)), words
        orders = [_tally(sentence, grams)]
        for n, pairs in enumerate(self._pairs, start=2):
            fits = places + n - 1 <= last[places]
            places = places[fits]
            keys = grams[fits] << 32 | words[places + n - 1]
            if numbers is self._words:
                self._pairs[n - 2], grams = np.unique(keys, return_inverse=True)
            else:
                grams = _look_up(pairs, keys)
            orders.append(_tally(sentence[places], grams))
        return Counted(lengths, tuple(orders))


def number_words(
    sentences: Sequence[Sequence[str]], numbers: dict[str, int], split_blanks: bool = False
) -> tuple[Int64[np.ndarray, " S"], Int64[np.ndarray, " K"]]:
    """Convert the words of S sentences to numbers.

    Args:
        sentences: lists of words.
        numbers: the numbers of words; new words are added.
        split_blanks: split words with a blank inside.

    Returns:
        The lengths of the sentences, and the numbers of all their words, concatenated.
    """
    # The loops over all words run inside these functions, several times faster than in Python.
    new = dict.fromkeys(chain.from_iterable(sentences)).keys() - numbers.keys()
    if split_blanks and any(word.split() != [word] for word in new):
        return number_words([" ".join(sentence).split() for sentence in sentences], numbers)
    numbers.update(zip(sorted(new), count(len(numbers))))
    lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
    words = map(numbers.__getitem__, chain.from_iterable(sentences))
    return lengths, np.fromiter(words, np.int64, int(lengths.sum()))


def starts_of_runs(keys: Int64[np.ndarray, " K"]) -> Int64[np.ndarray, " D"]:
    """Find where each run of equal keys begins."""
    return np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])


def distinct(keys: Int64[np.ndarray, " K"]) -> Int64[np.ndarray, " D"]:
    """Find the different keys, sorted; many times faster here than the hashing `np.unique`."""
    keys = np.sort(keys)
    return keys[starts_of_runs(keys)]


def places_of(
    known: Int64[np.ndarray, " G"], keys: Int64[np.ndarray, " K"]
) -> Int64[np.ndarray, " K"]:
    """Find the place of each key in the sorted array `known`, or -1 if it is absent."""
    if not len(known):
        return np.full(len(keys), -1)
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[places] == keys, places, -1)


def sum_at(
    places: Int64[np.ndarray, " K"], values: Shaped[np.ndarray, " K"], length: int
) -> Float64[np.ndarray, " length"]:
    """Sum values by place."""
    # Without values np.bincount returns integers.
    return np.bincount(places, values, length).astype(np.float64, copy=False)


def _look_up(
    known: Int64[np.ndarray, " G"], keys: Int64[np.ndarray, " K"]
) -> Int64[np.ndarray, " K"]:
    """Convert keys to their places in `known`; absent keys are numbered from its length on."""
    grams = places_of(known, keys)
    new = grams < 0
    grams[new] = len(known) + np.unique(keys[new], return_inverse=True)[1]
    return grams


def _tally(sentence: Int64[np.ndarray, " K"], gram: Int64[np.ndarray, " K"]) -> NgramCounts:
    size = int(gram.max(initial=0)) + 1
    keys = np.sort(sentence * size + gram)
    first = starts_of_runs(keys)
    return NgramCounts(*np.divmod(keys[first], size), np.diff(first, append=len(keys)))
