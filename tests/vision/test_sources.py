"""What people name images by: which files are images, which file a name means, what is opened."""

from pathlib import Path

import pytest
from photo_files import draw

from jaxcap.vision.folders import is_image_name
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


def test_names_of_images():
    names = {"a.jpg": 1, "A.JPEG": 1, "b.webp": 1, ".DS_Store": 0, "._a.jpg": 0, "notes.txt": 0}
    for name, expected in {**names, "a.eps": 0, "a.h5": 0, "jpg": 0}.items():
        assert is_image_name(name) == is_image_name(Path(name)) == bool(expected), name
