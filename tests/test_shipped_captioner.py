"""The captioner that comes with jaxcap: it is there, small, whole, and captions at once."""

import numpy as np
from command_calls import ROOT, call
from PIL import Image

from jaxcap.photos import PhotoCaptioner, shipped_checkpoint


def test_it_is_small_and_says_what_it_is():
    folder = shipped_checkpoint()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20e6
    captioner = PhotoCaptioner.load(folder)
    assert captioner.info.data["name"] == "flickr8k"
    assert captioner.info.data["counts"]["train"]["images"] == 6000
    assert captioner.encoder.name == "efficientnet-lite0-288"
    assert all(np.isfinite(value).all() for value in captioner.params.values())
    assert captioner.info.source["data_dir"] is None


def test_caption_needs_no_flag_and_no_download(tmp_path):
    """Of a lawn under a sky, and of a snowfield."""
    rng = np.random.default_rng(0)
    noise = rng.integers(-20, 20, (240, 320, 3))
    lawn = np.full((240, 320, 3), (90, 150, 60))
    lawn[:100] = (140, 180, 230)
    snow = np.full((240, 320, 3), 235)
    snow[:60] = (120, 160, 220)
    for name, pixels in (("lawn", lawn), ("snow", snow)):
        picture = Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))
        picture.save(tmp_path / f"{name}.png")
    code, out, err = call("caption", str(tmp_path))
    assert (code, err) == (0, "")
    found = dict(line.split("\t") for line in out.splitlines())
    assert [path.rpartition("/")[2] for path in found] == ["lawn.png", "snow.png"]
    words = set(PhotoCaptioner.load(shipped_checkpoint()).info.vocabulary.idx_to_word)
    for caption in found.values():
        assert 3 <= len(caption.split()) <= 20 and set(caption.split()) <= words
    assert len(set(found.values())) == 2


def test_the_readme_says_its_terms():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert "Flickr8k is for non-commercial research and education" in text
