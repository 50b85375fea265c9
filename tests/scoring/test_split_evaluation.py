"""Where the references of a data set's images come from, and what is refused of them."""

import dataclasses
import json

import numpy as np
import pytest

from jaxcap.data.dataset import references_of
from jaxcap.scoring.split_evaluation import evaluate_split, split_references
from jaxcap.text.vocabulary import Vocabulary

IMAGES = np.array([7, 2])


@pytest.fixture
def data(tiny, tmp_path):
    """Data whose folder is empty."""
    return dataclasses.replace(tiny, folder=tmp_path)


def write(path, captions):
    entries = [{"image_id": i, "caption": text} for i, texts in captions.items() for text in texts]
    path.write_text(json.dumps({"annotations": entries}), encoding="utf-8")
    return path


def test_the_nearest_references_are_taken(data, tmp_path):
    found = split_references(data, "val", IMAGES)
    assert list(found.captions) == [7, 2]
    assert list(found.captions.values()) == references_of(data.val, IMAGES, data.vocabulary)
    assert "where rare words are <UNK> (in 0 of 2 captions)" in found.source
    own = write(tmp_path / "references_val.json", {2: ["A cat."], 7: ["A dog.", "A dog."], 9: [""]})
    with pytest.warns(UserWarning, match="1 references are empty"):
        found = split_references(data, "val", IMAGES)
    assert found.captions == {7: ["A dog.", "A dog."], 2: ["A cat."]}
    assert found.source == f"captions as written, of {own}"
    assert "word ids" in split_references(data, "train", IMAGES).source
    named = write(tmp_path / "mine.json", {2: ["Two"], 7: ["Red"]})
    assert split_references(data, "val", IMAGES, named).captions == {7: ["Red"], 2: ["Two"]}


def test_references_of_another_split_are_refused(data, tmp_path):
    file = write(tmp_path / "mine.json", {2: ["A cat."], 10: ["A dog."]})
    with pytest.raises(ValueError, match=r"mine.json: has image 10, expected 0 to 9; .* of val in"):
        split_references(data, "val", IMAGES, file)
    write(file, {2: ["A cat."]})
    with pytest.raises(ValueError, match="mine.json: has no caption of image 7"):
        split_references(data, "val", IMAGES, file)


def test_references_of_other_pictures_are_refused(data, tmp_path):
    urls = np.array([f"file:///photos/no%20{i}.jpg" for i in range(10)], np.bytes_)
    val = dataclasses.replace(data.val, urls=urls)
    data = dataclasses.replace(data, splits={**data.splits, "val": val})
    file = write(tmp_path / "mine.json", {2: ["A cat."], 7: ["A dog."]})
    value = json.loads(file.read_text(encoding="utf-8"))
    value["images"] = [{"id": i, "file_name": f"photos/no {i}.jpg"} for i in (2, 7)]
    file.write_text(json.dumps(value), encoding="utf-8")
    found = split_references(data, "val", IMAGES, file).captions
    assert found == {7: ["A dog."], 2: ["A cat."]}
    value["images"][0]["file_name"] = "photos/no 4.jpg"
    file.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(ValueError, match=r"has photos/no 4.jpg as image 2, which is .*no 2.jpg"):
        split_references(data, "val", IMAGES, file)


def test_references_are_told_as_characters_where_captions_are(data, tmp_path):
    characters = dataclasses.replace(data, vocabulary=Vocabulary.build("红绿猫有一只a"))
    write(tmp_path / "references_val.json", {2: ["有一只红猫"], 7: ["一只 A 猫"]})
    references = split_references(characters, "val", IMAGES)
    assert references.captions == {7: ["一 只 a 猫"], 2: ["有 一 只 红 猫"]}
    captions = {7: "一 只 a 猫", 2: "有 一 只 绿 猫"}
    found = evaluate_split(characters, "val", captions, references, java=False)
    assert found.scores.bleu_1 == pytest.approx(8 / 9)
    assert found.urls == {i: f"http://example.org/val/{i}.jpg" for i in (7, 2)}
    assert found.truth is None and found.diversity.novel is None
