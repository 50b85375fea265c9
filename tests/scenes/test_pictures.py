"""Pictures behind URLs: there, broken, missing, or on the network."""

from PIL import Image

from jaxcap.scenes import open_picture


def test_files_by_path_and_by_uri(tmp_path):
    path = tmp_path / "ein großes %20 Bild #1.png"
    Image.new("RGBA", (6, 4), "red").save(path)
    for url in (str(path), path.as_uri()):
        picture = open_picture(url)
        assert (picture.size, picture.mode) == ((6, 4), "RGB")


def test_what_cannot_be_opened_is_a_reason(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"<html>")
    assert "broken.jpg: not an image" in open_picture((tmp_path / "broken.jpg").as_uri())
    assert "no such file" in open_picture((tmp_path / "gone.jpg").as_uri())
    assert "no such file" in open_picture("gone.jpg")
    assert "is a folder" in open_picture(str(tmp_path))
    assert "no scene has the URL" in open_picture("scenes://val/500")


def test_nothing_is_fetched():
    assert open_picture("http://images.example.org/1.jpg") is None
    assert open_picture("") is None
