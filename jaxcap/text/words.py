"""Captions to words, words to a vocabulary, and how much of the captions the vocabulary covers."""

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
"""Ways to split a caption into words in small letters: as the reference scorer does, at white
space, or into characters, for languages that write no spaces."""


def split_words(caption: str, tokenizer: str) -> tuple[str, ...]:
    """Split a caption into words by one of `TOKENIZERS`.

    Letters with marks are composed first, so that both spellings of one word are one.
    """
    words = TOKENIZERS[tokenizer](unicodedata.normalize("NFC", caption))
    return tuple(sys.intern(word) for word in words)


def choose_words(captions: Iterable[Sequence[str]], min_count: int) -> Vocabulary:
    """Make a vocabulary of the words that stand `min_count` times or more in the captions.

    Args:
        captions: the words of each.
        min_count: how often a word must be seen.

    Returns:
        The words by falling count, alphabetically among equals, after the special tokens.

    Raises:
        ValueError: no word is seen so often.
    """
    counts = Counter(word for words in captions for word in words)
    chosen = [word for word, count in counts.items() if count >= min_count]
    if not chosen:
        most = max(counts.values(), default=0)
        raise ValueError(
            f"no word is seen {min_count} times in the training captions, the commonest "
            f"{most} times: lower `min_count`, or see whether `tokenizer` suits the language"
        )
    return Vocabulary.build(sorted(chosen, key=lambda word: (-counts[word], word)))


@dataclass(frozen=True)
class Coverage:
    """How much of some captions a vocabulary knows.

    Attributes:
        words: all words in them.
        unknown: those that become `<UNK>`.
        captions: all captions.
        touched: those with an unknown word.
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
    """Count the words of captions that a vocabulary lacks."""
    known = vocabulary.word_to_idx
    unknown = [sum(word not in known for word in words) for words in captions]
    return Coverage(
        words=sum(map(len, captions)),
        unknown=sum(unknown),
        captions=len(captions),
        touched=sum(map(bool, unknown)),
    )


def warn_of_unknown_words(coverage: Coverage, tokenizer: str) -> None:
    """Warn where so many words are unknown that something other than rare words is the cause."""
    share = coverage.unknown / max(coverage.words, 1)
    if share > _MUCH_UNKNOWN:
        warnings.warn(
            f"{share:.0%} of the words in the training captions are <UNK>: lower `min_count` for a "
            "small data set; for a language that writes no spaces between words take "
            f"`tokenizer=character` (now {tokenizer})",
            stacklevel=2,
        )
