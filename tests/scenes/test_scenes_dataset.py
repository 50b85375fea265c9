"""The scenes on disk: one set a cache folder, whole or not at all, read by the common reader."""

import errno
import json

import numpy as np
import pytest
from PIL import Image

from jaxcap.data.coco import load_coco
from jaxcap.data.dataset import Counts
from jaxcap.files import whole
from jaxcap.scenes import (
    NAME,
    captions,
    dataset,
    ensure_scenes,
    open_picture,
    picture,
    sample_scene,
    scene_of_url,
)
from jaxcap.scenes.drawing import pixels
from jaxcap.vision.grid import grid_features

CAPTIONS, COUNTS = "coco2014_captions.h5", {"train": 12, "val": 5}


@pytest.fixture(autouse=True)
def small_set(monkeypatch):
    monkeypatch.setattr(dataset, "COUNTS", COUNTS)
    monkeypatch.delenv(dataset.CACHE_VARIABLE, raising=False)


def test_the_set_reads_back_as_the_scenes_it_was_made_of(tmp_path):
    # What a killed process left is never read.
    (tmp_path / f"{NAME}.123-abc.part").mkdir()
    (tmp_path / f"{NAME}.123-abc.part" / CAPTIONS).write_bytes(b"half")
    folder = ensure_scenes(str(tmp_path))
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    data = load_coco(folder)
    assert data.name == NAME and (data.caption_length, data.feature_dim) == (17, 512)
    assert data.counts == {split: Counts(5 * n, n) for split, n in COUNTS.items()}
    for split in COUNTS:
        arrays, scenes = data.splits[split], [sample_scene(split, i) for i in range(COUNTS[split])]
        for row, index in enumerate(arrays.image_idxs.tolist()):
            assert arrays.urls[index].decode() == f"scenes://{split}/{index}"
            sentence = data.vocabulary.decode(arrays.captions[row])
            assert sentence == captions(scenes[index])[row % 5]
        features = grid_features(np.stack([pixels(scene) for scene in scenes]))
        np.testing.assert_array_equal(arrays.features, features)
    # Written once, and the same each time; the list of files names them all.
    assert ensure_scenes(tmp_path) == folder
    second = ensure_scenes(tmp_path / "b")
    assert before == {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.iterdir()}
    assert {name: raw for name, (_, raw) in before.items()} == {
        path.name: path.read_bytes() for path in second.iterdir()
    }
    assert {*json.loads((folder / "files.json").read_text()), "files.json"} == set(before)


def test_the_folder_comes_from_the_argument_then_the_environment_then_the_system(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: tmp_path / name)
    assert ensure_scenes() == tmp_path / "jaxcap" / NAME
    monkeypatch.setenv(dataset.CACHE_VARIABLE, str(tmp_path / "mine"))
    assert ensure_scenes() == tmp_path / "mine" / NAME
    assert ensure_scenes(tmp_path / "given") == tmp_path / "given" / NAME


def test_the_loser_of_a_race_uses_the_winners_set(tmp_path, monkeypatch):
    write = dataset._write

    def slow(folder):
        write(folder)
        monkeypatch.setattr(dataset, "_write", write)
        ensure_scenes(tmp_path)
        (tmp_path / NAME / "winner").touch()

    monkeypatch.setattr(dataset, "_write", slow)
    assert (ensure_scenes(tmp_path) / "winner").exists()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (OSError(errno.ENOSPC, "full"), "No space left on device"),
        (RuntimeError("HDF5"), "HDF5"),
        (KeyboardInterrupt(), None),
    ],
)
def test_a_failed_write_leaves_nothing_and_says_what_helps(tmp_path, monkeypatch, failure, reason):
    def write_half(folder, *args, **kwargs):
        folder.mkdir()
        (folder / CAPTIONS).write_bytes(b"half")
        raise failure

    monkeypatch.setattr(dataset, "write_coco", write_half)
    message = rf"^{tmp_path / NAME}: cannot be written \({reason}\): name .* JAXCAP_CACHE or `data_"
    with pytest.raises(OSError if reason else KeyboardInterrupt, match=reason and message):
        ensure_scenes(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_the_way_or_damaged_is_named(tmp_path, monkeypatch):
    folder = ensure_scenes(tmp_path)
    file, raw = folder / CAPTIONS, (folder / CAPTIONS).read_bytes()
    for spoil, message in (
        (lambda: file.write_bytes(raw[:100]), "captions.h5: has 100 bytes, expected .*delete"),
        (file.unlink, "captions.h5: is missing"),
        (lambda: (folder / "files.json").write_text("{"), "files.json: cannot be read"),
    ):
        spoil()
        with pytest.raises(ValueError, match=message):
            ensure_scenes(tmp_path)
    for name in ("file", f"folder/{NAME}"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        with pytest.raises(OSError, match="cannot be written .*: name another folder"):
            ensure_scenes(tmp_path / name.partition("/")[0])
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(whole.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="0.0 MB are free, 0.0 MB are needed"):
        ensure_scenes(tmp_path / "new")


def test_a_url_gives_its_picture_or_the_reason_why_there_is_none(tmp_path):
    assert scene_of_url("scenes://val/4") == sample_scene("val", 4)
    np.testing.assert_array_equal(picture("scenes://val/4"), pixels(sample_scene("val", 4)))
    assert picture("scenes://train/0", 96).size == (96, 96)
    for url in ("scenes://val/5", "scenes://test/0", "scenes://val/-1", "scenes://val/1/2", ""):
        with pytest.raises(ValueError, match="no scene has the URL .*scenes://val/0 to 4"):
            scene_of_url(url)
    path = tmp_path / "ein großes %20 Bild #1.png"
    Image.new("RGBA", (6, 4), "red").save(path)
    for url in (path, str(path), path.as_uri()):
        found = open_picture(url)
        assert (found.size, found.mode) == ((6, 4), "RGB")
    (tmp_path / "broken.jpg").write_bytes(b"<html>")
    for url, reason in (
        ((tmp_path / "broken.jpg").as_uri(), "broken.jpg: not an image"),
        ((tmp_path / "gone.jpg").as_uri(), "no such file"),
        ("gone.jpg", "no such file"),
        (tmp_path, "is a folder"),
        ("scenes://val/500", "no scene has the URL"),
    ):
        assert reason in open_picture(url)
    # Nothing is fetched unasked.
    assert open_picture("http://images.example.org/1.jpg") is open_picture("") is None
    assert "not a public address" in open_picture("http://127.0.0.1/1.jpg", fetch=True)
