"""Vocabularies from captions: their order, their tokenizers, what they cover."""

import warnings

import pytest

from jaxcap.text.words import (
    Coverage,
    choose_words,
    measure_coverage,
    split_words,
    warn_of_unknown_words,
)

CAPTIONS = [("a", "cat"), ("a", "dog"), ("a", "dog", "and", "a", "cat"), ("zebra",)]


def test_words_by_falling_count_then_alphabetically():
    assert choose_words(CAPTIONS, 2).idx_to_word[4:] == ("a", "cat", "dog")
    assert choose_words(CAPTIONS, 1).idx_to_word[4:] == ("a", "cat", "dog", "and", "zebra")
    with pytest.raises(ValueError, match="no word is seen 5 times .* commonest 4 times"):
        choose_words(CAPTIONS, 5)


def test_coverage_by_hand():
    found = measure_coverage(CAPTIONS, choose_words(CAPTIONS, 2))
    assert found == Coverage(words=10, unknown=2, captions=4, touched=2)
    assert str(found) == "20.0% of 10 words and 50.0% of 4 captions"


def test_only_more_than_a_fifth_unknown_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_unknown_words(Coverage(10, 2, 4, 2), "ptb")
    with pytest.warns(UserWarning, match="30% of the words .* --tokenizer=character .now space"):
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
