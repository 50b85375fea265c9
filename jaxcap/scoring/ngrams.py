"""Counts of n-grams in many sentences at once, on which BLEU and CIDEr-D rest.

Words are numbered, and an n-gram is numbered by the pair of the number of its first n-1 words and
that of its last, which fits 64 bits whatever the vocabulary, so that two n-grams never share a
number. All else is sorting.
"""

from collections.abc import Sequence
from itertools import chain, count
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Shaped


class NgramCounts(NamedTuple):
    """How often each n-gram of one order occurs in each sentence, E pairs in all."""

    sentence: Int64[np.ndarray, " E"]  # rising
    gram: Int64[np.ndarray, " E"]  # rising within a sentence
    times: Int64[np.ndarray, " E"]  # at least 1


class Counted(NamedTuple):
    """S sentences, counted."""

    lengths: Int64[np.ndarray, " S"]  # in words
    orders: tuple[NgramCounts, ...]  # for n = 1, 2, ...


class NgramIndex:
    """Numbers for the n-grams of some sentences, under which other sentences can be counted.

    Args:
        sentences: lists of words. A word with a blank inside, as the tokenizer makes of "1 1/2",
            counts as several, as it does in the reference scorer.
        orders: the largest n.

    Attributes:
        counted: the sentences themselves.
        sizes: for n = 1, 2, ..., how many n-grams are known; their numbers are below that.
    """

    def __init__(self, sentences: Sequence[Sequence[str]], orders: int = 4) -> None:
        self._words: dict[str, int] = {}
        # For n = 2, 3, ...: the known pairs, rising. A pair's place is the n-gram's number.
        self._pairs: list[Int64[np.ndarray, " G"]] = [np.empty(0, np.int64)] * (orders - 1)
        self.counted = self._count(sentences, self._words)
        self.sizes = (len(self._words), *map(len, self._pairs))

    def count(self, sentences: Sequence[Sequence[str]]) -> Counted:
        """Count the n-grams of other sentences; those not known are numbered from `sizes` on.

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
    """Number the words of S sentences.

    Args:
        sentences: lists of words.
        numbers: the numbers of words; those that it lacks are added.
        split_blanks: take a word with a blank inside for several.

    Returns:
        The sentences' lengths, and the numbers of all their words in a row.
    """
    # The loops over all words run inside these functions, several times as fast as in Python.
    new = dict.fromkeys(chain.from_iterable(sentences)).keys() - numbers.keys()
    if split_blanks and any(word.split() != [word] for word in new):
        return number_words([" ".join(sentence).split() for sentence in sentences], numbers)
    numbers.update(zip(sorted(new), count(len(numbers))))
    lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
    words = map(numbers.__getitem__, chain.from_iterable(sentences))
    return lengths, np.fromiter(words, np.int64, int(lengths.sum()))


def starts_of_runs(keys: Int64[np.ndarray, " K"]) -> Int64[np.ndarray, " D"]:
    """Where each run of equal keys begins."""
    return np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])


def distinct(keys: Int64[np.ndarray, " K"]) -> Int64[np.ndarray, " D"]:
    """The different keys, rising. `np.unique` hashes, which is many times as slow here."""
    keys = np.sort(keys)
    return keys[starts_of_runs(keys)]


def places_of(
    known: Int64[np.ndarray, " G"], keys: Int64[np.ndarray, " K"]
) -> Int64[np.ndarray, " K"]:
    """The place of each key in the rising array `known`, or -1 where it is not there."""
    if not len(known):
        return np.full(len(keys), -1)
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[places] == keys, places, -1)


def sum_at(
    places: Int64[np.ndarray, " K"], values: Shaped[np.ndarray, " K"], length: int
) -> Float64[np.ndarray, " length"]:
    """Sum values by place."""
    # Without values np.bincount would give integers.
    return np.bincount(places, values, length).astype(np.float64, copy=False)


def _look_up(
    known: Int64[np.ndarray, " G"], keys: Int64[np.ndarray, " K"]
) -> Int64[np.ndarray, " K"]:
    """Number keys by their places in `known`, and those not there from its length on."""
    grams = places_of(known, keys)
    new = grams < 0
    grams[new] = len(known) + np.unique(keys[new], return_inverse=True)[1]
    return grams


def _tally(sentence: Int64[np.ndarray, " K"], gram: Int64[np.ndarray, " K"]) -> NgramCounts:
    size = int(gram.max(initial=0)) + 1
    keys = np.sort(sentence * size + gram)
    first = starts_of_runs(keys)
    return NgramCounts(*np.divmod(keys[first], size), np.diff(first, append=len(keys)))
