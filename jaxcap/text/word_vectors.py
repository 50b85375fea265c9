"""Word vectors of others, such as GloVe's: those of a vocabulary, from a file of any size.

Two layouts are read:

- text, a line for each word: the word, then its numbers, between spaces, as GloVe and fastText
  write them. A first line with the two counts, as word2vec writes it, is skipped. A word may hold
  spaces, as some of GloVe's do: the numbers are the last of the line.
- `NAME.npy` (N, D), of floats, with the word of each row on the lines of `NAME.txt`.

Only the rows of the vocabulary's words are kept; where a word is there twice, the first counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from jaxcap.files import AnyPath
from jaxcap.files.kinds import kind_of
from jaxcap.files.text import check_file, one_line, quote, unreadable
from jaxcap.text.vocabulary import END, NULL, START, UNK, Vocabulary

_LONGEST_LINE = 1 << 20
_EXPECTED = "word vectors, a word and its numbers a line, or a .npy file"


@dataclass(frozen=True, eq=False)
class WordVectors:
    """The vectors that a file has of a vocabulary's words.

    Attributes:
        ids: (K,) ids of the words that have one.
        vectors: (K, D) float32, a row each.
        num_words: the words of the vocabulary, without the special ones.
    """

    ids: Int[np.ndarray, " K"]
    vectors: Float[np.ndarray, "K D"]
    num_words: int

    @property
    def coverage(self) -> str:
        """How many of the words have a vector, and of which width."""
        num, width = self.vectors.shape
        return f"{num:,} of {self.num_words:,} words, in {width} dimensions"


def read_word_vectors(path: AnyPath, vocabulary: Vocabulary) -> WordVectors:
    """Read the vectors of a vocabulary's words.

    Args:
        path: a text file, or a `.npy` file beside a `.txt` file with its words.
        vocabulary: the words.

    Raises:
        FileNotFoundError: the file, or the words of a `.npy` file, are missing.
        ValueError: the file has another layout, or none of the words; the message names the line.
        OSError: the file cannot be read.
    """
    path = check_file(path, expected=_EXPECTED)
    special = {NULL, START, END, UNK}
    words = {
        word.encode(): index
        for index, word in enumerate(vocabulary.idx_to_word)
        if word not in special
    }
    try:
        found = _read_npy(path, words) if path.suffix == ".npy" else _read_text(path, words)
    except OSError as error:
        raise error if error.errno is None else unreadable(path, error) from error
    if not found:
        raise ValueError(
            f"{path}: holds none of the {len(words):,} words of the vocabulary; give vectors of "
            "the language of the captions"
        )
    ids = np.array(sorted(found), np.int32)
    return WordVectors(ids, np.stack([found[index] for index in ids]), len(words))


def _read_text(path: Path, words: dict[bytes, int]) -> dict[int, np.ndarray]:
    found: dict[int, np.ndarray] = {}
    width = None
    for number, line in _lines(path):
        fields = line.split(b" ") if width is None else []
        if width is None:
            if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                continue
            width = len(fields) - 1
            if width < 2:
                raise _wrong(path, number, f"is {_shown(line)}, expected a word and its numbers")
            _numbers(path, number, fields[1:])
        # Most lines are of other words, which their start tells.
        if line.partition(b" ")[0] not in words:
            continue
        word, *values = line.rsplit(b" ", width)
        if len(values) < width:
            problem = f"has {len(values)} numbers, expected {width} as in the lines before"
            raise _wrong(path, number, problem)
        index = words.get(word)
        if index is not None and index not in found:
            found[index] = _numbers(path, number, values)
    if width is None:
        raise ValueError(f"{path}: is empty, expected {_EXPECTED}")
    return found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        start = file.read(512)
        if kind := kind_of(start):
            raise ValueError(f"{path}: is {kind.name}; {kind.remedy}")
        file.seek(0)
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            if b"\0" in line or len(line) == _LONGEST_LINE:
                raise _wrong(
                    path,
                    number,
                    "is not text: of word2vec's binary files, write one as text with gensim's "
                    "`save_word2vec_format(path, binary=False)`",
                )
            if line := line.rstrip():
                yield number, line


def _numbers(path: Path, number: int, fields: list[bytes]) -> np.ndarray:
    try:
        values = np.array(fields).astype(np.float32)
    except ValueError as error:
        raise _wrong(path, number, f"has a number that cannot be read: {one_line(error)}") from None
    if not np.isfinite(values).all():
        raise _wrong(path, number, "holds a number that is NaN or infinite")
    return values


def _wrong(path: Path, number: int, problem: str) -> ValueError:
    return ValueError(f"{path}: line {number} {problem}")


def _shown(line: bytes) -> str:
    return quote(line.decode(errors="replace"))


def _read_npy(path: Path, words: dict[bytes, int]) -> dict[int, np.ndarray]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: cannot be read as .npy: {one_line(error)}") from None
    if array.ndim != 2 or array.dtype.kind != "f":
        raise ValueError(
            f"{path}: has shape {array.shape} of {array.dtype}, expected floats (words, dimensions)"
        )
    beside = check_file(path.with_suffix(".txt"), expected=f"the words of {path.name}, one a line")
    rows: dict[int, int] = {}
    number = 0
    for number, line in _lines(beside):
        index = words.get(line)
        if index is not None:
            rows.setdefault(index, number - 1)
    if number != len(array):
        raise ValueError(f"{beside}: has {number:,} lines, and {path.name} {len(array):,} rows")
    found = {index: np.array(array[row], np.float32) for index, row in rows.items()}
    for index, row in rows.items():
        if not np.isfinite(found[index]).all():
            raise ValueError(f"{path}: row {row} holds a number that is NaN or infinite")
    return found
