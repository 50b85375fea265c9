"""Captions, vocabularies and caption files: what is written is read.

What is wrong with a file is in `tests/files/test_bad_files.py`.
"""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcap.formats.read import read_caption_file
from jaxcap.text.vocabulary import END, NULL, START, UNK, Vocabulary, decode_captions
from jaxcap.text.words import TOKENIZERS, split_words

WORDS = st.text(min_size=1, max_size=6).filter(
    lambda word: word.strip() and word not in (NULL, START, END, UNK)
)
WORD_LISTS = st.lists(WORDS, unique=True, max_size=12)


@given(WORD_LISTS, st.data(), st.integers(0, 4))
def test_captions_to_ids_and_back(known, data, more):
    vocabulary = Vocabulary.build(known)
    words = data.draw(st.lists(st.sampled_from(known or [UNK]), max_size=8))
    ids = vocabulary.encode(words, len(words) + 2 + more)
    assert ids[0] == vocabulary.start and ids[len(words) + 1] == vocabulary.end
    assert ids.shape == (len(words) + 2 + more,) and not ids[len(words) + 2 :].any()
    assert vocabulary.decode(ids) == " ".join(words)
    assert decode_captions(ids, vocabulary.idx_to_word) == " ".join([START, *words, END])
    with pytest.raises(ValueError, match=f"needs {len(words) + 2} ids"):
        vocabulary.encode(words, len(words) + 1)
    # Unknown words become <UNK>, and nothing else changes.
    words = data.draw(st.lists(WORDS, max_size=6))
    expected = [word if word in vocabulary.word_to_idx else UNK for word in words]
    assert vocabulary.decode(vocabulary.encode(words, 8)) == " ".join(expected)


@given(WORD_LISTS, st.randoms(use_true_random=False))
def test_vocabularies_to_files_and_back(tmp_path_factory, words, random):
    vocabulary = Vocabulary.build(words)
    path = tmp_path_factory.mktemp("words") / "vocabulary.json"
    vocabulary.save(path)
    loaded = Vocabulary.load(path)
    assert loaded == vocabulary and loaded.digest == vocabulary.digest
    random.shuffle(words)
    other = Vocabulary.build(words)
    assert (other.digest == vocabulary.digest) == (other == vocabulary)


@given(st.text(max_size=60), st.sampled_from(sorted(TOKENIZERS)))
def test_every_text_is_split_into_words_that_a_vocabulary_takes(text, tokenizer):
    words = split_words(text, tokenizer)
    assert all(word.strip() for word in words)
    vocabulary = Vocabulary.build(dict.fromkeys(words))
    assert vocabulary.decode(vocabulary.encode(words, len(words) + 2)) == " ".join(words)


# Characters that end a line or a field have a meaning of their own in some of the formats.
NAMES = st.from_regex(r"[a-z\u00e9\u4e00]{1,8}( [a-z]{1,4})?\.jpg", fullmatch=True)
LINES = st.text(
    st.characters(exclude_characters='\t\r\n"', exclude_categories=["Cs"]), min_size=1, max_size=20
)
CAPTIONS = st.dictionaries(NAMES, st.lists(LINES, min_size=1, max_size=3), min_size=1, max_size=4)


def written(kind, captions):
    """The text of a caption file."""
    pairs = [(name, text) for name, texts in captions.items() for text in texts]
    if kind == "tsv":
        return "".join(f"{name}\t{text}\n" for name, text in pairs)
    if kind == "flickr8k":
        return "".join(f"{name}#{i}\t{text}\r\n" for i, (name, text) in enumerate(pairs))
    if kind == "table":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("image", "caption"), *pairs])
        return text.getvalue()
    if kind == "karpathy":
        sentences = {name: [{"raw": text} for text in texts] for name, texts in captions.items()}
        images = [{"filename": name, "sentences": found} for name, found in sentences.items()]
        return json.dumps({"images": images})
    ids = {name: i for i, name in enumerate(captions)}
    images = [{"id": i, "file_name": name} for name, i in ids.items()]
    annotations = [{"image_id": ids[name], "caption": text} for name, text in pairs]
    return json.dumps({"images": images, "annotations": annotations})


KINDS = st.sampled_from(["tsv", "flickr8k", "table", "karpathy", "coco"])


@given(CAPTIONS, KINDS, st.data())
def test_caption_files_hold_what_was_written_or_are_refused_by_name(
    tmp_path_factory, captions, kind, data
):
    path = tmp_path_factory.mktemp("captions") / "captions"
    raw = bytearray(written(kind, captions).encode())
    path.write_bytes(raw)
    found = read_caption_file(path)
    assert found.format == kind
    assert {image.name: image.captions for image in found.images} == {
        name: list(dict.fromkeys(clean for text in texts if (clean := " ".join(text.split()))))
        for name, texts in captions.items()
    }
    num = sum(map(len, captions.values()))
    assert num == found.empty + found.repeated + sum(len(image.captions) for image in found.images)
    # Cut or changed anywhere.
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=3))
    path.write_bytes(raw)
    try:
        assert all(image.name.strip() for image in read_caption_file(path).images)
    except ValueError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
