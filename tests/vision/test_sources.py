"""What people name images by: which files are images, which file a name means, what is opened."""

import errno
from pathlib import Path

import pytest
from photo_files import draw

from jaxcap.vision.formats import is_image_name, unread_note
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
    assert find_sources(named) == (found, [], [])
    for name in ("photos/a [1].png", "photos/notes.txt"):
        assert find_sources([name]).images == [name]
    assert find_sources(["photos/*"]).images == ["photos/a [1].png", "photos/b.png"]
    nothing = ["photos/empty", "photos/*.gif"]
    assert find_sources(nothing) == ([], [(name, f"no images in {name}") for name in nothing], [])
    for source in ("photos/b.png", photos / "b.png", (photos / "a [1].png").as_uri()):
        assert open_source(source).shape == (8, 12, 3)
    with pytest.raises(ValueError, match="only http and https"):
        open_source("ftp://example.org/x.jpg")
    with pytest.raises(ValueError, match="not a public address"):
        open_source("http://127.0.0.1:9/x.jpg")


def test_a_folder_that_may_not_be_looked_into_is_one_fault(photos, monkeypatch):
    def denied(folder):
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", denied)
    found = find_sources(["photos", "photos/b.png", "x" * 999])
    said = (
        "photos: cannot be read: Permission denied; check its permissions and those of its folder"
    )
    assert found == (["photos/b.png", "x" * 999], [("photos", said)], [])
    with pytest.raises(OSError, match="x: cannot be read: File name too long; shorten the name"):
        open_source("x" * 999)


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_names_of_images():
    names = {"a.jpg": 1, "A.JPEG": 1, "b.webp": 1, ".DS_Store": 0, "._a.jpg": 0, "notes.txt": 0}
    names |= {"a.mpo": 1, "a.MPO": 1, "a.gif": 1, "a.cr2": 0, "a.pdf": 0}
    for name, expected in {**names, "a.eps": 0, "a.h5": 0, "jpg": 0}.items():
        assert is_image_name(name) == is_image_name(Path(name)) == bool(expected), name


def test_pictures_of_kinds_that_are_not_read_are_counted_by_kind(photos, without_heif):
    folder = photos / "phone"
    draw(folder / "a.mpo.png", "red")
    names = ["IMG_0.HEIC", "IMG_1.heic", "x.CR2", "x.mov", "._IMG_0.HEIC", "a.txt", "map.svg"]
    touch(*(folder / name for name in names), folder / "below.heic" / "b.txt")
    passed = ["IMG_0.HEIC", "IMG_1.heic", "map.svg", "x.CR2"]
    remedy = "pip install 'jaxcap[heif]', or save as JPEG"
    note = (
        f"2 files of a kind that is not read (HEIC): {remedy}; 1 file of a kind that is not read "
        "(SVG): save as PNG or JPEG; 1 file of a kind that is not read (camera raw): export "
        "as JPEG"
    )
    # Each is counted once.
    for sources in (["photos/phone"], ["photos/phone/*", "photos/phone/*"]):
        found = find_sources([*sources, "photos/phone/*.HEIC"])
        assert found.images == ["photos/phone/a.mpo.png"]
        assert found.unread == [f"photos/phone/{name}" for name in passed]
        assert unread_note(found.unread) == note
        ((name, said),) = found.faults
        assert said == f"no images in {name} but 1 file of a kind that is not read (HEIC): {remedy}"
    assert find_sources(["photos"]).unread == [] and unread_note([]) == ""
    # One that is named is opened, and refused then.
    assert find_sources(["photos/phone/IMG_0.HEIC"]).images == ["photos/phone/IMG_0.HEIC"]
