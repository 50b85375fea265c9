"""What people name images by: which files are images, which file a name means, what is opened."""

import os
import unicodedata
from pathlib import Path

import pytest
from photo_files import draw

from jaxcap.vision.folders import find_images, is_image_name
from jaxcap.vision.sources import find_sources, open_source


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a [1].png", "below/c.png"):
        draw(tmp_path / "photos" / name, "red")
    for name in (".DS_Store", "._b.png", "notes.txt"):
        (tmp_path / "photos" / name).write_text("x")
    (tmp_path / "photos" / "empty").mkdir()
    return tmp_path / "photos"


def test_folders_patterns_files_and_urls(photos):
    url = "https://example.org/x?size=1"
    named = ["photos/b.png", Path("photos"), url, "photos/**/*.png", "gone.png"]
    found = ["photos/b.png", "photos/a [1].png", url, "photos/below/c.png", "gone.png"]
    assert find_sources(named) == (found, [])
    for name in ("photos/a [1].png", "photos/notes.txt"):
        assert find_sources([name]).images == [name]
    assert find_sources(["photos/*"]).images == ["photos/a [1].png", "photos/b.png"]
    nothing = ["photos/empty", "photos/*.gif"]
    assert find_sources(nothing) == ([], [(name, f"no images in {name}") for name in nothing])
    for source in ("photos/b.png", photos / "b.png", (photos / "a [1].png").as_uri()):
        assert open_source(source).shape == (8, 12, 3)
    with pytest.raises(ValueError, match="only http and https"):
        open_source("ftp://example.org/x.jpg")
    with pytest.raises(ValueError, match="not a public address"):
        open_source("http://127.0.0.1:9/x.jpg")


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_names_are_paths_or_last_parts(tmp_path):
    images, decomposed = tmp_path / "images", unicodedata.normalize("NFD", "poupée.jpg")
    touch(images / "val2014/a.jpg", images / "b.jpg", images / "other/c.jpg", images / decomposed)
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
    names = {"a.jpg": 1, "A.JPEG": 1, "b.webp": 1, ".DS_Store": 0, "._a.jpg": 0, "notes.txt": 0}
    for name, expected in {**names, "a.eps": 0, "a.h5": 0, "jpg": 0}.items():
        assert is_image_name(name) == is_image_name(Path(name)) == bool(expected), name


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
