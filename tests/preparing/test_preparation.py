"""Preparation with a tiny encoder: what is kept, what is left out, and going on after a stop."""

import json
import unicodedata
import warnings
from dataclasses import replace

import numpy as np
import pytest
from photo_files import COLOURS, TinyEncoder, draw, draw_all, write_karpathy, write_tsv
from tiny_data import tiny_splits

from jaxcap.data.coco import load_coco, write_coco
from jaxcap.data.dataset import Counts
from jaxcap.data.projection import Projection
from jaxcap.preparing import prepare as preparing
from jaxcap.preparing.plan import PreparationConfig, plan_preparation
from jaxcap.preparing.preparation import Preparation
from jaxcap.preparing.splits import SplitChoice
from jaxcap.scenes import open_picture
from jaxcap.scoring.results import read_references
from jaxcap.vision.images import open_image


def prepare(config, encoder=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return preparing.prepare(config, encoder or TinyEncoder())


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def config(tmp_path):
    """Twenty good pictures, 3 of them of split test and 3 of val; batches of four."""
    captions = draw_all(tmp_path / "images", 20)
    split_of = lambda place: {0: "val", 5: "restval", 6: "test"}.get(place % 7, "train")  # noqa: E731
    return PreparationConfig(
        images=tmp_path / "images",
        captions=write_karpathy(tmp_path / "captions.json", captions, split_of),
        output=tmp_path / "data",
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
    config.output.mkdir()
    paths = {name: str(getattr(config, name)) for name in ("images", "captions", "output")}
    prepare(replace(config, **paths))
    encoder, data = TinyEncoder(), load_coco(config.output)
    assert (data.name, data.encoder, data.pca) == ("data", encoder.describe(), None)
    assert data.counts == {"train": Counts(30, 15), "val": Counts(6, 3)}
    assert data.caption_length == 10 and not data.pca_features
    assert not (config.output.parent / ".data.partial").exists()
    for arrays in data.splits.values():
        for row, url in enumerate(arrays.urls.tolist()):
            path = config.images / url.decode().rpartition("/")[2]
            assert url.decode() == path.as_uri()
            alone = encoder.encode_prepared(encoder.prepare(open_image(path))[None]).pooled[0]
            np.testing.assert_array_equal(arrays.features[row], alone)
    assert data.vocabulary.decode(data.val.captions[1]) == "a picture all red"
    assert data.val.image_idxs.tolist() == [0, 0, 1, 1, 2, 2]
    # The words are those of the training captions, commonest first, then by the alphabet.
    used = [i for i in json.loads(config.captions.read_text())["images"] if i["split"] != "test"]
    texts = [s["raw"] for i in used if i["split"] != "val" for s in i["sentences"]]
    count = {word: sum(word in text.lower() for text in texts) for word in COLOURS}
    words = data.vocabulary.idx_to_word[4:]
    assert words[:3] == ("a", "picture", "all") and set(words[3:]) <= set(COLOURS)
    assert words[3:] == tuple(sorted(words[3:], key=lambda word: (-count[word], word)))


def test_broken_missing_and_foreign_files_are_left_out_with_their_words(mixed):
    given = json.loads(mixed.captions.read_text())
    given["images"][3]["sentences"] = [{"raw": "an unforgettable zebra"}]
    texts = ["A  cat.\n", " ", "A cat.", "...", "\u732b!", "A cat."]
    given["images"][0]["sentences"] = [{"raw": text} for text in texts]
    mixed.captions.write_text(json.dumps(given))
    assert "zebra" in plan_preparation(mixed).vocabulary.word_to_idx
    with pytest.warns(UserWarning, match="3 images are not readable and left out .*report.json"):
        with pytest.warns(UserWarning, match="1 images are missing and left out"):
            done = preparing.prepare(mixed, TinyEncoder())
    assert done.plan.missing == ("010.png",) and done.folder == mixed.output
    assert set(done.unreadable) == {"003.png", "007.png", "011.png"}
    assert "0 bytes" in done.unreadable["003.png"]
    data = load_coco(mixed.output)
    assert "zebra" not in data.vocabulary.word_to_idx
    assert data.counts == {"train": Counts(24, 12), "val": Counts(4, 2)}
    report = json.loads((mixed.output / "report.json").read_text())
    assert (report["missing"], report["unreadable"]) == (["010.png"], done.unreadable)
    notes = " ".join(report["notes"])
    for note in ("of 20 images", "2 images of the split test", "skipped: 1 images"):
        assert note in notes
    # References are the captions as people wrote them, repeated ones too; the ids have each once.
    raw = {image["filename"]: [s["raw"] for s in image["sentences"]] for image in given["images"]}
    raw["000.png"] = ["A  cat.\n", "A cat.", "\u732b!", "A cat."]
    for split, arrays in data.splits.items():
        file = mixed.output / f"references_{split}.json"
        rows = [url.decode().rpartition("/")[2] for url in arrays.urls.tolist()]
        found = read_references(file)
        # A file without ids is known by the names of its images.
        assert (found.ids, found.names) == (tuple(rows), {name: name for name in rows})
        assert found.captions == {name: raw[name] for name in rows}
        ids = [entry["id"] for entry in json.loads(file.read_text("ascii"))["annotations"]]
        assert ids == list(range(1, len(ids) + 1))
    write_coco(mixed.output, *tiny_splits(), name="another")
    assert not list(mixed.output.glob("references*"))


def test_what_has_become_readable_is_read_by_the_same_command(config):
    """Where permissions were given, or `pillow-heif` installed: the file is as long as before."""
    images = [config.images / f"{i:03}.png" for i in (1, 3, 15)]
    whole = [path.read_bytes() for path in images]
    for path, data in zip(images, whole, strict=True):
        path.write_bytes(bytes(len(data)))
    with pytest.raises(RuntimeError, match="the lights went out"):
        prepare(config, TinyEncoder(fails_at=3))
    for path, data in zip(images[:2], whole, strict=False):
        path.write_bytes(data)
    encoder = TinyEncoder()
    assert set(prepare(config, encoder).unreadable) == {"015.png"}
    # Of five batches, the first, with both that were mended, and the last two.
    assert len(encoder.batches) == 3
    undisturbed = replace(config, output=config.output.with_name("again"), name="data")
    prepare(undisturbed)
    assert (contents(config.output)) == contents(undisturbed.output)


def test_strict_refuses_missing_and_unreadable(mixed):
    strict, encoder = replace(mixed, strict=True), TinyEncoder()
    with pytest.raises(FileNotFoundError, match="1 of 18 images are missing: 010.png; .*`strict`"):
        plan_preparation(strict)
    draw(mixed.images / "010.png", "red")
    with pytest.raises(ValueError, match="003.png: is empty.* 0 images are done and kept"):
        prepare(strict, encoder)
    draw(mixed.images / "003.png", "red")
    with pytest.raises(ValueError, match="011.png: .* 8 images are done and kept.*`strict`"):
        prepare(strict, encoder)
    # What is done without it is not lost, and refused with it, without encoding again.
    with Preparation(plan_preparation(mixed), encoder) as preparation:
        list(preparation.encode())
    count = encoder.pictures
    with pytest.raises(ValueError, match="011.png: .* 18 images are done and kept"):
        prepare(strict, encoder)
    for name in ("007.png", "011.png"):
        draw(mixed.images / name, "blue")
    prepare(strict, encoder)
    assert encoder.pictures <= count + 8
    assert load_coco(mixed.output).counts["train"].images == 15


@pytest.mark.parametrize("stop_after", [1, 4])
def test_stopped_and_run_again_equals_undisturbed(mixed, stop_after, tmp_path):
    whole = replace(mixed, output=tmp_path / "whole" / "data", pca=3)
    prepare(whole)
    cut = replace(whole, output=tmp_path / "cut" / "data")
    stopped, again = TinyEncoder(fails_at=stop_after), TinyEncoder()
    with pytest.raises(RuntimeError, match="lights"):
        prepare(cut, stopped)
    assert not cut.output.exists()
    # Another encoder begins again, and other words keep the features.
    with Preparation(plan_preparation(cut), TinyEncoder(version="2")) as preparation:
        assert preparation.store.begun_again and preparation.store.num_done == 0
    with pytest.raises(RuntimeError, match="lights"):
        prepare(replace(cut, max_length=3), TinyEncoder(fails_at=stop_after))
    prepare(cut, again)
    assert contents(cut.output) == contents(whole.output)
    assert stopped.pictures + again.pictures == 17
    assert again.batches == [4, 4, 4, 4, 1][stop_after:]


def test_nothing_is_overwritten_unasked_and_nothing_foreign_deleted(config, tmp_path):
    prepare(config)
    before = contents(config.output)
    with pytest.raises(FileExistsError, match="data: already holds a data set.*`overwrite`"):
        prepare(replace(config, max_length=3))
    assert contents(config.output) == before
    prepare(replace(config, max_length=3, overwrite=True))
    assert load_coco(config.output).caption_length == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["captions.json", "data", "images"]
    (config.output / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match="holds 'thesis.tex', which no preparation wrote"):
        prepare(replace(config, overwrite=True))
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileExistsError, match="file: is a file; give a folder as `output`"):
        prepare(replace(config, output=tmp_path / "file", overwrite=True))


def test_pca_is_fitted_on_training_features_and_stored(mixed, monkeypatch):
    for pca in (7, 15):
        encoder = TinyEncoder()
        with pytest.raises(ValueError, match=f"`pca` is {pca}, expected 1 to 6, .* 14 training"):
            prepare(replace(mixed, pca=pca), encoder)
        assert not encoder.batches
    monkeypatch.setattr("jaxcap.preparing.preparation._CHUNK_ROWS", 5)
    done = prepare(replace(mixed, pca=3))
    reduced, full = load_coco(mixed.output), load_coco(mixed.output, pca_features=False)
    assert (reduced.feature_dim, full.feature_dim) == (3, 6)
    projection = Projection.load(mixed.output / "pca.h5")
    assert reduced.pca == projection.describe() and full.pca is None
    train = np.asarray(full.train.features, np.float64)
    np.testing.assert_allclose(projection.mean, train.mean(0), rtol=1e-6)
    _, values, directions = np.linalg.svd(train - train.mean(0))
    np.testing.assert_allclose(abs(projection.components @ directions[:3].T), np.eye(3), atol=1e-5)
    assert done.variance == pytest.approx((values[:3] ** 2).sum() / (values**2).sum())
    for split in ("train", "val"):
        expected = projection.apply(np.asarray(full.splits[split].features))
        np.testing.assert_allclose(reduced.splits[split].features, expected, atol=1e-6)


def test_images_that_are_not_there_or_not_whole(config, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.txt").write_text("x")
    for folder, message in (
        (
            "empty",
            r"no images in .*empty: none of the 18 .*captions.json names is there \(001.png,",
        ),
        ("nowhere", "nowhere: no such folder"),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            plan_preparation(replace(config, images=tmp_path / folder))
    for name in ("000.png", "007.png", "014.png"):
        (config.images / name).write_bytes(b"")
    with pytest.raises(ValueError, match="every image of the split val is missing or unreadable"):
        prepare(config)
    assert not config.output.exists()


def test_names_in_any_script_with_spaces_and_folders(config):
    names = ["ein großer Hund.png", "猫/一 只.png", "a%20b#1.png", "poupée.png"]
    for name in names:
        draw(config.images / name, "red")
    # A file system may spell the name in the other way.
    decomposed = config.images / unicodedata.normalize("NFD", "poupée.png")
    (config.images / "poupée.png").rename(decomposed)
    write_tsv(config.captions, {name: ["a picture"] for name in names})
    prepare(replace(config, splits=SplitChoice(val_share=0.3)))
    data = load_coco(config.output)
    urls = [*data.train.urls.tolist(), *data.val.urls.tolist()]
    assert [open_picture(url.decode()).size for url in urls] == [(12, 8)] * 4


def test_captions_are_counted_cut_and_cleaned(config):
    captions = {
        "000.png": ["one two three four five six seven eight nine ten", "  ", "..."],
        "001.png": ["Caf\u00e9 1", "Cafe\u0301 1", "Café 1"],
        **{"002.png": ["!"], "003.png": ["a"]},
    }
    config = replace(config, splits=SplitChoice(val_share=0.3))
    write_tsv(config.captions, captions)
    plan = plan_preparation(config)
    said = " ".join([*plan.notes, *plan.describe()])
    assert "4 of 3 images" in said and "1 captions cut to 8 words" in said
    assert "3 empty captions, 1 repeated captions, 1 images without a caption" in said
    words = {image.name: image.captions for image in plan.images}
    assert words["000.png"] == (("one", "two", "three", "four", "five", "six", "seven", "eight"),)
    assert words["001.png"] == (("café", "1"), ("café", "1"))
    # A language without spaces.
    chinese = {f"{i:03}.png": [f"图里有一只{c}猫"] for i, c in enumerate("红绿蓝白黑黄")}
    config = replace(config, min_count=3, splits=SplitChoice(val_share=0.1))
    write_tsv(config.captions, chinese)
    with pytest.raises(ValueError, match="no word occurs 3 times .* 1 times.*`tokenizer`"):
        plan_preparation(config)
    same = {f"00{i}.png": ["一样 的"] for i in (6, 7, 8)}
    write_tsv(config.captions, chinese | same)
    with pytest.warns(UserWarning, match=r"\d\d% of the words .*`tokenizer=character` .now ptb"):
        plan_preparation(config)
    plan = plan_preparation(replace(config, tokenizer="character"))
    assert "猫" in plan.vocabulary.word_to_idx
