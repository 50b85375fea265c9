"""Which files are images, and which file a name means."""

import os
import unicodedata
from pathlib import Path

import pytest

from jaxcap.vision.folders import find_images, is_image_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", True),
        ("A.JPEG", True),
        ("b.webp", True),
        (".DS_Store", False),
        ("._a.jpg", False),
        ("notes.txt", False),
        ("a.eps", False),
        ("a.h5", False),
        ("jpg", False),
    ],
)
def test_images_by_name(name, expected):
    assert is_image_name(Path(name)) is expected


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_names_are_paths_or_last_parts(tmp_path):
    touch(tmp_path / "val2014/a.jpg", tmp_path / "b.jpg", tmp_path / "other/c.jpg")
    touch(tmp_path / ".git/d.jpg", tmp_path / ".DS_Store")
    found = find_images(tmp_path, ["val2014/a.jpg", "val2014/b.jpg", "c.jpg", "d.jpg"])
    assert found.paths == {
        "val2014/a.jpg": tmp_path / "val2014/a.jpg",
        "val2014/b.jpg": tmp_path / "b.jpg",
    }
    assert found.missing == ["c.jpg", "d.jpg"]
    assert found.others == 2


def test_marks_may_be_spelled_either_way(tmp_path):
    decomposed = unicodedata.normalize("NFD", "poupée.jpg")
    touch(tmp_path / decomposed)
    assert find_images(tmp_path, ["poupée.jpg"]).paths == {"poupée.jpg": tmp_path / decomposed}


def test_links_are_followed_by_name(tmp_path):
    touch(tmp_path / "elsewhere/a.jpg")
    (tmp_path / "images").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "images/train")
    found = find_images(tmp_path / "images", ["train/a.jpg", str(tmp_path / "images/train/a.jpg")])
    assert not found.missing


def test_no_name_leads_out_of_the_folder(tmp_path, monkeypatch):
    touch(tmp_path / "secret.jpg", tmp_path / "images/a.jpg", tmp_path / "images2/b.jpg")
    monkeypatch.chdir(tmp_path)
    outside = ["../secret.jpg", "x/../../secret.jpg", str(tmp_path / "secret.jpg")]
    outside += ["../images2/b.jpg", str(tmp_path / "images2/b.jpg"), "..", ".", "", "a\0.jpg"]
    outside += ["\ud800.jpg", "/" + "x/" * 5000, "x" * 5000]
    for folder in (tmp_path / "images", Path("images"), tmp_path / "images2/../images"):
        found = find_images(folder, [*outside, "./a.jpg", "../images/a.jpg"])
        assert found.missing == outside
        assert found.paths["./a.jpg"] == folder / "a.jpg"
        assert found.paths["../images/a.jpg"].samefile("images/a.jpg")


def test_no_folder(tmp_path):
    touch(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="file: is not a folder"):
        find_images(tmp_path / "file", [])
