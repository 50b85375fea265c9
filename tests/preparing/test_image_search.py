"""Which file a name refers to, and what is told of a name without one."""

import os
import unicodedata
from pathlib import Path

import pytest

from jaxcap.preparing.image_search import find_images


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_names_are_paths_or_last_parts(tmp_path):
    images, decomposed = tmp_path / "images", unicodedata.normalize("NFD", "poupée.jpg")
    touch(images / "val2014/a.jpg", images / "b.jpg", images / "other/c.jpg", images / decomposed)
    touch(images / "more/c.jpg")
    touch(images / ".git/d.jpg", images / ".DS_Store", tmp_path / "elsewhere/e.jpg")
    os.symlink(tmp_path / "elsewhere", images / "train")
    names = ["val2014/a.jpg", "val2014/b.jpg", "poupée.jpg", "train/e.jpg", "c.jpg", "d.jpg"]
    found = find_images(str(images), names)
    expected = ["val2014/a.jpg", "b.jpg", decomposed, "train/e.jpg"]
    assert found.paths == {n: images / e for n, e in zip(names[:4], expected, strict=True)}
    assert (found.missing, found.others) == (["c.jpg", "d.jpg"], 2)
    assert not find_images(images, [str(images / "train/e.jpg")]).missing
    with pytest.raises(FileNotFoundError, match="b.jpg: is not a folder"):
        find_images(images / "b.jpg", [])


def test_a_unique_last_part_or_stem_is_found_in_any_folder_and_near_names_are_told(tmp_path):
    touch(tmp_path / "x/a.jpg", tmp_path / "y/b.JPEG", tmp_path / "y/2.png", tmp_path / "y/2.txt")
    touch(tmp_path / "x/c.jpg", tmp_path / "y/c.jpg", tmp_path / "d.png")
    names = ["val2014\\a.jpg", "b", "2", "y/c", "c.jpg", "D.jpg", "e.jpg.1"]
    found = find_images(tmp_path, names)
    assert [str(path.relative_to(tmp_path)) for path in found.paths.values()] == [
        *("y/b.JPEG", "y/2.png", "y/c.jpg", "x/a.jpg")
    ]
    assert (found.missing, found.elsewhere) == (["c.jpg", "D.jpg", "e.jpg.1"], 1)
    assert found.near.list(found.missing) == (
        "c.jpg (there is x/c.jpg and 1 more), D.jpg (there is d.png), e.jpg.1"
    )
    assert found.near.list(["http://b.c/%61.jpg?d=1"]).endswith(" (there is x/a.jpg)")
    assert found.near.list(["a.jpg.1", "q", "r"], most=2) == "a.jpg.1 (there is x/a.jpg), q, ..."


def test_the_most_folders_that_fit_decide_and_no_file_is_of_two_names(tmp_path):
    touch(tmp_path / "1.jpg", tmp_path / "cat/1.jpg", tmp_path / "dog/1.jpg", tmp_path / "2.jpg")
    names = ["/data/cat/1.jpg", "D:\\data\\dog\\1.jpg", "cat/2.jpg", "dog/2.jpg"]
    found = find_images(tmp_path, names)
    assert found.paths == dict(
        zip(names, (tmp_path / "cat/1.jpg", tmp_path / "dog/1.jpg"), strict=False)
    )
    assert (found.missing, found.elsewhere) == (names[2:], 2)


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
