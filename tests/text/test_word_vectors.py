"""Word vectors: which rows are taken from which files, and what is refused."""

import gzip

import numpy as np
import pytest

from jaxcap.text.vocabulary import Vocabulary
from jaxcap.text.word_vectors import read_word_vectors

VOCABULARY = Vocabulary.build(["cat", "the", "猫", "absent"])
LINES = ["the 0.5 -1 2e-1", "<UNK> 9 9 9", "cat 1 2 3", ". . 7 7 7", "the end 8 8 8", "猫 4 5 6"]


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("header", [[], ["6 3"]])
def test_the_rows_of_the_vocabulary_are_taken_from_text(tmp_path, header):
    # Trailing spaces are fastText's; the first row of a word counts.
    lines = [*header, *(f"{line} " for line in LINES), "cat 0 0 0"]
    found = read_word_vectors(write(tmp_path / "v.txt", *lines), VOCABULARY)
    assert found.ids.tolist() == [4, 5, 6] and found.vectors.dtype == np.float32
    np.testing.assert_allclose(found.vectors, [[1, 2, 3], [0.5, -1, 0.2], [4, 5, 6]])
    assert found.coverage == "3 of 4 words, in 3 dimensions"


def test_npy_has_its_words_beside_it(tmp_path):
    array = np.arange(6, dtype=np.float16).reshape(3, 2)
    np.save(tmp_path / "v.npy", np.asfortranarray(array))
    with pytest.raises(FileNotFoundError, match="v.txt: no such file, expected the words of v.npy"):
        read_word_vectors(tmp_path / "v.npy", VOCABULARY)
    write(tmp_path / "v.txt", "猫", "dog", "the")
    found = read_word_vectors(tmp_path / "v.npy", VOCABULARY)
    assert found.ids.tolist() == [5, 6] and found.vectors.tolist() == [[4, 5], [0, 1]]
    write(tmp_path / "v.txt", "猫", "dog")
    with pytest.raises(ValueError, match="v.txt: has 2 lines, and v.npy 3 rows"):
        read_word_vectors(tmp_path / "v.npy", VOCABULARY)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["the 1 2", "cat 1"], "line 2 has 1 numbers, expected 2 as in the lines before"),
        (["a 1 2", "cat 1 x"], "line 2 has a number that cannot be read"),
        (["a 1 2", "cat 1 nan"], "line 2 holds a number that is NaN"),
        (["3 2", "a b c"], "line 2 has a number that cannot be read"),
        (['{"the":', "[1]}"], "line 1 is '{\"the\":', expected a word and its numbers"),
        (["dog 1 2"], "holds none of the 4 words"),
        (["3 2", "the \0\1\2"], "line 2 is not text.*binary=False"),
        ([], "is empty, expected word vectors"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, lines, message):
    with pytest.raises(ValueError, match=f"v.txt: {message}"):
        read_word_vectors(write(tmp_path / "v.txt", *lines), VOCABULARY)


def test_other_kinds_of_files_are_refused(tmp_path):
    (tmp_path / "v.gz").write_bytes(gzip.compress(b"the 1 2\n"))
    with pytest.raises(ValueError, match="v.gz: is .*gzip"):
        read_word_vectors(tmp_path / "v.gz", VOCABULARY)
    write(tmp_path / "v.txt", "the")
    for array, message in (
        (np.ones(3), "shape .3,. of float64"),
        (np.array(["a", None]), "Python objects"),
    ):
        np.save(tmp_path / "v.npy", array, allow_pickle=True)
        with pytest.raises(ValueError, match=f"v.npy: .*{message}"):
            read_word_vectors(tmp_path / "v.npy", VOCABULARY)
    (tmp_path / "v.npy").write_bytes(b"")
    with pytest.raises(ValueError, match="v.npy: cannot be read as .npy"):
        read_word_vectors(tmp_path / "v.npy", VOCABULARY)
