"""Words and their ids; what is wrong with a file of them is in `tests/files/test_bad_files.py`."""

import hashlib
import json
import re
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.text.vocabulary import END, NULL, START, UNK, Vocabulary, decode_captions
from jaxcap.text.words import (
    Coverage,
    choose_words,
    measure_coverage,
    split_words,
    warn_of_unknown_words,
)

WORDS = (NULL, START, END, UNK, "a", "cat", "on", "na\u00efve")
VOCABULARY = Vocabulary(WORDS)
CAPTIONS = [("a", "cat"), ("a", "dog"), ("a", "dog", "and", "a", "cat"), ("zebra",)]


def test_words_have_ids_and_a_digest():
    assert Vocabulary.build(WORDS[4:]) == VOCABULARY and len(VOCABULARY) == 8
    special = (VOCABULARY.null, VOCABULARY.start, VOCABULARY.end, VOCABULARY.unk)
    assert special == (0, 1, 2, 3) and VOCABULARY.word_to_idx["cat"] == 5
    moved = Vocabulary((NULL, "a", END, "b", START))
    assert (moved.start, moved.end, moved.unk) == (4, 2, None)
    assert moved.encode(["b", "a"], 5).tolist() == [4, 3, 1, 2, 0]
    for words in (["a", "b", "a"], ["a", END]):
        with pytest.raises(ValueError, match=f"{words[-1]}' is repeated"):
            Vocabulary.build(words)
    # Order and boundaries tell digests apart.
    lists = [["a", "b"], ["b", "a"], ["ab"], ["a b"], ['a", "b'], ["a\nb"], ["a", "b", "c"]]
    assert len({Vocabulary.build(words).digest for words in lists}) == len(lists)
    assert moved.digest == hashlib.sha256(json.dumps(moved.idx_to_word).encode()).hexdigest()


def test_files_are_the_courses_json(tmp_path):
    VOCABULARY.save(str(tmp_path / "v.json"))
    value = {"idx_to_word": list(WORDS), "word_to_idx": {word: i for i, word in enumerate(WORDS)}}
    assert json.loads((tmp_path / "v.json").read_text("ascii")) == value
    (tmp_path / "u.json").write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    assert all(Vocabulary.load(tmp_path / name) == VOCABULARY for name in ("v.json", "u.json"))


@pytest.mark.parametrize("array", [list, np.array, jnp.array])
def test_captions_are_numbered_and_spelled(array):
    ids = VOCABULARY.encode(["a", "dog", "on"], 8)
    assert ids.dtype == np.int32 and ids.tolist() == [1, 4, 3, 6, 2, 0, 0, 0]
    assert VOCABULARY.encode([], 2).tolist() == [1, 2]
    spelled = {(1, 4, 5, 2, 0): "a cat", (1, 4, 0, 3, 2, 5): "a <UNK>", (4, 5): "a cat", (2,): ""}
    for caption, sentence in spelled.items():
        assert VOCABULARY.decode(array(caption)) == sentence
    # As the course does: up to and with <END>, without <NULL>.
    captions = np.array([[1, 4, 5, 2, 0, 0], [1, 4, 0, 5, 6, 7], [0] * 6], np.int32)
    expected = ["<START> a cat <END>", "<START> a cat on na\u00efve", ""]
    assert decode_captions(captions, WORDS) == expected
    assert decode_captions(jnp.asarray(captions), list(WORDS)) == expected
    assert decode_captions(captions[0], WORDS) == expected[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: VOCABULARY.encode(["a"] * 7, 8), "7 words .* needs 9 ids but `length` is 8"),
        (lambda: VOCABULARY.encode("a cat", 12), "found one string 'a cat'; split it"),
        (lambda: Vocabulary(WORDS[:3]).encode(["dog"], 8), "'dog' is not in the vocabulary, whi"),
        (lambda: VOCABULARY.decode([1, 8, 2]), "id 8 is outside the vocabulary of 8 words"),
        (lambda: decode_captions(np.array([[1, -1]]), WORDS), "id -1 is outside the vocabulary"),
        (lambda: decode_captions(np.zeros((1, 1, 2), int), WORDS), r"shape \(1, 1, 2\), expected"),
        (
            lambda: choose_words(CAPTIONS, 5),
            "5 times .* common one 4 times; lower `min_count`",
        ),
    ],
)
def test_what_cannot_be_done_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("一 只 猫 t", "一只<UNK>t"),
        ("a b c d", "a b <UNK> d"),
        ("一只 猫 在 跑", "一只 猫 <UNK> 跑"),
        ("kedi ค b d", "kedi ค <UNK> d"),
    ],
)
def test_characters_of_a_script_without_spaces_stand_together(words, sentence):
    vocabulary = Vocabulary.build(words.split())
    assert vocabulary.sentence([1, 4, 5, 3, 7, 2, 0]) == sentence
    assert vocabulary.decode([1, 4, 5, 3, 7, 2, 0]).count(" ") == 3
    assert vocabulary.of_characters == (max(map(len, words.split())) == 1)


def test_words_are_chosen_by_falling_count_and_cover_so_much():
    vocabulary = choose_words(CAPTIONS, 2)
    assert vocabulary.idx_to_word[4:] == ("a", "cat", "dog")
    assert choose_words(CAPTIONS, 1).idx_to_word[4:] == ("a", "cat", "dog", "and", "zebra")
    found = measure_coverage(CAPTIONS, vocabulary)
    assert found == Coverage(words=10, unknown=2, captions=4, touched=2)
    assert str(found) == "20.0% of 10 words and 50.0% of 4 captions"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_unknown_words(found, "ptb")
    message = re.escape("`tokenizer=character` (now space)")
    with pytest.warns(UserWarning, match=f"30% of the words .* lower `min_count` .*{message}"):
        warn_of_unknown_words(Coverage(10, 3, 4, 2), "space")


@pytest.mark.parametrize(
    ("tokenizer", "caption", "words"),
    [
        ("ptb", "A man, who can't swim.", ("a", "man", "who", "ca", "n't", "swim")),
        ("space", "A man, who can't swim.", ("a", "man,", "who", "can't", "swim.")),
        ("character", "一 只猫 OK", ("一", "只", "猫", "o", "k")),
        ("space", "Cafe\u0301", ("caf\u00e9",)),
    ],
)
def test_tokenizers(tokenizer, caption, words):
    assert split_words(caption, tokenizer) == words
