"""Images of every kind become upright RGB bytes; what is broken is one error with its path."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxcap.vision.images import decode_image, open_image


def colours(height=6, width=4):
    """A picture in which no two pixels are alike."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 40, columns * 60, 255 - rows * columns * 8], -1).astype(np.uint8)


def noise(size=64):
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)


def saved(path, image, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(path, **options)
    return path


TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_rotation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(TURNS[orientation](colours()))
    path = saved(tmp_path / "turned.png", stored, exif=exif)
    np.testing.assert_array_equal(open_image(path), colours())


def test_broken_exif_leaves_the_picture(tmp_path):
    path = saved(tmp_path / "a.png", colours(), exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")
    np.testing.assert_array_equal(open_image(path), colours())


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp", "gif", "ppm", "jpg", "ico"])
def test_formats(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"a.{suffix}", noise(16), **options)
    image = open_image(path)
    assert image.dtype == np.uint8 and image.shape == (16, 16, 3) and image.flags.writeable
    if suffix not in ("jpg", "gif"):
        np.testing.assert_array_equal(image, noise(16))


def test_name_does_not_matter(tmp_path):
    path = saved(tmp_path / "a.png", colours())
    np.testing.assert_array_equal(open_image(path.rename(tmp_path / "a.jpg")), colours())


def gray(values):
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, -1)


def test_grayscale_and_one_bit(tmp_path):
    values = colours()[..., 0]
    np.testing.assert_array_equal(open_image(saved(tmp_path / "l.png", values)), gray(values))
    bits = Image.fromarray(values > 100)
    expected = gray((values > 100) * 255)
    np.testing.assert_array_equal(open_image(saved(tmp_path / "1.png", bits)), expected)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_are_scaled(tmp_path, suffix):
    values = np.array([[0, 257, 65535], [128, 129, 32896]], np.uint16)
    path = saved(tmp_path / f"a.{suffix}", values)
    np.testing.assert_array_equal(open_image(path), gray([[0, 1, 255], [0, 1, 128]]))


def test_wide_integers_and_floats_are_stretched(tmp_path):
    integers = np.array([[-100, 0, 156], [155, -99, 28]], np.int32)
    floats = np.array([[0.0, 1.0, 0.5]], np.float32)
    expected = gray([[0, 100, 255], [254, 1, 128]])
    found = open_image(saved(tmp_path / "i.tiff", integers))
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)
    found = open_image(saved(tmp_path / "f.tiff", floats))
    np.testing.assert_array_equal(found, gray([[0, 255, 128]]))
    flat = open_image(saved(tmp_path / "flat.tiff", np.full((2, 2), 0.5, np.float32)))
    assert (flat == flat[0, 0]).all()
    floats[0, 1] = np.nan
    with pytest.raises(OSError, match=r"nan\.tiff.*NaN"):
        open_image(saved(tmp_path / "nan.tiff", floats))


def test_palette_and_cmyk(tmp_path):
    palette = Image.fromarray(colours()).quantize(24)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(open_image(saved(tmp_path / "p.png", palette)), expected)
    cmyk = Image.fromarray(colours()).convert("CMYK")
    found = open_image(saved(tmp_path / "c.tiff", cmyk))
    np.testing.assert_allclose(found.astype(int), colours().astype(int), atol=2)
    assert open_image(saved(tmp_path / "c.jpg", cmyk)).shape == (6, 4, 3)


def test_transparency_is_laid_on_white(tmp_path):
    alpha = np.array([[0, 255, 51]], np.uint8)
    rgba = np.dstack([np.full((1, 3, 3), (10, 20, 30), np.uint8), alpha])
    expected = [[[255, 255, 255], [10, 20, 30], [206, 208, 210]]]
    np.testing.assert_array_equal(open_image(saved(tmp_path / "a.png", rgba)), expected)
    la = Image.fromarray(rgba).convert("LA")
    assert (open_image(saved(tmp_path / "la.png", la))[0, 0] == 255).all()
    key = Image.fromarray(rgba[..., :3])
    assert (open_image(saved(tmp_path / "k.png", key, transparency=(10, 20, 30))) == 255).all()
    indexed = Image.fromarray(np.array([[0, 1, 0]], np.uint8)).convert("P")
    indexed.putpalette([9, 9, 9, 50, 60, 70])
    for name, transparency in (("a.gif", 0), ("p.png", bytes([0, 255]))):
        found = open_image(saved(tmp_path / name, indexed, transparency=transparency))
        np.testing.assert_array_equal(found, [[[255] * 3, [50, 60, 70], [255] * 3]])


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff"])
def test_first_frame_of_an_animation(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(open_image(path), np.full((8, 8, 3), (255, 0, 0)))


def one_line(error, path):
    text = str(error.value)
    return str(path) in text and "\n" not in text and len(text) < 400


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "tiff", "webp"])
def test_truncated(tmp_path, suffix, share):
    path = saved(tmp_path / f"cut.{suffix}", noise())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(OSError, match="broken or cut short.*again") as error:
        open_image(path)
    assert one_line(error, path)


def test_broken_bytes_never_raise_anything_else(tmp_path):
    rng = np.random.default_rng(0)
    for suffix in ("jpg", "png", "gif", "tiff", "webp", "bmp"):
        data = np.frombuffer(saved(tmp_path / f"a.{suffix}", noise(16)).read_bytes(), np.uint8)
        for _ in range(40):
            broken = data.copy()
            broken[rng.integers(0, len(data), 6)] = rng.integers(0, 256, 6)
            try:
                assert decode_image(broken.tobytes(), "x").shape[2] == 3
            except (OSError, ValueError) as error:
                assert str(error).startswith("x: ")


def test_not_images(tmp_path):
    cases = {
        "empty.jpg": (b"", "empty, 0 bytes"),
        "text.jpg": (b"<html>Not found</html>", "not an image.*begins with b'<html>Not f"),
        "short.png": (b"\x89PNG", "not an image"),
        "a.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        ".DS_Store": (b"\x00\x00\x00\x01Bud1\x00", "not an image"),
    }
    for name, (data, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message) as error:
            open_image(path)
        assert one_line(error, path)


def test_not_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.jpg: no such file"):
        open_image(tmp_path / "no.jpg")
    with pytest.raises(ValueError, match="is a folder, expected an image file"):
        open_image(tmp_path)


def huge_png(width, height):
    def chunk(kind, body):
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


# Pillow only warns up to twice its limit and refuses beyond.
@pytest.mark.parametrize("side", [10_000, 60_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bomb(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(huge_png(side, side))
    with pytest.raises(ValueError, match="more pixels than the limit of 89478485") as error:
        open_image(path)
    assert one_line(error, path)


def test_bomb_with_warnings_as_errors(tmp_path):
    with pytest.raises(ValueError, match="more pixels than the limit"):
        decode_image(huge_png(10_000, 10_000), "bomb")
