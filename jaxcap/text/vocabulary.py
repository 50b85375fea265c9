"""Words and their ids.

A vocabulary is a list of words; the id of a word is its index. Four entries are special: `<NULL>`
pads a caption and has id 0, which the loss ignores, `<START>` opens a caption, `<END>` closes it,
and `<UNK>` replaces every word outside the vocabulary. The file is the course's JSON,
`{"idx_to_word": [...], "word_to_idx": {...}}`.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Array, Int

from jaxcap.files import AnyPath
from jaxcap.files.json import read_json, write_json
from jaxcap.files.text import quote
from jaxcap.text.scripts import is_spaceless

NULL, START, END, UNK = "<NULL>", "<START>", "<END>", "<UNK>"


@dataclass(frozen=True)
class Vocabulary:
    """The words of a data set, in the order of their ids.

    Attributes:
        idx_to_word: the V words; the id of a word is its index.

    Raises:
        ValueError: an entry is blank, a word is repeated, `<START>`, `<END>` or `<NULL>` is
            missing, or the id of `<NULL>` is not 0.

    >>> vocabulary = Vocabulary.build(["a", "cat", "sleeps"])
    >>> ids = vocabulary.encode(["a", "dog", "sleeps"], 6)
    >>> ids.tolist()
    [1, 4, 3, 6, 2, 0]
    >>> vocabulary.decode(ids)
    'a <UNK> sleeps'
    """

    idx_to_word: tuple[str, ...]

    def __post_init__(self) -> None:
        seen: dict[str, int] = {}
        for i, word in enumerate(self.idx_to_word):
            if not word.strip():
                raise ValueError(f"idx_to_word[{i}] is {quote(word)}, expected a word")
            if word in seen:
                raise ValueError(
                    f"the word {quote(word)} is repeated, as ids {seen[word]} and {i}; keep one"
                )
            seen[word] = i
        for special in (NULL, START, END):
            if special not in seen:
                raise ValueError(
                    f"{special} is missing from idx_to_word ({len(seen)} words); "
                    f"a vocabulary needs {NULL} (as id 0), {START} and {END}"
                )
        if seen[NULL] != 0:
            raise ValueError(
                f"{NULL} has id {seen[NULL]}, expected 0, since the loss ignores id 0; "
                f"put {NULL} first and renumber the captions"
            )

    @classmethod
    def build(cls, words: Iterable[str]) -> "Vocabulary":
        """Build a vocabulary: the special tokens from id 0, then `words` in the order given."""
        return cls((NULL, START, END, UNK, *words))

    @classmethod
    def load(cls, path: AnyPath) -> "Vocabulary":
        """Read a vocabulary in the course's JSON form.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is not such a vocabulary; the message names the file and the entry.
        """
        path = Path(path)
        value = read_json(path)
        for field, kind in (("idx_to_word", list), ("word_to_idx", dict)):
            if field not in value:
                raise ValueError(f"{path}: has no {field}, only {quote(sorted(value))}")
            if not isinstance(value[field], kind):
                found = type(value[field]).__name__
                raise ValueError(f"{path}: {field} is a {found}, expected a {kind.__name__}")
        for i, word in enumerate(value["idx_to_word"]):
            if not isinstance(word, str):
                raise ValueError(f"{path}: idx_to_word[{i}] is {quote(word)}, expected a string")
        try:
            vocabulary = cls(tuple(value["idx_to_word"]))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        for word in (*vocabulary.idx_to_word, *value["word_to_idx"]):
            here, there = vocabulary.word_to_idx.get(word), value["word_to_idx"].get(word)
            if here != there:
                raise ValueError(
                    f"{path}: the word {quote(word)} has id {here} in idx_to_word "
                    f"but {quote(there)} in word_to_idx; write one from the other"
                )
        return vocabulary

    def save(self, path: AnyPath) -> None:
        """Write the vocabulary in the course's JSON form."""
        words = {"idx_to_word": list(self.idx_to_word), "word_to_idx": self.word_to_idx}
        write_json(Path(path), words)

    @cached_property
    def word_to_idx(self) -> dict[str, int]:
        """The id of each word."""
        return {word: i for i, word in enumerate(self.idx_to_word)}

    @property
    def null(self) -> int:
        """The id of `<NULL>`, always 0."""
        return self.word_to_idx[NULL]

    @property
    def start(self) -> int:
        """The id of `<START>`."""
        return self.word_to_idx[START]

    @property
    def end(self) -> int:
        """The id of `<END>`."""
        return self.word_to_idx[END]

    @property
    def unk(self) -> int | None:
        """The id of `<UNK>`, or None in a vocabulary without it."""
        return self.word_to_idx.get(UNK)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the words in their order, in hexadecimal.

        It depends on the order: the same words in another order have another digest.
        """
        # JSON quotes each word, so different lists give different text.
        return hashlib.sha256(json.dumps(self.idx_to_word).encode("ascii")).hexdigest()

    @cached_property
    def of_characters(self) -> bool:
        """Whether every word is one character, as `prepare` makes them for some languages."""
        words = [word for word in self.idx_to_word if word not in (NULL, START, END, UNK)]
        return bool(words) and max(map(len, words)) == 1

    @cached_property
    def _joins(self) -> bool:
        """Whether sentences are written without spaces: characters, some of such a script."""
        return self.of_characters and any(map(is_spaceless, self.idx_to_word))

    def __len__(self) -> int:
        return len(self.idx_to_word)

    def encode(self, words: Sequence[str], length: int) -> Int[np.ndarray, "length"]:
        """Convert words to ids: `<START>`, the words, `<END>`, then `<NULL>` up to `length`.

        Args:
            words: the words, without special tokens; `<UNK>` replaces unknown ones.
            length: the number of ids to return.

        Returns:
            int32 ids of shape (length,).

        Raises:
            ValueError: the caption does not fit, or a word is unknown and there is no `<UNK>`.
        """
        if isinstance(words, str):
            raise ValueError(f"expected a list of words, found one string {words!r}; split it")
        if len(words) + 2 > length:
            raise ValueError(
                f"a caption of {len(words)} words with {START} and {END} needs {len(words) + 2} "
                f"ids but `length` is {length}; shorten it or raise `length`: {' '.join(words)!r}"
            )
        ids = np.full(length, self.null, np.int32)
        ids[0], ids[len(words) + 1] = self.start, self.end
        for i, word in enumerate(words, start=1):
            number = self.word_to_idx.get(word, self.unk)
            if number is None:
                raise ValueError(
                    f"the word {word!r} is not in the vocabulary, which has no {UNK}; add either"
                )
            ids[i] = number
        return ids

    def decode(self, ids: Sequence[int] | Int[Array, "T"] | Int[np.ndarray, "T"]) -> str:
        """Convert ids to a clean sentence: the words before `<END>`, without special tokens.

        Args:
            ids: (T,) integers; `<UNK>` is kept as a word.

        Returns:
            The words, separated by spaces.

        Raises:
            ValueError: an id up to `<END>` is outside the vocabulary.
        """
        words = []
        for i in np.asarray(ids).tolist():
            word = _word(self.idx_to_word, i)
            if word == END:
                break
            if word not in (NULL, START):
                words.append(word)
        return " ".join(words)

    def sentence(self, ids: Sequence[int] | Int[Array, "T"] | Int[np.ndarray, "T"]) -> str:
        """Convert ids to a sentence as people write it.

        It is that of `decode`, but without spaces if the words are the characters of a language
        that is written without them. Letters of other scripts beside them then join as well.

        Args, errors: as for `decode`.

        >>> Vocabulary.build(["\u732b", "\u53ea", "\u4e00"]).sentence([1, 6, 5, 4, 2])
        '\u4e00\u53ea\u732b'
        """
        return self.written(self.decode(ids))

    def written(self, sentence: str) -> str:
        """Take the spaces out of a sentence of `decode` if its language is written without them."""
        return sentence.replace(" ", "") if self._joins else sentence


def decode_captions(
    captions: Int[Array, "*N T"] | Int[np.ndarray, "*N T"], idx_to_word: Sequence[str]
) -> list[str] | str:
    """Convert ids to captions as the course's code does: through `<END>`, without `<NULL>`.

    Unlike `Vocabulary.decode`, it keeps `<START>` and `<END>`.

    Args:
        captions: (N, T) or (T,) integers.
        idx_to_word: the V words.

    Returns:
        N strings, or one string for captions of shape (T,).

    Raises:
        ValueError: the captions have another rank, or an id up to `<END>` is outside [0, V).
    """
    rows = np.asarray(captions)
    if rows.ndim not in (1, 2):
        raise ValueError(f"captions have shape {rows.shape}, expected (N, T) or (T,)")
    decoded = []
    for row in np.atleast_2d(rows).tolist():
        words = []
        for i in row:
            word = _word(idx_to_word, i)
            if word != NULL:
                words.append(word)
            if word == END:
                break
        decoded.append(" ".join(words))
    return decoded if rows.ndim == 2 else decoded[0]


def _word(idx_to_word: Sequence[str], i: int) -> str:
    # A negative id would silently count from the end.
    if not 0 <= i < len(idx_to_word):
        raise ValueError(
            f"id {i} is outside the vocabulary of {len(idx_to_word)} words; "
            "use the vocabulary that the captions were written with"
        )
    return idx_to_word[i]
