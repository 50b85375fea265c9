"""The scenes on disk: one set a cache folder, whole or not at all, read by the common reader."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from jaxcap.data.coco import load_coco
from jaxcap.scenes import (
    NAME,
    captions,
    dataset,
    ensure_scenes,
    picture,
    sample_scene,
    scene_of_url,
)
from jaxcap.scenes.drawing import pixels
from jaxcap.vision.grid import grid_features

COUNTS = {"train": 12, "val": 5}


@pytest.fixture(autouse=True)
def small_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dataset, "COUNTS", COUNTS)
    monkeypatch.delenv(dataset.CACHE_VARIABLE, raising=False)


def test_the_set_reads_back_as_the_scenes_it_was_made_of(tmp_path: Path):
    data = load_coco(ensure_scenes(tmp_path))
    assert data.name == NAME
    assert data.counts == {s: {"images": n, "captions": 5 * n} for s, n in COUNTS.items()}
    assert (data.caption_length, data.feature_dim) == (17, 512)
    for split in COUNTS:
        arrays = data.splits[split]
        for row in range(len(arrays.captions)):
            index = int(arrays.image_idxs[row])
            scene = sample_scene(split, index)
            assert arrays.urls[index].decode() == f"scenes://{split}/{index}"
            assert data.vocabulary.decode(arrays.captions[row]) == captions(scene)[row % 5]
        images = np.stack([pixels(sample_scene(split, i)) for i in range(COUNTS[split])])
        np.testing.assert_array_equal(arrays.features, grid_features(images))


def test_the_set_is_written_once_and_the_same_each_time(tmp_path: Path):
    first = ensure_scenes(tmp_path / "a")
    before = {path.name: path.stat().st_mtime_ns for path in first.iterdir()}
    assert ensure_scenes(tmp_path / "a") == first
    assert {path.name: path.stat().st_mtime_ns for path in first.iterdir()} == before
    second = ensure_scenes(tmp_path / "b")
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_the_folder_comes_from_the_argument_then_the_environment_then_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv(dataset.CACHE_VARIABLE, raising=False)
    monkeypatch.setattr(
        "jaxcap.files.cache.platformdirs.user_cache_dir", lambda name: tmp_path / name
    )
    assert ensure_scenes() == tmp_path / "jaxcap" / NAME
    monkeypatch.setenv(dataset.CACHE_VARIABLE, str(tmp_path / "mine"))
    assert ensure_scenes() == tmp_path / "mine" / NAME
    assert ensure_scenes(tmp_path / "given") == tmp_path / "given" / NAME


def test_the_loser_of_a_race_uses_the_winners_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write = dataset._write

    def slow(folder: Path) -> None:
        write(folder)
        monkeypatch.setattr(dataset, "_write", write)
        ensure_scenes(tmp_path)
        (tmp_path / NAME / "winner").touch()

    monkeypatch.setattr(dataset, "_write", slow)
    assert (ensure_scenes(tmp_path) / "winner").exists()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_what_a_killed_process_left_is_never_read(tmp_path: Path):
    stale = tmp_path / f"{NAME}.123-abc.part"
    stale.mkdir()
    (stale / "coco2014_captions.h5").write_bytes(b"half")
    assert len(load_coco(ensure_scenes(tmp_path)).train.captions) == 60


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), RuntimeError("HDF5")])
def test_a_failed_write_leaves_nothing_and_says_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
):
    def write_half(folder: Path, *args: object, **kwargs: object) -> None:
        folder.mkdir()
        (folder / "coco2014_captions.h5").write_bytes(b"half")
        raise failure

    monkeypatch.setattr(dataset, "write_coco", write_half)
    with pytest.raises(OSError, match="cannot write the scenes into .*--data_dir") as caught:
        ensure_scenes(tmp_path)
    assert str(tmp_path) in str(caught.value) and dataset.CACHE_VARIABLE in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(folder: Path, *args: object, **kwargs: object) -> None:
        folder.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "write_coco", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ensure_scenes(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_seen_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = os.statvfs(tmp_path), 0, 1000
    monkeypatch.setattr(dataset.shutil, "disk_usage", lambda path: _Usage(*usage))
    with pytest.raises(OSError, match="0.0 MB are free, the set takes"):
        ensure_scenes(tmp_path)


class _Usage:
    def __init__(self, total: object, used: int, free: int) -> None:
        self.free = free


def test_a_file_in_the_way_is_an_error_that_names_it(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot write the scenes into .*file"):
        ensure_scenes(tmp_path / "file")
    (tmp_path / NAME).touch()
    with pytest.raises(OSError, match="cannot write the scenes into"):
        ensure_scenes(tmp_path)


def test_a_damaged_set_is_an_error_that_names_the_file(tmp_path: Path):
    folder = ensure_scenes(tmp_path)
    captions_file = folder / "coco2014_captions.h5"
    whole = captions_file.read_bytes()
    captions_file.write_bytes(whole[:100])
    with pytest.raises(ValueError, match="captions.h5: has 100 bytes, expected .*delete"):
        ensure_scenes(tmp_path)
    captions_file.unlink()
    with pytest.raises(ValueError, match="captions.h5: is missing"):
        ensure_scenes(tmp_path)
    captions_file.write_bytes(whole)
    assert ensure_scenes(tmp_path) == folder
    (folder / "files.json").write_text("{")
    with pytest.raises(ValueError, match="files.json: cannot be read"):
        ensure_scenes(tmp_path)


def test_the_list_of_files_names_them_all(tmp_path: Path):
    folder = ensure_scenes(tmp_path)
    listed = json.loads((folder / "files.json").read_text())
    assert {*listed, "files.json"} == {path.name for path in folder.iterdir()}


def test_a_url_gives_the_scene_and_its_picture():
    assert scene_of_url("scenes://val/4") == sample_scene("val", 4)
    np.testing.assert_array_equal(picture("scenes://val/4"), pixels(sample_scene("val", 4)))
    assert picture("scenes://train/0", 96).size == (96, 96)


@pytest.mark.parametrize(
    "url", ["scenes://val/5", "scenes://test/0", "scenes://val/-1", "scenes://val/1/2", "x.png", ""]
)
def test_a_url_of_no_scene_is_an_error(url: str):
    with pytest.raises(ValueError, match="no scene has the URL .*scenes://val/0 to 4"):
        scene_of_url(url)
