"""Images of every kind become upright RGB bytes; `tests/properties` has what is broken."""

import numpy as np
import pytest
from PIL import Image

from jaxcap.vision.images import open_image

ROWS, COLUMNS = np.mgrid[:6, :4]
COLOURS = np.stack([ROWS * 40, COLUMNS * 60, 255 - ROWS * COLUMNS * 8], -1).astype(np.uint8)
"""A picture in which no two pixels are alike."""
NOISE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
TURNS = [
    lambda a: a,
    lambda a: a[:, ::-1],
    lambda a: a[::-1, ::-1],
    lambda a: a[::-1],
    lambda a: a.transpose(1, 0, 2),
    lambda a: np.rot90(a, 1),
    lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    lambda a: np.rot90(a, -1),
]


def opened(path, image, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(np.ascontiguousarray(image))
    image.save(path, **options)
    return open_image(path)


def gray(values):
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, -1)


def test_exif_rotation_is_applied(tmp_path):
    for orientation, turn in enumerate(TURNS, start=1):
        exif = Image.Exif()
        exif[0x0112] = orientation
        found = opened(tmp_path / "turned.png", turn(COLOURS), exif=exif)
        np.testing.assert_array_equal(found, COLOURS)
    broken = b"Exif\x00\x00II*\x00\xff\xff\xff\x7f"
    np.testing.assert_array_equal(opened(tmp_path / "a.png", COLOURS, exif=broken), COLOURS)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp", "gif", "ppm", "jpg", "ico"])
def test_formats(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"a.{suffix}"
    image = opened(path, NOISE, **options)
    assert image.dtype == np.uint8 and image.shape == (16, 16, 3) and image.flags.writeable
    if suffix not in ("jpg", "gif"):
        np.testing.assert_array_equal(image, NOISE)
    # The name does not matter, and of an animation the first frame counts.
    np.testing.assert_array_equal(open_image(str(path.rename(tmp_path / "a"))), image)
    if suffix in ("gif", "png", "webp", "tiff"):
        frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
        found = opened(path, frames[0], save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(found, np.full((8, 8, 3), (255, 0, 0)))


def test_other_depths_are_scaled_or_stretched(tmp_path):
    values = COLOURS[..., 0]
    np.testing.assert_array_equal(opened(tmp_path / "l.png", values), gray(values))
    found = opened(tmp_path / "1.png", Image.fromarray(values > 100))
    np.testing.assert_array_equal(found, gray((values > 100) * 255))
    for suffix in ("png", "tiff"):
        sixteen = np.array([[0, 257, 65535], [128, 129, 32896]], np.uint16)
        found = opened(tmp_path / f"a.{suffix}", sixteen)
        np.testing.assert_array_equal(found, gray([[0, 1, 255], [0, 1, 128]]))
    integers = np.array([[-100, 0, 156], [155, -99, 28]], np.int32)
    found = opened(tmp_path / "i.tiff", integers).astype(int)
    np.testing.assert_allclose(found, gray([[0, 100, 255], [254, 1, 128]]).astype(int), atol=1)
    floats = np.array([[0.0, 1.0, 0.5]], np.float32)
    np.testing.assert_array_equal(opened(tmp_path / "f.tiff", floats), gray([[0, 255, 128]]))
    flat = opened(tmp_path / "flat.tiff", np.full((2, 2), 0.5, np.float32))
    assert (flat == flat[0, 0]).all()
    floats[0, 1] = np.nan
    with pytest.raises(OSError, match=r"nan\.tiff.*NaN"):
        opened(tmp_path / "nan.tiff", floats)


def test_palettes_cmyk_and_transparency(tmp_path):
    palette = Image.fromarray(COLOURS).quantize(24)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(opened(tmp_path / "p.png", palette), expected)
    found = opened(tmp_path / "c.tiff", Image.fromarray(COLOURS).convert("CMYK"))
    np.testing.assert_allclose(found.astype(int), COLOURS.astype(int), atol=2)
    # What is transparent is laid on white.
    alpha = np.array([[0, 255, 51]], np.uint8)
    rgba = np.dstack([np.full((1, 3, 3), (10, 20, 30), np.uint8), alpha])
    expected = [[[255, 255, 255], [10, 20, 30], [206, 208, 210]]]
    np.testing.assert_array_equal(opened(tmp_path / "a.png", rgba), expected)
    assert (opened(tmp_path / "la.png", Image.fromarray(rgba).convert("LA"))[0, 0] == 255).all()
    assert (opened(tmp_path / "k.png", rgba[..., :3], transparency=(10, 20, 30)) == 255).all()
    indexed = Image.fromarray(np.array([[0, 1, 0]], np.uint8)).convert("P")
    indexed.putpalette([9, 9, 9, 50, 60, 70])
    for name, transparency in (("a.gif", 0), ("p.png", bytes([0, 255]))):
        found = opened(tmp_path / name, indexed, transparency=transparency)
        np.testing.assert_array_equal(found, [[[255] * 3, [50, 60, 70], [255] * 3]])
