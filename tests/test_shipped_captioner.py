"""The captioner that comes with jaxcap: it is there, small, whole, and captions at once."""

import json
import shutil

import numpy as np
import pytest
from command_calls import ROOT, call
from PIL import Image

from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.photos import PhotoCaptioner, shipped_checkpoint


def test_it_is_small_and_says_what_it_is():
    folder = shipped_checkpoint()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20e6
    captioner = PhotoCaptioner.load(folder)
    assert captioner.info.data.name == "flickr8k"
    assert captioner.info.data.counts["train"].images == 6000
    assert captioner.encoder.name == "efficientnet-lite0-288"
    assert all(np.isfinite(value).all() for value in captioner.params.values())
    assert captioner.info.source.data_dir is None


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


def test_its_numbers_are_those_that_were_measured(tmp_path):
    """It has a checksum of everything in it, so that a word in another place is refused."""
    folder = tmp_path / "captioner"
    shutil.copytree(shipped_checkpoint(), folder)
    (path,) = folder.glob("*/info/metadata")
    about = path.read_text(encoding="utf-8")
    assert set(json.loads(about)["checksums"]) == {"params", "info", "validation"}
    path.write_text(about.replace('"dog", "', '"cat", "', 1), encoding="utf-8")
    checkpoints = Checkpoints(folder)
    with pytest.raises(ValueError, match="the item info is not what was saved"):
        checkpoints.load_params(checkpoints.steps[-1])
