"""Pictures decoded once: kept as bytes, continued, read by rows."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from PIL import Image

from jaxcap.data.pictures import Pictures
from jaxcap.preparing import pictures
from jaxcap.preparing.pictures import decode_pictures
from jaxcap.vision.efficientnet import PREPROCESSING
from jaxcap.vision.images import open_image

SMALL = replace(PREPROCESSING, size=8)


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """Of five pictures, decoded two at a time."""
    monkeypatch.setattr(pictures, "_BATCH", 2)
    rng, found = np.random.default_rng(0), [tmp_path / f"{i}.png" for i in range(5)]
    for path in found:
        Image.fromarray(rng.integers(0, 256, (12, 10, 3), np.uint8)).save(path)
    return found


def test_rows_are_the_resized_pictures_in_any_order(paths, tmp_path):
    assert list(decode_pictures(paths, SMALL, tmp_path / "p.h5")) == [0, 2, 2, 1]
    expected = np.stack([SMALL.resize(open_image(path)) for path in paths])
    found = Pictures(tmp_path / "p.h5")
    assert (found.shape, found.dtype, found.nbytes) == ((5, 8, 8, 3), np.uint8, expected.nbytes)
    rows = np.array([4, 0, 4, 2])
    np.testing.assert_array_equal(found.read(rows), expected[rows])
    found.close()


def test_a_broken_picture_is_named_and_other_pictures_are_begun_again(paths, tmp_path):
    whole = paths[3].read_bytes()
    paths[3].write_bytes(b"no picture")
    decoding = decode_pictures(paths, SMALL, tmp_path / "p.h5")
    assert [next(decoding), next(decoding)] == [0, 2]
    with pytest.raises((OSError, ValueError), match=r"3\.png"):
        next(decoding)
    assert not (tmp_path / "p.h5").exists()
    assert next(decode_pictures(paths, SMALL, tmp_path / "p.h5")) == 2
    # It has another size in bytes.
    paths[3].write_bytes(whole)
    assert next(decode_pictures(paths, SMALL, tmp_path / "p.h5")) == 0


def test_a_killed_process_leaves_a_file_that_is_continued(paths, tmp_path, monkeypatch):
    decoding = decode_pictures(paths, SMALL, tmp_path / "p.h5")
    assert [next(decoding), next(decoding)] == [0, 2]
    left = (tmp_path / ".partial-p.h5").read_bytes()
    decoding.close()
    (tmp_path / ".partial-p.h5").write_bytes(left)
    opened = []
    monkeypatch.setattr(pictures, "open_image", lambda p: opened.append(p) or open_image(p))
    assert list(decode_pictures(paths, SMALL, tmp_path / "p.h5")) == [2, 2, 1]
    assert sorted(opened) == paths[2:]
    assert Pictures(tmp_path / "p.h5").shape == (5, 8, 8, 3)


def test_other_arrays_are_an_error(tmp_path):
    with h5py.File(tmp_path / "p.h5", "w") as file:
        file["pictures"] = np.ones((2, 4, 4, 3), np.int32)
    with pytest.raises(ValueError, match=r"p\.h5: pictures has type int32 .* expected uint8"):
        Pictures(tmp_path / "p.h5")
