"""Evaluation as a whole: files of COCO's forms, splits of a data set, tables, sheets."""

import base64
import dataclasses
import io
import json
import re
import warnings

import numpy as np
import pytest
from PIL import Image

from jaxcap.data.dataset import references_of
from jaxcap.scenes import captions, picture, scene_of_url
from jaxcap.scoring.diversity import diversity, warn_of_one_caption
from jaxcap.scoring.evaluation import evaluate, evaluate_results
from jaxcap.scoring.results import (
    ReferenceFile,
    match,
    read_references,
    read_results,
    write_results,
)
from jaxcap.scoring.scores import score
from jaxcap.scoring.sheet import best_and_worst, make_sheet
from jaxcap.scoring.split_images import SplitImages
from jaxcap.text.vocabulary import Vocabulary

CAPTIONS = {1: "a cat on a mat", 2: "two <b>dogs</b> run", 3: "a car", 4: ""}
REFERENCES = {
    1: ["A cat sits on a mat.", "The cat"],
    2: ["Two dogs running"],
    3: ["A red car & a bus", "There's a car."],
    4: ["Nothing"],
}
DIFFERENT = np.arange(10, dtype=np.float32).reshape(5, 2)


def entry(image_id, caption="a cat", **rest):
    return {"image_id": image_id, "caption": caption, **rest}


def entries(captions):
    return [entry(i, text) for i, texts in captions.items() for text in texts]


@pytest.fixture
def write(tmp_path):
    """`write(value)` gives the path of a JSON file."""

    def write(value, name="file.json"):
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return path

    return write


@pytest.fixture
def files(write):
    """Paths of CAPTIONS and REFERENCES as files in COCO's forms."""
    images = [{"id": 1, "coco_url": "https://example.org/1.jpg?a&b"}, {"id": 2, "url": "file:x"}]
    references = {"annotations": entries(REFERENCES), "images": images}
    results = [entry(i, text) for i, text in CAPTIONS.items()]
    return str(write(results, "results.json")), write(references, "references.json")


@pytest.mark.filterwarnings("ignore:.*captions are empty")
def test_another_evaluation_reads_its_files_anew(files, write):
    """Nothing is kept from one to the next, though the files have the same names."""
    first = evaluate_results(*files, java=False)
    assert first.scores == score(CAPTIONS, REFERENCES) and first.notes == []
    assert first.urls == {1: "https://example.org/1.jpg?a&b", 2: "file:x"}
    assert list(first.named_scores()) == [*(f"BLEU-{n}" for n in range(1, 5)), "ROUGE-L", "CIDEr"]
    stored = json.loads(json.dumps(first.as_json()))
    assert stored["images"][1]["image_id"] == 2 and stored["tokenizer"] == "ptb"
    assert evaluate_results(*files, java=False).as_json() == first.as_json()
    write([entry(i, texts[0]) for i, texts in REFERENCES.items()], "results.json")
    second = evaluate_results(*files, java=False).scores
    assert second == score({i: texts[0] for i, texts in REFERENCES.items()}, REFERENCES)
    assert second != first.scores


def test_the_table_names_what_was_found_and_what_is_left_out(monkeypatch):
    notes = ["SPICE is left out: there is no Java"]
    monkeypatch.setattr(
        "jaxcap.scoring.evaluation.java_scores", lambda *_: ({"METEOR": 0.125}, notes)
    )
    found = evaluate(CAPTIONS, REFERENCES, training=["A cat on a mat!", "A car."])
    table = found.table()
    assert "METEOR    0.1250\nROUGE-L   " in table and table.splitlines()[-1] == notes[0]
    # By their words, whatever their letters.
    assert "novel     50.0% of the captions" in table
    assert found.as_json()["truth"] is None


def test_diversity_counted_by_hand():
    sentences = [["a", "cat"], ["a", "dog", "runs"], ["a", "cat"]]
    found = diversity(sentences, training=[["a", "cat"], ["a", "car"]])
    assert dataclasses.astuple(found) == pytest.approx((3, 2, 7 / 3, 4, 4 / 7, 3 / 4, 1 / 3))
    found = diversity([[], []])
    assert (found.distinct_1, found.mean_length, found.different, found.novel) == (0, 0, 1, None)
    with pytest.raises(ValueError, match="no captions"):
        diversity([])


@pytest.mark.parametrize(
    ("captions", "features", "warned"),
    [
        (["a man"] * 5, DIFFERENT, True),
        (["a man"] * 5, None, True),
        (["a man"] * 3, DIFFERENT[:3], False),
        (["a man"] * 4 + ["a dog"], DIFFERENT, False),
        (["a man"] * 5, np.ones((5, 2), np.float32), False),
        ([], None, False),
    ],
)
def test_one_caption_for_different_pictures(captions, features, warned):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_one_caption(captions, features)
    told = [str(warning.message) for warning in caught]
    assert len(told) == warned
    assert not warned or re.match("all 5 pictures .* 'a man'.*preprocessing", told[0])


def test_evaluation_warns_of_one_caption_and_of_a_single_image():
    with pytest.warns(UserWarning, match="all 4 pictures have the same caption, 'a man'"):
        evaluate(dict.fromkeys(REFERENCES, "A man."), REFERENCES, java=False)
    shared = {1: ["A cat.", "Bus"], 2: ["a cat", "bus."]}
    for references, cause in (
        ({1: ["the cat"]}, "for there is only a single image: score two"),
        (shared, "for all 2 images share their references: give each"),
        ({1: ["."], 2: [""]}, "for no reference has a word"),
    ):
        with pytest.warns(UserWarning, match=f"CIDEr is 0 whatever the captions, {cause}"):
            assert score(dict.fromkeys(references, "the cat"), references).cider == 0
    # One image more, and the same captions count.
    assert score(dict.fromkeys([1, 2, 3], "a cat"), shared | {3: ["A dog."]}).cider > 0


def test_the_sheet_shows_each_caption_once_with_its_picture(tmp_path):
    """Pictures of scenes and files are in the page, those on the web are linked to."""
    path = tmp_path / "a 'b' & c.png"
    Image.new("RGBA", (700, 350), "red").save(path)
    urls = {1: "scenes://val/3", 2: path.as_uri(), 3: "https://e.org/1.jpg?a&b", 4: "javascript:x"}
    found = evaluate(CAPTIONS, REFERENCES, java=False, urls=urls)
    page, cider = make_sheet(found, num=50), found.images.cider
    assert page.count("<article>") == 4 and "<b>(empty)</b>" in page
    assert "two &lt;b&gt;dogs&lt;/b&gt; run" in page and "A red car &amp; a bus" in page
    assert "src='https://e.org/1.jpg?a&amp;b'" in page and "src='javascript" not in page
    sources = re.findall(r"alt='image (\d)' src='data:image/jpeg;base64,([^']+)'", page)
    shown = {int(name): Image.open(io.BytesIO(base64.b64decode(data))) for name, data in sources}
    assert sorted(shown) == [1, 2]
    assert shown[2].size == (320, 160) and shown[2].getpixel((9, 9))[0] > 250
    drawn = np.asarray(shown[1], int) - np.asarray(picture("scenes://val/3"), int)
    assert abs(drawn).mean() < 10
    assert make_sheet(found, num=1).count("<article>") == 2
    best, worst = best_and_worst(found, 50)
    assert sorted([*best, *worst]) == [0, 1, 2, 3]
    assert cider[best[0]] == cider.max() and cider[worst[0]] == cider.min()


def test_files_are_read_as_they_were_written(write, tmp_path):
    written = {3: "a cat", 0: "caf\u00e9\nau lait", 2**63: "", "a/1.jpg": "x", "007": "y"}
    write_results(tmp_path / "out.json", written)
    with pytest.warns(UserWarning, match="1 captions are empty"):
        assert list(read_results(tmp_path / "out.json").items()) == list(written.items())
    images = [{"id": 1, "coco_url": "http://example.org/1.jpg"}, {"id": 2}, {"id": "x"}, 5]
    images += [{"id": "12", "file_name": "x.jpg"}, {"id": None}]
    annotations = [entry(1, "a", id=1), entry(2, "b", id=2), entry(1, "", id=3), entry(2, "d")]
    with pytest.warns(UserWarning, match="1 references are empty"):
        found = read_references(write({"annotations": annotations, "images": images}))
    assert found.captions == {1: ["a", ""], 2: ["b", "d"]}
    assert found.urls == {1: "http://example.org/1.jpg"} and found.names == {12: "x.jpg"}
    assert found.ids == (1, 2, "x", "12") and not found.emptied


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (read_results, {"annotations": []}, "did you swap `results` and `references`"),
        (read_results, [], "holds no captions"),
        (read_results, [5], r"entry 0 is 5, expected the form \[\{"),
        (read_results, [entry(1), {"image_id": 2}], r"entry 1 has no caption, only \['image_id'\]"),
        (read_results, [entry(1, None)], "entry 0 has caption None, expected a string"),
        (read_results, [entry(1.0)], "entry 0 has image_id 1.0, expected an integer or a string; "),
        (read_results, [entry(True)], "expected an integer"),
        (read_results, [entry(" ")], "entry 0 has image_id ' ', .* of 1 to 1,000 characters"),
        (read_results, [entry(1), entry("1")], "entry 1 is the second caption of image 1"),
        (
            read_results,
            [entry("x"), entry("y"), entry("y")],
            "entry 2 is .* of image y, .*holds 3 captions of 2 images: .* as `references`",
        ),
        (read_references, [entry(1)], "did you swap `results` and `references`"),
        (read_references, {"info": []}, r"holds \['info'\], expected the form"),
        (read_references, {"images": [{"id": 1}]}, "lists 1 images and has no annotations, so it"),
        (read_references, {"annotations": [entry(1, is_rejected=True)]}, "keep_rejected=True"),
        (read_references, {"annotations": 5}, "annotations is a int"),
        (read_references, {"annotations": []}, "annotations is empty"),
        (
            read_references,
            {"annotations": [entry(1, id=7), entry(2, id=7)]},
            r"\[1\] repeats the id 7 of annotations\[0",
        ),
    ],
)
def test_a_wrong_file_is_one_error_with_its_place(write, read, value, message):
    path = write(value)
    with pytest.raises(ValueError, match=message) as error:
        read(path)
    assert str(error.value).startswith(str(path))


def test_images_on_one_side_only_are_counted(tmp_path):
    paths = tmp_path / "results.json", tmp_path / "references.json"
    given = {2: "a", 1: "b", "03": "c"}
    known = ReferenceFile({1: ["x"], 2: ["y"], 3: ["z"]}, {}, {})
    with pytest.warns(UserWarning) as caught:
        found = match(given, known, *paths)
    assert list(found.items()) == [(2, ["y"]), (1, ["x"])] and given == {2: "a", 1: "b"}
    first, second = (str(warning.message) for warning in caught)
    assert (
        "1 captions of images without references are left out, first image 03; 1 of 1 would"
        in first
    )
    assert "1 of the 3 images with references have no caption, first image 3" in second
    known = ReferenceFile({7: ["x"]}, {}, {7: "a.jpg"})
    for images, message in (
        ([1, 2, 3, 4], "4 images, 1, 2, 3 and 1 more, and the references of 1, 7$"),
        (["a.jpg"], "name of the file: a.jpg is the file a.jpg of image 7 there"),
        ([0, 1], "numbered from 0, like the rows of a data set"),
    ):
        with pytest.raises(ValueError, match=message):
            match(dict.fromkeys(images, "a"), known, *paths)


@pytest.fixture
def images(tiny, tmp_path):
    """Two images of a split whose folder is empty."""
    return SplitImages(dataclasses.replace(tiny, folder=tmp_path), "val", np.array([7, 2]))


def test_the_nearest_references_are_taken(images, write, tmp_path):
    found = images.references()
    data = images.data
    assert list(found.captions) == [7, 2]
    assert list(found.captions.values()) == references_of(data.val, images.rows, data.vocabulary)
    assert "where rare words are <UNK> (in 0 of 2 captions)" in found.source
    own = {2: ["A cat."], 7: ["A dog.", "A dog."], 9: ["x"]}
    path = write({"annotations": entries(own)}, "references_val.json")
    found = images.references()
    assert found.captions == {7: own[7], 2: own[2]}
    assert found.source == f"captions as written, of {path}"
    named = write({"annotations": entries({2: ["Two"], 7: ["Red"]})})
    assert images.references(named).captions == {7: ["Red"], 2: ["Two"]}
    evaluation = images.evaluate({7: "a dog", 2: "a cat"}, java=False)
    assert evaluation.urls == {i: f"http://example.org/val/{i}.jpg" for i in (7, 2)}
    assert evaluation.references == found.captions
    assert evaluation.truth is None and evaluation.diversity.novel is None


def test_captions_of_scenes_are_checked_claim_by_claim(images):
    urls = np.array([f"scenes://val/{i}" for i in range(10)], np.bytes_)
    val = dataclasses.replace(images.data.val, urls=urls)
    images = dataclasses.replace(images, data=dataclasses.replace(images.data, splits={"val": val}))
    told = {7: captions(scene_of_url("scenes://val/7"))[0], 2: "a zebra"}
    found = images.evaluate(told, java=False)
    truth = found.as_json()["truth"]
    assert (truth["share_true"], truth["true"], truth["unreadable"]) == (0.5, 1, 1)
    assert set(truth["shares"].values()) == {1.0} and truth["claims"] == truth["holding"]
    assert "wholly true   50.0%  1 of 2 captions\nno sentence   50.0%  1" in found.table()
    assert images.references().source == f"word ids of {images.data.folder}/coco2014_captions.h5"


def test_references_of_other_images_are_refused(images, write):
    urls = np.array([f"file:///photos/no%20{i}.jpg" for i in range(10)], np.bytes_)
    val = dataclasses.replace(images.data.val, urls=urls)
    images = dataclasses.replace(images, data=dataclasses.replace(images.data, splits={"val": val}))
    both = {2: ["A cat."], 7: ["A dog."]}

    def names(image):
        return [{"id": 2, "file_name": f"photos/no {image}.jpg"}]

    path = write({"annotations": entries(both), "images": names(2)})
    assert images.references(path).captions == both
    for given, image, message in (
        ({2: ["x"], 10: ["y"]}, 2, r"file.json: has image 10, expected 0 to 9; .* of val in"),
        ({2: ["x"]}, 2, "file.json: has no caption for image 7"),
        (both, 4, r"has photos/no 4.jpg as image 2, expected .*no 2.jpg"),
    ):
        path = write({"annotations": entries(given), "images": names(image)})
        with pytest.raises(ValueError, match=message):
            images.references(path)


def test_captions_of_characters_are_scored_as_characters(images, write):
    data = dataclasses.replace(images.data, vocabulary=Vocabulary.build("红绿猫有一只ab"))
    images = dataclasses.replace(images, data=data)
    raw = {2: ["有一只红猫"], 7: ["一只 A 猫"]}
    write({"annotations": entries(raw)}, "references_val.json")
    found = images.evaluate({7: "一只a猫", 2: "有一只绿猫"}, java=False)
    assert found.references == {7: raw[7], 2: raw[2]} and found.tokenizer == "character"
    assert found.scores.bleu_1 == pytest.approx(8 / 9)
    spaced = images.evaluate({7: "一 只 a 猫", 2: "有 一 只 绿 猫"}, java=False)
    assert spaced.scores == found.scores
    assert "tokenizer character" in found.table()
    assert all(" " not in text for texts in images.spelled().values() for text in texts)
