"""What people name images by."""

import pytest
from photo_files import draw

from jaxcap.vision.sources import find_sources, open_source


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a [1].png", "below/c.png"):
        draw(tmp_path / "photos" / name, "red")
    for name in (".DS_Store", "._b.png", "notes.txt"):
        (tmp_path / "photos" / name).write_text("x")
    return tmp_path / "photos"


def test_folders_patterns_files_and_urls(folder):
    url = "https://example.org/x?size=1"
    images, faults = find_sources(["photos/b.png", "photos", url, "photos/**/*.png", "gone.png"])
    assert images == [
        "photos/b.png",
        "photos/a [1].png",
        url,
        "photos/below/c.png",
        "gone.png",
    ]
    assert faults == []
    assert find_sources(["photos/a [1].png"]).images == ["photos/a [1].png"]
    assert find_sources(["photos/notes.txt"]).images == ["photos/notes.txt"]
    assert find_sources(["photos/*"]).images == ["photos/a [1].png", "photos/b.png"]


def test_nothing_to_be_found_is_a_fault(folder):
    (folder / "empty").mkdir()
    images, faults = find_sources(["photos/empty", "photos/*.gif"])
    assert images == []
    assert faults == [
        ("photos/empty", "no images in photos/empty"),
        ("photos/*.gif", "no images in photos/*.gif"),
    ]


def test_opened(folder):
    assert open_source("photos/b.png").shape == (8, 12, 3)
    with pytest.raises(ValueError, match="only http and https"):
        open_source("file:///etc/hostname")
    with pytest.raises(ValueError, match="not a public address"):
        open_source("http://127.0.0.1:9/x.jpg")
