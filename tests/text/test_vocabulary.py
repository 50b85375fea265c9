import codecs
import hashlib
import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.text.vocabulary import END, NULL, START, UNK, Vocabulary, decode_captions

WORDS = (NULL, START, END, UNK, "a", "cat", "on", "mat")


@pytest.fixture
def vocabulary():
    return Vocabulary(WORDS)


def write(path, idx_to_word, word_to_idx=None):
    if word_to_idx is None:
        word_to_idx = {word: i for i, word in enumerate(idx_to_word)}
    path.write_text(json.dumps({"idx_to_word": idx_to_word, "word_to_idx": word_to_idx}))
    return path


def test_build_puts_the_special_tokens_first(vocabulary):
    assert Vocabulary.build(WORDS[4:]) == vocabulary
    assert len(vocabulary) == 8
    assert (vocabulary.null, vocabulary.start, vocabulary.end, vocabulary.unk) == (0, 1, 2, 3)
    assert vocabulary.word_to_idx["mat"] == 7


@pytest.mark.parametrize("words", [["a", "b", "a"], ["a", END]])
def test_build_refuses_a_word_that_stands_twice(words):
    with pytest.raises(ValueError, match=f"{words[-1]}' stands twice"):
        Vocabulary.build(words)


def test_special_tokens_may_stand_anywhere_but_for_null():
    moved = Vocabulary((NULL, "a", END, "b", START))
    assert (moved.start, moved.end, moved.unk) == (4, 2, None)
    assert moved.encode(["b", "a"], 5).tolist() == [4, 3, 1, 2, 0]
    with pytest.raises(ValueError, match="<NULL> has id 1, expected 0"):
        Vocabulary(("a", NULL, START, END))


def test_digest_tells_order_and_boundaries_apart():
    lists = [["a", "b"], ["b", "a"], ["ab"], ["a b"], ['a", "b'], ["a\nb"], ["a", "b", "c"]]
    digests = {Vocabulary.build(words).digest for words in lists}
    assert len(digests) == len(lists)
    # Checkpoints store it, so that it must not change from one version to the next.
    spelled = b'["<NULL>", "<START>", "<END>", "<UNK>", "a", "\\u00e9"]'
    assert Vocabulary.build(["a", "é"]).digest == hashlib.sha256(spelled).hexdigest()


def test_save_and_load_give_the_same_words_and_bytes(tmp_path):
    vocabulary = Vocabulary.build(["café", "猫", 'a "quoted" word', "back\\slash"])
    vocabulary.save(tmp_path / "one.json")
    loaded = Vocabulary.load(tmp_path / "one.json")
    assert loaded == vocabulary and loaded.digest == vocabulary.digest
    loaded.save(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert json.loads((tmp_path / "one.json").read_bytes()) == {
        "idx_to_word": list(vocabulary.idx_to_word),
        "word_to_idx": vocabulary.word_to_idx,
    }


def test_load_reads_utf8_words(tmp_path):
    path = tmp_path / "v.json"
    words = [*WORDS[:4], "naïve"]
    numbers = {word: i for i, word in enumerate(words)}
    text = json.dumps({"idx_to_word": words, "word_to_idx": numbers}, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    assert Vocabulary.load(path).idx_to_word[4] == "naïve"


@pytest.mark.parametrize(
    "words, message",
    [
        ((NULL, END, UNK, "a"), "<START> is missing"),
        ((NULL, START, "a"), "<END> is missing"),
        ((START, END, "a"), "<NULL> is missing"),
        ((START, NULL, END), "<NULL> has id 1, expected 0"),
        ((NULL, START, END, "a", "a"), "'a' stands twice, as ids 3 and 4"),
        ((NULL, START, END, 7), r"idx_to_word\[3\] is 7, expected a string"),
        ((NULL, START, END, " "), r"idx_to_word\[3\] is ' ', expected a word"),
        ((), "<NULL> is missing"),
    ],
)
def test_load_refuses_bad_words(tmp_path, words, message):
    path = write(tmp_path / "bad.json", words)
    with pytest.raises(ValueError, match=rf"bad\.json: .*{message}"):
        Vocabulary.load(path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"cat": 6, "on": 5}, "'cat' has id 5 in idx_to_word but 6 in word_to_idx"),
        ({"dog": 8}, "'dog' has id None in idx_to_word but 8 in word_to_idx"),
        ({"cat": None}, "'cat' has id 5 in idx_to_word but None in word_to_idx"),
    ],
)
def test_load_refuses_two_numberings_that_disagree(tmp_path, vocabulary, change, message):
    path = write(tmp_path / "bad.json", WORDS, vocabulary.word_to_idx | change)
    with pytest.raises(ValueError, match=rf"bad\.json: the word {message}"):
        Vocabulary.load(path)


TEXT = json.dumps({"idx_to_word": WORDS, "word_to_idx": {w: i for i, w in enumerate(WORDS)}})


@pytest.mark.parametrize(
    "raw, message",
    [
        (codecs.BOM_UTF8 + TEXT.encode(), "byte-order mark of UTF-8; save it as UTF-8 without"),
        (TEXT.encode("utf-16"), "byte-order mark of UTF-16; save it as UTF-8 without"),
        (TEXT.replace("cat", "caf\xe9").encode("latin-1"), r"byte \d+ is not UTF-8 \(0xe9\)"),
        (TEXT[:40].encode(), "not JSON"),
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "holds a list, expected a JSON object"),
        (b'{"idx_to_word": []}', "has no word_to_idx"),
        (b'{"word_to_idx": {}}', "has no idx_to_word"),
        (b'{"idx_to_word": {"0": "a"}, "word_to_idx": {}}', "idx_to_word is a dict"),
    ],
    ids=["bom8", "bom16", "latin1", "cut", "empty", "deep", "list", "half", "other", "dict"],
)
def test_load_refuses_other_files(tmp_path, raw, message):
    path = tmp_path / "bad.json"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=rf"bad\.json: .*{message}"):
        Vocabulary.load(path)


def test_load_names_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json: no such file"):
        Vocabulary.load(tmp_path / "none.json")


def test_encode_pads_and_replaces_unknown_words(vocabulary):
    ids = vocabulary.encode(["a", "dog", "on", "mat"], 8)
    assert ids.dtype == np.int32
    assert ids.tolist() == [1, 4, 3, 6, 7, 2, 0, 0]
    assert vocabulary.encode([], 2).tolist() == [1, 2]


def test_encode_fills_the_last_place_and_no_more(vocabulary):
    assert vocabulary.encode(["a"] * 6, 8).tolist() == [1, 4, 4, 4, 4, 4, 4, 2]
    with pytest.raises(ValueError, match="7 words .* needs 9 places and has 8"):
        vocabulary.encode(["a"] * 7, 8)


def test_encode_names_an_unknown_word_without_unk():
    with pytest.raises(ValueError, match="'dog' is not in the vocabulary, which has no <UNK>"):
        Vocabulary((NULL, START, END, "a")).encode(["a", "dog"], 8)


def test_encode_refuses_one_string(vocabulary):
    with pytest.raises(ValueError, match="split it"):
        vocabulary.encode("a cat", 12)


@pytest.mark.parametrize("array", [list, np.array, jnp.array])
def test_decode_gives_clean_sentences(vocabulary, array):
    assert vocabulary.decode(array([1, 4, 5, 2, 0, 0])) == "a cat"
    assert vocabulary.decode(array([1, 4, 0, 3, 2, 5])) == "a <UNK>"
    assert vocabulary.decode(array([4, 5, 6])) == "a cat on"
    assert vocabulary.decode(array([2])) == ""


def test_decode_inverts_encode(vocabulary):
    words = ["a", "cat", "on", "a", "mat"]
    assert vocabulary.decode(vocabulary.encode(words, 17)) == " ".join(words)


def course_decode_captions(captions, idx_to_word):
    """The rule in the notebook's words: stop at and with <END>, leave out <NULL>."""
    sentences = []
    for row in captions:
        ended = [i for i, j in enumerate(row) if idx_to_word[j] == END]
        row = row[: ended[0] + 1] if ended else row
        sentences.append(" ".join(idx_to_word[j] for j in row if idx_to_word[j] != NULL))
    return sentences


def test_decode_captions_keeps_start_and_end():
    captions = np.array([[1, 4, 5, 2, 0, 0], [1, 4, 0, 5, 6, 7], [0, 0, 0, 0, 0, 0]])
    expected = ["<START> a cat <END>", "<START> a cat on mat", ""]
    assert decode_captions(captions, WORDS) == expected
    assert decode_captions(captions[0], WORDS) == expected[0]
    assert decode_captions(jnp.asarray(captions, jnp.int32), list(WORDS)) == expected


def test_decode_captions_agrees_with_the_rule_on_random_ids():
    captions = np.random.default_rng(0).integers(0, len(WORDS), (200, 9))
    assert decode_captions(captions, WORDS) == course_decode_captions(captions, WORDS)


@pytest.mark.parametrize("bad", [8, -1])
def test_ids_outside_the_vocabulary_are_named(vocabulary, bad):
    message = f"id {bad} is outside the vocabulary of 8 words"
    with pytest.raises(ValueError, match=message):
        decode_captions(np.array([[1, 4, 2, 0], [1, bad, 2, 0]]), WORDS)
    with pytest.raises(ValueError, match=message):
        vocabulary.decode([1, bad, 2])


def test_decode_captions_refuses_other_ranks():
    with pytest.raises(ValueError, match=r"shape \(1, 1, 2\), expected \(N, T\) or \(T,\)"):
        decode_captions(np.zeros((1, 1, 2), int), WORDS)
