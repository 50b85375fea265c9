"""Files of captions as other people's tools write them: ids, languages, entries not to be used."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest

from jaxcap.data.dataset import Dataset
from jaxcap.scoring.evaluation import evaluate, evaluate_results
from jaxcap.scoring.image_ids import near_matches, read_id
from jaxcap.scoring.results import read_references
from jaxcap.scoring.scores import Scorer
from jaxcap.scoring.sheet import make_sheet
from jaxcap.scoring.split_images import SplitImages
from jaxcap.scoring.tokens import warn_without_spaces, word_splitter
from jaxcap.text.scripts import lack_spaces

COLOURS = ["red", "green", "blue", "white", "black", "yellow", "red", "green"]
THINGS = ["box" if i % 2 == 0 else "ball" for i in range(8)]
PAIRS = list(zip(COLOURS, THINGS, strict=True))
REFERENCES = [
    [
        f"A {colour} {thing} lies on a gray floor .",
        f"there is a {colour} {thing}",
        f"One {colour} {thing} , seen from above .",
    ]
    for colour, thing in PAIRS
]
COUNTED = {"BLEU-1": 0.8, "BLEU-4": 0.0, "ROUGE-L": 0.4}


def score_files(folder, ids, captions, annotations, *, theirs=None, **options):
    """Scores of captions of images against annotations (image, caption and more) as files."""
    theirs = ids if theirs is None else theirs
    results, references = folder / "results.json", folder / "references.json"
    found = [{"image_id": i, "caption": text} for i, text in zip(ids, captions, strict=True)]
    results.write_text(json.dumps(found), encoding="utf-8")
    listed = [
        {"id": number, "image_id": theirs[image], "caption": text, **more}
        for number, (image, text, more) in enumerate(annotations)
    ]
    references.write_text(json.dumps({"annotations": listed}), encoding="utf-8")
    found = evaluate_results(results, references, java=False, **options)
    return {name: round(value, 4) for name, value in found.named_scores().items()}


@pytest.mark.parametrize(
    ("ids", "theirs"),
    [
        (list(range(8)), None),
        ([f"shop_{i}.jpg" for i in range(8)], None),
        ([f"{i:040x}" for i in range(10**40, 10**40 + 8)], None),
        ([f"{i:06}" for i in range(8)], None),
        ([6678090646845985471 + i for i in range(8)], None),
        ([2**63 + i for i in range(8)], [str(2**63 + i) for i in range(8)]),
    ],
)
def test_any_ids_give_the_same_scores(tmp_path, ids, theirs):
    annotations = [(i, text, {}) for i, texts in enumerate(REFERENCES) for text in texts]
    captions = [f"a {thing} that is {colour}" for colour, thing in PAIRS]
    found = score_files(tmp_path, ids, captions, annotations, theirs=theirs)
    assert COUNTED.items() <= found.items() and found["CIDEr"] == 1.5815


@pytest.mark.parametrize(("given", "found"), [("7", 7), ("-7", -7), ("0", 0), (str(2**70), 2**70)])
def test_an_id_in_quotation_marks_is_the_number(given, found):
    assert read_id(given, "") == read_id(found, "") == found


@pytest.mark.parametrize("given", ["007", "-0", "+7", " 7", "7.0", "1e3", "\u0663", "7.jpg"])
def test_what_only_looks_like_a_number_is_not_one(given):
    assert read_id(given, "") == given


@pytest.mark.parametrize(
    ("images", "others", "said"),
    [
        (["007", "x"], [7], "; 1 of 2 would match by the number without leading zeros: 007 is 7"),
        (["a/B.JPG"], ["b.jpg"], "by the name without folder and case: a/B.JPG is b.jpg there"),
        (["a\\b.png"], ["b.jpg"], "by the name without folder, case and ending"),
        (["COCO_val2014_000000391895.jpg"], [391895, 1], "by the number at the end of the name"),
        ([391895], ["COCO_val2014_000000391895.jpg"], "by the number at the end of the name"),
        (["p3.jpg"], [3], ""),
        ([1], [2, "x"], ""),
    ],
)
def test_ids_that_match_nothing_name_the_near_ones(images, others, said):
    found = near_matches(images, others)
    assert said in found and bool(said) == bool(found)


def test_swapped_files_are_told_from_both_sides(tmp_path):
    results, references = tmp_path / "results.json", tmp_path / "references.json"
    results.write_text(json.dumps([{"image_id": "x", "caption": "a"}]))
    entries = [{"image_id": "x", "caption": text} for text in "ab"]
    references.write_text(json.dumps({"annotations": entries}))
    with pytest.raises(ValueError, match=r"swapped: .*s.json holds .*\(2 captions of 1 .*\(1 cap"):
        evaluate_results(references, results)
    references.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=r"references.json: is a list \(2 captions of 1 images\)"):
        evaluate_results(results, references)


def test_any_file_of_captions_is_taken_for_references_and_none_for_results(tmp_path):
    results = tmp_path / "results.json"
    results.write_text(
        json.dumps([{"image_id": f"{i}.jpg", "caption": f"a {i}"} for i in range(2)])
    )
    listed = [{"image": f"{i}.jpg", "caption": f"a {i}"} for i in range(2)]
    (tmp_path / "list.json").write_text(json.dumps(listed))
    (tmp_path / "texts").mkdir()
    for i in range(2):
        (tmp_path / f"texts/{i}.jpg.txt").write_text(f"a {i}")
    for references in ("list.json", "texts"):
        found = evaluate_results(results, tmp_path / references, java=False)
        assert (len(found.captions), round(found.scores.bleu_1, 6)) == (2, 1)
    table = tmp_path / "table.csv"
    table.write_text("image_id,caption\n0.jpg,nan\n1.jpg,a\n")
    with pytest.raises(
        ValueError, match="begins with 'image_id,caption', which is not JSON; write"
    ):
        evaluate_results(table, results)
    with pytest.warns(UserWarning) as told:
        evaluate_results(results, table, java=False)
    messages = [str(warning.message) for warning in told]
    assert messages[0].endswith("1 captions that are nan, as for a missing value (line 2)")
    # The image is in both files, so that no other is near.
    assert messages[1].endswith("without references are left out, first image 0.jpg")


# Of each image's five references, those that are not rejected.
KEPT = [(1, 2), (0, 1, 3, 4), (0, 2, 3), (1, 2, 4), (0, 1, 3), (0, 2, 3), (1, 2), (0, 1, 3, 4)]


def vizwiz():
    """Annotations with VizWiz's marks, 24 of 40 of them without, and a caption of each image."""
    annotations = []
    for image, (colour, thing) in enumerate(PAIRS):
        texts = [
            *REFERENCES[image],
            f"A {thing} that is {colour} .",
            f"Somebody left a {colour} {thing} here",
        ]
        annotations += [(image, texts[i], {"is_rejected": False}) for i in KEPT[image]]
        spam = [{"is_precanned": True}] * (5 - len(KEPT[image]))
        if image in (0, 4, 6):
            spam[-1] = {"is_precanned": False, "is_rejected": True}
        for marks in spam:
            text = "asdf buy now cheap spam"
            if marks["is_precanned"]:
                text = "Quality issues are too severe to recognize visual content."
            annotations.append((image, text, marks))
    colours = "red blue blue black black red red red".split()
    return annotations, [f"a {colour} box lies on a gray floor" for colour in colours]


def test_what_vizwiz_rejects_is_left_out_and_counted(tmp_path):
    annotations, captions = vizwiz()
    with pytest.warns(UserWarning, match=r"16 of 40 .* \(3 rejected, 13 precanned\), as VizWiz"):
        found = score_files(tmp_path, range(8), captions, annotations)
    assert (found["CIDEr"], found["BLEU-4"]) == (2.2878, 0.5064)
    clean = [(i, text, {}) for i, text, marks in annotations if marks == {"is_rejected": False}]
    assert score_files(tmp_path, range(8), captions, clean) == found
    kept = score_files(tmp_path, range(8), captions, annotations, keep_rejected=True)
    assert (kept["CIDEr"], kept["BLEU-4"]) == (1.2208, 0.4832)


@pytest.mark.filterwarnings("ignore:.*references are left out")
def test_an_image_all_of_whose_references_are_rejected_has_none(tmp_path):
    annotations = [(0, "a cat", {}), (1, "a dog", {}), (2, "spam", {"is_rejected": True})]
    with pytest.warns(UserWarning, match="1 captions of images without .* first image 2$"):
        found = score_files(tmp_path, range(3), ["a cat"] * 3, annotations)
    assert found["BLEU-1"] == 0.75


SHORT = {"red": "红", "green": "绿", "blue": "蓝", "white": "白", "black": "黑", "yellow": "黄"}


def chinese():
    """A caption and two references of each of eight images, without spaces."""
    named = [f"{SHORT[colour]}色的{'盒子' if thing == 'box' else '球'}" for colour, thing in PAIRS]
    return (
        [f"灰色的地板上有一个{name}。" for name in named],
        [[f"这是一个{name}。", f"从上面看的{name}。"] for name in named],
    )


def test_chinese_scores_by_its_characters(tmp_path):
    captions, references = chinese()
    annotations = [(i, text, {}) for i, texts in enumerate(references) for text in texts]
    found = score_files(tmp_path, range(8), captions, annotations, tokenizer="character")
    assert (found["BLEU-4"], found["CIDEr"]) == (0.4828, 2.662)
    # As the reference scorer would, were there spaces between the characters.
    spaced = [(i, " ".join(text), {}) for i, text, _ in annotations]
    told = list(map(" ".join, captions))
    for tokenizer in ("ptb", "space", "character"):
        again = score_files(tmp_path, range(8), told, spaced, tokenizer=tokenizer)
        assert again == found
    with pytest.warns(UserWarning, match="the captions and the references .*=character`, or put"):
        assert score_files(tmp_path, range(8), captions, annotations)["CIDEr"] == 0
    with pytest.warns(UserWarning, match="the references are mostly .*`tokenizer=space` takes"):
        score_files(tmp_path, range(8), told, annotations, tokenizer="space")


@pytest.mark.parametrize(
    ("captions", "lacking"),
    [
        (["一只猫", "红猫在跑"], True),
        (["灰色的地板上有一个 T-shirt。"], True),
        (["猫が床に座っている。"], True),
        (["แมวสีแดงนั่งอยู่บนพื้น", "สุนัขสีดำ"], True),
        (["一 只 猫"], False),
        (["一只 猫 在 草地上 跑"], False),
        (["猫 が 床 に 座って いる"], False),
        (["แมว สีแดง นั่ง อยู่ บน พื้น"], False),
        (["고양이가 있다"], False),
        (["a cat", "a 猫 cat"], False),
        ([], False),
    ],
)
def test_text_without_spaces_is_known_by_its_script(captions, lacking):
    assert lack_spaces(captions) == lacking


def test_each_tokenizer_splits_in_its_own_way(recwarn):
    text = "A cat's 一只<UNK>猫."
    assert word_splitter("ptb")(text)[:2] == ["a", "cat"]
    assert word_splitter("space")(text) == ["a", "cat's", "一只<unk>猫."]
    assert word_splitter("character")("一只 <UNK>猫A,") == ["一", "只", "<unk>", "猫", "a"]
    with pytest.raises(ValueError, match="`tokenizer` is 'bert', expected one of ptb, space"):
        Scorer({1: ["a"]}, "bert")
    warn_without_spaces(["一只猫在跑"], ["一只猫在跑"], "character")
    assert not recwarn


def test_spice_is_left_out_for_characters(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "jaxcap.scoring.evaluation.java_scores", lambda *given: (asked.append(given), ({}, []))[1]
    )
    captions, references = (dict(enumerate(side)) for side in chinese())
    found = evaluate(captions, references, tokenizer="character")
    (words, by_image, names), (note,) = asked[0], found.notes
    assert names == ("METEOR",) and note.startswith("SPICE is left out: it parses English")
    assert words[0][:3] == ["灰", "色", "的"] and by_image[0][0][:2] == ["这", "是"]


def test_a_sheet_shows_ids_as_text():
    texts = {"<b>.jpg": "a", "it's": "b"}
    page = make_sheet(evaluate(texts, {i: [text] for i, text in texts.items()}, java=False))
    assert "image &lt;b&gt;.jpg, CIDEr" in page and "<b>.jpg" not in page


IDS = [391895, "a/b", "42", 2**63]
TEXTS = [["A red box.", "One box"], ["A green ball."], ["A blue box."], ["There's a ball."]]
CAPTIONS = dict(enumerate(["a red box", "a red ball", "a blue box", "there is a ball"]))


def coco(ids, name="p{}.jpg", **more):
    """References in COCO's form, the first image last."""
    images = [{"id": i, "file_name": name.format(row)} for row, i in enumerate(ids)]
    listed = [
        {"image_id": i, "caption": text, **more}
        for i, texts in zip(ids, TEXTS, strict=True)
        for text in texts
    ]
    return {"images": images, "annotations": listed[::-1]}


@pytest.fixture
def images(tmp_path):
    """Four images of a folder that keeps the ids of its source, as `prepare` writes it."""
    captions = np.array([[1, 3, 4, 5, 2]] * 4)
    arrays = (captions, np.arange(4), np.ones((4, 2)))
    data = Dataset.from_arrays(*arrays, "<NULL> <START> <END> a red box", val=arrays)
    urls = np.array([f"file:///photos/p{i}.jpg" for i in range(4)], np.bytes_)
    val = replace(data.val, urls=urls)
    (tmp_path / "references_val.json").write_text(json.dumps(coco(IDS)))
    (tmp_path / "dataset.json").write_text(json.dumps({"name": "four", "image_ids": True}))
    return SplitImages(
        replace(data, folder=tmp_path, splits={"val": val}), "val", np.array([3, 0, 2, 1])
    )


def test_what_is_written_scores_against_the_source_as_the_checkpoint_did(images, tmp_path):
    """Ids are those of the source file, which may hold other images too."""
    source, out = tmp_path / "source.json", tmp_path / "out.json"
    file = coco(IDS)
    file["annotations"].append({"image_id": 0, "caption": "of the training split"})
    source.write_text(json.dumps(file))
    found = images.evaluate(CAPTIONS, java=False)
    assert found.images.image_ids == (IDS[3], IDS[0], "42", "a/b")
    assert found.urls["a/b"] == "file:///photos/p1.jpg"
    again = images.evaluate(CAPTIONS, images.references(source), java=False)
    assert again.scores == found.scores and found.scores.cider > 1
    images.write_results(out, {row: CAPTIONS[row] for row in images.rows.tolist()})
    written = [entry["image_id"] for entry in json.loads(out.read_text())]
    assert written == [IDS[3], IDS[0], "42", "a/b"]
    with pytest.warns(UserWarning, match="1 of the 5 images with references have no caption"):
        told = evaluate_results(out, source, java=False)
    assert told.scores == found.scores and told.images.image_ids == (2**63, 391895, 42, "a/b")


def test_a_data_set_without_ids_keeps_rows_and_says_so(images, tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps({"name": "four"}))
    (tmp_path / "references_val.json").write_text(json.dumps(coco(range(4))))
    with pytest.warns(UserWarning, match="out.json: image ids are rows .* keeps no ids"):
        images.write_results(tmp_path / "out.json", CAPTIONS)
    assert [entry["image_id"] for entry in json.loads((tmp_path / "out.json").read_text())] == [
        0,
        1,
        2,
        3,
    ]
    assert images.evaluate(CAPTIONS, java=False).images.image_ids == (3, 0, 2, 1)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            coco([7, "a/b", 42, "x"]),
            "no caption for image 9223372036854775808 and 1 more of the 4 ",
        ),
        (coco(["0391895", "a/b", 42, 2**63]), "image 391895 of the 4 .* zeros: 391895 is 0391895"),
        (coco(IDS, name="q{}.jpg"), f"has q3.jpg as image {2**63}, expected .*p3.jpg"),
        (coco(IDS, is_precanned=True), "every reference of these images"),
    ],
)
def test_references_with_other_ids_are_refused(images, tmp_path, file, message):
    path = tmp_path / "source.json"
    file["annotations"].append({"image_id": 99, "caption": "a"})
    path.write_text(json.dumps(file))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*references are left out")
        with pytest.raises(ValueError, match=f"source.json: .*{message}"):
            images.references(path)


@pytest.mark.filterwarnings("ignore:.*references are left out")
def test_images_whose_references_are_all_rejected_are_not_scored(images, tmp_path):
    file = coco(IDS)
    file["annotations"][-1]["is_rejected"] = file["annotations"][-2]["is_rejected"] = True
    path = tmp_path / "source.json"
    path.write_text(json.dumps(file))
    found = images.evaluate(CAPTIONS, images.references(path), java=False)
    assert found.images.image_ids == (IDS[3], "42", "a/b")
    kept = images.references(path, keep_rejected=True)
    assert len(images.evaluate(CAPTIONS, kept, java=False).captions) == 4


@pytest.mark.parametrize(
    ("ids", "message"),
    [(IDS[:3], "images has 3 entries with an id, expected 4"), ([1, 2, "2", 3], "an id twice")],
)
def test_ids_that_do_not_fit_the_data_are_refused(images, tmp_path, ids, message):
    file = {**coco(IDS), "images": [{"id": i} for i in ids]}
    (tmp_path / "references_val.json").write_text(json.dumps(file))
    with pytest.raises(ValueError, match=f"references_val.json: .*{message}"):
        images.references()


def test_the_data_set_tells_its_tokenizer(images, tmp_path):
    path = tmp_path / "dataset.json"
    about = {"name": "four", "image_ids": True}
    path.write_text(json.dumps({**about, "tokenizer": "space"}))
    assert replace(images).tokenizer == "space"
    assert replace(images).evaluate(CAPTIONS, java=False).tokenizer == "space"
    assert replace(images).evaluate(CAPTIONS, java=False, tokenizer="ptb").tokenizer == "ptb"
    path.write_text(json.dumps({"name": "four", "tokenizer": "bert"}))
    with pytest.raises(ValueError, match="dataset.json: tokenizer is 'bert', expected one of ptb"):
        _ = replace(images).tokenizer


SHOP = {f"shop_{i}.jpg": texts for i, texts in enumerate(REFERENCES)}


def test_a_reference_an_image_by_name_is_not_taken_for_results(tmp_path):
    rows = [{"image": name, "caption": texts[0]} for name, texts in SHOP.items()]
    (tmp_path / "references.json").write_text(json.dumps(rows))
    assert list(read_references(tmp_path / "references.json").captions) == [*SHOP]
    (tmp_path / "source.json").write_text(json.dumps({"annotations": []}))
    (tmp_path / "captions.txt").write_text("a.jpg#0\tA cat .\n")
    with pytest.raises(ValueError, match="source.json: is a file of references .* did you swap"):
        evaluate_results(tmp_path / "source.json", tmp_path / "captions.txt")


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(SHOP),
        json.dumps([{"image_id": name, "caption": texts} for name, texts in SHOP.items()]),
        json.dumps(
            {
                "images": [
                    {"filename": n, "sentences": [{"raw": t} for t in ts]} for n, ts in SHOP.items()
                ]
            }
        ),
        "\n".join(
            f"{name}#{i}\t{text}" for name, texts in SHOP.items() for i, text in enumerate(texts)
        ),
        "image|caption\n" + "\n".join(f"{n}|{text}" for n, texts in SHOP.items() for text in texts),
        "\n".join(json.dumps({"image": n, "text": t}) for n, texts in SHOP.items() for t in texts),
    ],
)
def test_references_of_any_caption_format(tmp_path, content):
    results = [{"image_id": name, "caption": texts[1]} for name, texts in SHOP.items()]
    (tmp_path / "results.json").write_text(json.dumps(results))
    (tmp_path / "references").write_text(content)
    found = evaluate_results(tmp_path / "results.json", tmp_path / "references", java=False)
    assert len(found.captions) == 8 and round(found.named_scores()["BLEU-4"], 4) == 1
