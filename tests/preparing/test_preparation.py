"""Preparation with a tiny encoder: what is kept, what is left out, and going on after a stop."""

import json
import unicodedata

import numpy as np
import pytest
from photo_files import TinyEncoder, draw, draw_all, write_karpathy, write_tsv
from tiny_data import tiny_splits

from jaxcap.data.coco import load_coco, write_coco
from jaxcap.data.projection import Projection
from jaxcap.preparing.plan import PreparationConfig, plan_preparation
from jaxcap.preparing.preparation import Preparation
from jaxcap.preparing.splits import SplitChoice
from jaxcap.scenes import open_picture
from jaxcap.scoring.results import read_references
from jaxcap.vision.images import open_image


def prepare(config, encoder=None):
    with Preparation(plan_preparation(config), encoder or TinyEncoder()) as preparation:
        list(preparation.encode())
        return preparation.finish()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def split_of(place):
    return {0: "val", 5: "restval", 6: "test"}.get(place % 7, "train")


@pytest.fixture
def config(tmp_path):
    """Twenty good pictures, 3 of them of split test and 3 of val; batches of four."""
    captions = draw_all(tmp_path / "images", 20)
    return PreparationConfig(
        images=tmp_path / "images",
        captions=write_karpathy(tmp_path / "captions.json", captions, split_of),
        output=tmp_path / "data",
        name="tiny",
        min_count=1,
        max_length=8,
        batch_size=4,
    )


@pytest.fixture
def mixed(config):
    """The same, with three broken, one missing and three foreign files."""
    images = config.images
    (images / "003.png").write_bytes(b"")
    (images / "007.png").write_text("404 not found")
    (images / "011.png").write_bytes((images / "011.png").read_bytes()[:60])
    (images / "010.png").unlink()
    (images / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (images / "notes.txt").write_text("x")
    draw(images / "unnamed.png", "red")
    return config


def test_what_is_whole_becomes_a_data_set(config):
    prepare(config)
    data = load_coco(config.output)
    assert data.name == "tiny"
    assert data.encoder == TinyEncoder().describe()
    assert not data.pca_features and data.pca is None
    assert data.counts == {
        "train": {"captions": 30, "images": 15},
        "val": {"captions": 6, "images": 3},
    }
    assert data.caption_length == 10
    assert not (config.output.parent / ".data.partial").exists()
    encoder = TinyEncoder()
    for split in ("train", "val"):
        arrays = data.splits[split]
        for row, url in enumerate(arrays.urls.tolist()):
            path = config.images / url.decode().rpartition("/")[2]
            assert url.decode() == path.as_uri()
            alone = encoder.encode_prepared(encoder.prepare(open_image(path))[None]).pooled[0]
            np.testing.assert_array_equal(arrays.features[row], alone)
    sentence = data.vocabulary.decode(data.val.captions[1])
    assert sentence == "a picture all red"
    assert data.val.image_idxs.tolist() == [0, 0, 1, 1, 2, 2]


def test_captions_are_kept_as_people_wrote_them(mixed):
    given = json.loads(mixed.captions.read_text())
    given["images"][0]["sentences"] = [
        {"raw": text} for text in ["A  cat.\n", " ", "A cat.", "...", "\u732b!", "A cat."]
    ]
    mixed.captions.write_text(json.dumps(given))
    prepare(mixed)
    data = load_coco(mixed.output)
    raw = {image["filename"]: [s["raw"] for s in image["sentences"]] for image in given["images"]}
    raw["000.png"] = ["A  cat.\n", "A cat.", "\u732b!", "A cat."]
    for split in ("train", "val"):
        found = json.loads((mixed.output / f"references_{split}.json").read_text("ascii"))
        names = [url.decode().rpartition("/")[2] for url in data.splits[split].urls.tolist()]
        assert found["images"] == [{"id": row, "file_name": name} for row, name in enumerate(names)]
        told = [(entry["image_id"], entry["caption"]) for entry in found["annotations"]]
        assert told == [(row, text) for row, name in enumerate(names) for text in raw[name]]
        ids = [entry["id"] for entry in found["annotations"]]
        assert ids == list(range(1, len(told) + 1))
        assert read_references(mixed.output / f"references_{split}.json").captions == {
            row: raw[name] for row, name in enumerate(names)
        }
    # The word ids have each but once.
    assert len(data.val.captions) == 4
    write_coco(mixed.output, *tiny_splits(), name="another")
    assert not [path for path in mixed.output.iterdir() if path.name.startswith("references")]


def test_words_are_those_of_the_training_captions_commonest_first(config):
    prepare(config)
    words = load_coco(config.output).vocabulary.idx_to_word[4:]
    assert words[:3] == ("a", "picture", "all")
    assert set(words[3:]) <= {
        "red",
        "green",
        "blue",
        "white",
        "black",
        "yellow",
        "orange",
        "purple",
    }
    # Ties stand in the order of the alphabet.
    assert words[3:] == tuple(sorted(words[3:], key=lambda w: (-words_in_train(config, w), w)))


def words_in_train(config, word):
    images = json.loads(config.captions.read_text())["images"]
    used = [i for i in images if i["split"] in ("train", "restval")]
    return sum(word in s["raw"].lower().rstrip(".").split() for i in used for s in i["sentences"])


def test_broken_missing_and_foreign_files(mixed):
    done = prepare(mixed)
    assert set(done.unreadable) == {"003.png", "007.png", "011.png"}
    assert "0 bytes" in done.unreadable["003.png"]
    assert done.plan.missing == ("010.png",)
    data = load_coco(mixed.output)
    # 003, 010 and 011 were of train, 007 of val.
    assert data.counts == {
        "train": {"captions": 24, "images": 12},
        "val": {"captions": 4, "images": 2},
    }
    report = json.loads((mixed.output / "report.json").read_text())
    assert report["missing"] == ["010.png"]
    assert report["unreadable"] == done.unreadable
    notes = " ".join(report["notes"])
    assert "40 of 20 images" in notes
    assert "2 images of the split test" in notes
    assert "passed over: 3 files" in notes
    assert not any("003" in url.decode() for url in data.train.urls)


def test_words_of_broken_images_are_left_out_too(config):
    captions = json.loads(config.captions.read_text())
    captions["images"][1]["sentences"] = [{"raw": "an unforgettable zebra"}]
    config.captions.write_text(json.dumps(captions))
    (config.images / "001.png").write_bytes(b"")
    assert "zebra" in plan_preparation(config).vocabulary.word_to_idx
    prepare(config)
    assert "zebra" not in load_coco(config.output).vocabulary.word_to_idx


def test_strict_refuses_missing_and_unreadable(mixed):
    strict = replace(mixed, strict=True)
    with pytest.raises(FileNotFoundError, match=r"1 of 18 images are missing: 010.png; .*--strict"):
        plan_preparation(strict)
    draw(mixed.images / "010.png", "red")
    encoder = TinyEncoder()
    with pytest.raises(ValueError, match=r"003.png: is empty.* 0 images are done and kept"):
        prepare(strict, encoder)
    draw(mixed.images / "003.png", "red")
    with pytest.raises(ValueError, match=r"011.png: .* 8 images are done and kept"):
        prepare(strict, encoder)
    # What is done without --strict is not lost, and refused with it, without encoding again.
    for _ in prepare_lazily(mixed, encoder):
        pass
    count = encoder.pictures
    with pytest.raises(ValueError, match=r"011.png: .* 18 images are done and kept"):
        prepare(strict, encoder)
    for name in ("007.png", "011.png"):
        draw(mixed.images / name, "blue")
    prepare(strict, encoder)
    assert encoder.pictures <= count + 8
    assert load_coco(mixed.output).counts["train"]["images"] == 15


def replace(config, **changes):
    return PreparationConfig(**{**vars(config), **changes})


def prepare_lazily(config, encoder):
    with Preparation(plan_preparation(config), encoder) as preparation:
        yield from preparation.encode()


@pytest.mark.parametrize("stop_after", [1, 2, 4])
def test_stopped_and_run_again_equals_undisturbed(mixed, stop_after, tmp_path):
    whole = replace(mixed, output=tmp_path / "whole" / "data", pca=3)
    prepare(whole)
    cut = replace(whole, output=tmp_path / "cut" / "data")
    stopped = TinyEncoder(fails_at=stop_after)
    with pytest.raises(RuntimeError, match="lights"):
        prepare(cut, stopped)
    assert not cut.output.exists()
    again = TinyEncoder()
    prepare(cut, again)
    assert contents(cut.output) == contents(whole.output)
    assert stopped.pictures + again.pictures == 17
    assert again.batches == [4, 4, 4, 4, 1][stop_after:]


def test_another_encoder_begins_again(config):
    with pytest.raises(RuntimeError):
        prepare(config, TinyEncoder(fails_at=2))
    other = TinyEncoder(version="2")
    with Preparation(plan_preparation(config), other) as preparation:
        assert preparation.store.begun_again
        assert preparation.store.num_done == 0
        list(preparation.encode())
        preparation.finish()
    assert other.pictures == 18
    assert load_coco(config.output).encoder["version"] == "2"


def test_other_words_keep_the_features(config):
    with pytest.raises(RuntimeError):
        prepare(config, TinyEncoder(fails_at=3))
    encoder = TinyEncoder()
    prepare(replace(config, max_length=3, min_count=2), encoder)
    assert encoder.pictures == 18 - 12
    assert load_coco(config.output).caption_length == 5


def test_nothing_is_overwritten_unasked(config):
    prepare(config)
    before = contents(config.output)
    with pytest.raises(FileExistsError, match=r"data: already holds a data set.*--overwrite"):
        prepare(replace(config, max_length=3))
    assert contents(config.output) == before
    prepare(replace(config, max_length=3, overwrite=True))
    assert load_coco(config.output).caption_length == 5
    assert sorted(p.name for p in config.output.parent.iterdir()) == [
        "captions.json",
        "data",
        "images",
    ]


def test_foreign_files_are_never_deleted(config, tmp_path):
    config.output.mkdir()
    prepare(config)
    (config.output / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match="holds 'thesis.tex', which no preparation wrote"):
        prepare(replace(config, overwrite=True))
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileExistsError, match="file: is a file"):
        prepare(replace(config, output=tmp_path / "file", overwrite=True))


def test_pca_is_fitted_on_training_features_and_stored(mixed, monkeypatch):
    monkeypatch.setattr("jaxcap.preparing.preparation._CHUNK_ROWS", 5)
    done = prepare(replace(mixed, pca=3))
    reduced, full = load_coco(mixed.output), load_coco(mixed.output, pca_features=False)
    assert (reduced.feature_dim, full.feature_dim) == (3, 6)
    assert reduced.pca_features and not full.pca_features
    projection = Projection.load(mixed.output / "pca.h5")
    assert reduced.pca == projection.describe() and full.pca is None
    train = np.asarray(full.train.features, np.float64)
    np.testing.assert_allclose(projection.mean, train.mean(0), rtol=1e-6)
    _, values, directions = np.linalg.svd(train - train.mean(0))
    np.testing.assert_allclose(abs(projection.components @ directions[:3].T), np.eye(3), atol=1e-5)
    assert done.variance == pytest.approx((values[:3] ** 2).sum() / (values**2).sum())
    for split in ("train", "val"):
        np.testing.assert_allclose(
            reduced.splits[split].features,
            projection.apply(np.asarray(full.splits[split].features)),
            atol=1e-6,
        )


@pytest.mark.parametrize("pca", [7, 15])
def test_pca_to_more_than_there_is(config, pca):
    encoder = TinyEncoder(feature_dim=6)
    with pytest.raises(ValueError, match=rf"--pca is {pca}, expected 1 to 6, .* 15 training"):
        prepare(replace(config, pca=pca), encoder)
    assert not encoder.batches


def test_no_images(config, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.txt").write_text("x")
    match = r"no images in .*empty: none of the 18 .*captions.json names is there \(001.png, "
    with pytest.raises(FileNotFoundError, match=match):
        plan_preparation(replace(config, images=tmp_path / "empty"))
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        plan_preparation(replace(config, images=tmp_path / "nowhere"))


def test_no_image_of_a_split_is_whole(config):
    for name in ("000.png", "007.png", "014.png"):
        (config.images / name).write_bytes(b"")
    with pytest.raises(ValueError, match="no image of the split val is there and whole"):
        prepare(config)
    assert not config.output.exists()


def test_names_in_any_script_with_spaces_and_folders(config):
    names = ["ein großer Hund.png", "猫/一 只.png", "a%20b#1.png", "poupée.png"]
    captions = {name: ["a picture"] for name in names}
    for name in names:
        draw(config.images / name, "red")
    # A file system may spell the name in the other way.
    (config.images / "poupée.png").rename(
        config.images / unicodedata.normalize("NFD", "poupée.png")
    )
    write_tsv(config.captions, captions)
    prepare(replace(config, splits=SplitChoice(val_share=0.3)))
    data = load_coco(config.output)
    urls = [*data.train.urls.tolist(), *data.val.urls.tolist()]
    assert len(urls) == 4
    for url in urls:
        assert open_picture(url.decode()).size == (12, 8)


def test_captions_are_counted_cut_and_cleaned(config):
    captions = {
        "000.png": ["one two three four five six seven eight nine ten", "  ", "..."],
        "001.png": ["Caf\u00e9 1", "Cafe\u0301 1", "Café 1"],
        "002.png": ["!"],
        "003.png": ["a"],
    }
    plan = plan_preparation(
        replace(
            config,
            captions=write_tsv(config.captions, captions),
            splits=SplitChoice(val_share=0.3),
        )
    )
    notes = " ".join(plan.notes)
    assert "4 of 3 images" in notes
    assert "3 empty captions, 1 repeated captions, 1 images without a caption" in notes
    assert "1 captions cut to 8 words" in " ".join(plan.describe())
    words = {image.name: image.captions for image in plan.images}
    assert words["000.png"] == (("one", "two", "three", "four", "five", "six", "seven", "eight"),)
    assert words["001.png"] == (("café", "1"), ("café", "1"))


def test_a_language_without_spaces(config):
    captions = {f"{i:03}.png": [f"图里有一只{c}猫"] for i, c in enumerate("红绿蓝白黑黄")}
    write_tsv(config.captions, captions)
    chosen = replace(config, splits=SplitChoice(val_share=0.2), min_count=3)
    with pytest.raises(ValueError, match="no word is seen 3 times .* 1 times.*--tokenizer"):
        plan_preparation(chosen)
    captions["006.png"] = captions["007.png"] = captions["008.png"] = ["一样 的"]
    write_tsv(config.captions, captions)
    with pytest.warns(UserWarning, match=r"\d\d% of the words .* --tokenizer=character .now ptb"):
        plan_preparation(replace(chosen, splits=SplitChoice(val_share=0.1)))
    plan = plan_preparation(replace(chosen, tokenizer="character"))
    assert "猫" in plan.vocabulary.word_to_idx
