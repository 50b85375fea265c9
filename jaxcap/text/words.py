"""From captions to words and a vocabulary, and how much of the captions it covers."""

import sys
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from jaxcap.text.tokenizer import tokenize
from jaxcap.text.vocabulary import Vocabulary

_MUCH_UNKNOWN = 0.2


def _by_space(caption: str) -> list[str]:
    return caption.lower().split()


def _by_character(caption: str) -> list[str]:
    return [character for character in caption.lower() if not character.isspace()]


TOKENIZERS: Mapping[str, Callable[[str], list[str]]] = {
    "ptb": tokenize,
    "space": _by_space,
    "character": _by_character,
}
"""Functions that split a caption into words in lower case: as the reference scorer does, at white
space, or into characters, for languages written without spaces."""


def split_words(caption: str, tokenizer: str) -> tuple[str, ...]:
    """Split a caption into words by one of `TOKENIZERS`.

    Letters with marks are composed (NFC) first, so both encodings of a word are equal.
    """
    words = TOKENIZERS[tokenizer](unicodedata.normalize("NFC", caption))
    return tuple(sys.intern(word) for word in words)


def choose_words(captions: Iterable[Sequence[str]], min_count: int) -> Vocabulary:
    """Build a vocabulary of the words that occur at least `min_count` times in the captions.

    Args:
        captions: the words of each caption.
        min_count: smallest number of occurrences.

    Returns:
        The special tokens, then the words by decreasing count, ties in alphabetical order.

    Raises:
        ValueError: no word occurs so often.
    """
    counts = Counter(word for words in captions for word in words)
    chosen = [word for word, count in counts.items() if count >= min_count]
    if not chosen:
        most = max(counts.values(), default=0)
        raise ValueError(
            f"no word occurs {min_count} times in the training captions, the most common one "
            f"{most} times; lower `min_count`, or check that `tokenizer` suits the language"
        )
    return Vocabulary.build(sorted(chosen, key=lambda word: (-counts[word], word)))


@dataclass(frozen=True)
class Coverage:
    """How much of some captions a vocabulary covers.

    Attributes:
        words: number of words.
        unknown: number of words that become `<UNK>`.
        captions: number of captions.
        touched: number of captions with an unknown word.
    """

    words: int
    unknown: int
    captions: int
    touched: int

    def __str__(self) -> str:
        return (
            f"{self.unknown / max(self.words, 1):.1%} of {self.words:,} words and "
            f"{self.touched / max(self.captions, 1):.1%} of {self.captions:,} captions"
        )


def measure_coverage(captions: Sequence[Sequence[str]], vocabulary: Vocabulary) -> Coverage:
    """Count the words of captions that are outside a vocabulary."""
    known = vocabulary.word_to_idx
    unknown = [sum(word not in known for word in words) for words in captions]
    return Coverage(
        words=sum(map(len, captions)),
        unknown=sum(unknown),
        captions=len(captions),
        touched=sum(map(bool, unknown)),
    )


def warn_of_unknown_words(coverage: Coverage, tokenizer: str) -> None:
    """Warn if more words are unknown than rare words explain."""
    share = coverage.unknown / max(coverage.words, 1)
    if share > _MUCH_UNKNOWN:
        warnings.warn(
            f"{share:.0%} of the words in the training captions are <UNK>; lower `min_count` for a "
            f"small data set, or use `tokenizer=character` (now {tokenizer}) for a language "
            "without spaces",
            stacklevel=2,
        )
