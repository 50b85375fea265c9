"""Images of every kind become upright RGB bytes; `tests/properties` has what is broken."""

import struct
import subprocess
import sys
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, features
from PIL.PngImagePlugin import PngInfo

from jaxcap.vision import images
from jaxcap.vision.formats import read_formats
from jaxcap.vision.images import decode_image, open_image

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


def saved(image, format, **options):
    """The bytes of a file."""
    file = BytesIO()
    Image.fromarray(np.asarray(image)).save(file, format, **options)
    return file.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def test_a_png_needs_neither_its_text_nor_its_colour_profile():
    text = PngInfo()
    text.add_text("parameters", "a cat, " * 300_000, zip=True)
    text.add_itxt("workflow", "a cat, " * 300_000, zip=True)
    options = {"pnginfo": text, "exif": turned(6), "icc_profile": bytes(2 << 20)}
    data = saved(np.rot90(NOISE), "PNG", **options)
    with pytest.raises(ValueError, match="too large for PngImagePlugin.MAX_TEXT_CHUNK"):
        Image.open(BytesIO(data)).load()
    np.testing.assert_array_equal(decode_image(data, "a.png"), NOISE)
    # Text with a wrong sum, before and behind the pixels.
    plain = saved(NOISE, "PNG")
    chunk = struct.pack(">I", 4) + b"tEXta\0bc" + bytes(4)
    for place in (33, len(plain) - 12):
        spoilt = plain[:place] + chunk + plain[place:]
        np.testing.assert_array_equal(decode_image(spoilt, "a.png"), NOISE)
    # A picture that is cut short or wrong stays so, with or without text.
    for cut in (data[: len(data) // 2], data[:-300]):
        with pytest.raises(OSError, match=r"^a\.png: broken or cut short: .*download it again"):
            decode_image(cut, "a.png")


OTHERS = {
    b"<!doctype html><html>": "a web page; download",
    b"<?xml version='1.0'?>\n<svg width='9'/>": "SVG; save as PNG or JPEG",
    b"%!PS-Adobe-3.0 EPSF-3.0\n": "EPS; save as PNG or JPEG",
    b"%PDF-1.7\n": "a PDF; save its pages as PNG",
    b"\0\0\0\x20ftypisom\0\0\0\0isommp42": "a video; save a picture",
    b"\0\0\0\x18ftypcrx \0\0\0\1crx isom": "camera raw; export as JPEG",
    b"FUJIFILMCCD-RAW 0201": "camera raw; export as JPEG",
    b"II*\0\x10\0\0\0CR\2\0": "camera raw; export as JPEG",
    b"\xff\x0a\xfa\x1f": "JPEG XL; save as JPEG",
    b"gimp xcf v011\0": "GIMP's XCF; save as PNG or JPEG",
    b"\x89PNG\n\x1a\n\0\0\0\rIHDR": "a picture that was copied as text.*again, as binary",
    b"\xff\xd8\xff\xe0\0\x10JFIF".decode("utf-8", "replace").encode(): "a picture that was copied",
    bytes(600): "filled with zeros, as if it was never written; copy or download it again",
    b"\xff\xd8": "begins with",
    b"4": "begins with",
    zlib.compress(b"") + b"404": "x\\\\x9c",
}


@pytest.mark.parametrize(("data", "said"), OTHERS.items(), ids=list(OTHERS.values()))
def test_what_is_no_picture_that_is_read_is_named(data, said):
    with pytest.raises(ValueError, match=f"^a.jpg: not an image that can be read: it .*{said}"):
        decode_image(data, "a.jpg")


def test_what_begins_as_a_picture_is_not_called_another_kind():
    for data, said in (
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "broken or cut short"),
        (saved(NOISE, "JPEG")[:-20], "broken or cut short.*truncated.*download it again"),
        (saved(NOISE, "GIF")[:9], "cannot be read as GIF: .*save it as JPEG or PNG if another"),
    ):
        with pytest.raises((OSError, ValueError), match=f"^a.jpg: {said}"):
            decode_image(data, "a.jpg")
    # Most kinds of camera raw are told by the name alone.
    with pytest.raises(ValueError, match="^a.DNG: not an image .*: it is camera raw; export"):
        decode_image(b"II*\0\x08\0\0\0\1\0\0\1\3\0\1\0\0\0", "a.DNG")


def test_large_pictures_are_read_and_jpegs_at_a_reduced_size(monkeypatch):
    """Without a warning: they are errors in tests."""
    monkeypatch.setattr(images, "_LEAST_SIDE", 256)
    rows, columns = np.mgrid[:525, :600]
    picture = np.stack([rows // 3, columns // 3, np.full_like(rows, 90)], -1).astype(np.uint8)
    jpeg, png = saved(picture, "JPEG", exif=turned(8)), saved(picture, "PNG", compress_level=1)
    assert decode_image(jpeg, "a").shape == (600, 525, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300_000)
    half = decode_image(jpeg, "a")
    assert half.shape == (300, 263, 3)
    means = np.rot90(picture, 1)[:, 1:].reshape(300, 2, 262, 2, 3).mean((1, 3))
    assert np.abs(half[:, 1:] - means).max() < 9
    np.testing.assert_array_equal(decode_image(png, "a"), picture)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 157_499)
    for data in (jpeg, png):
        match = "^a: has 600 x 525 pixels, more than the limit of 314,998; make it smaller$"
        with pytest.raises(ValueError, match=match):
            decode_image(data, "a")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert decode_image(png, "a").shape == picture.shape


PEAK = """
import sys
from jaxcap.vision.images import open_image
def peak():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1]) >> 10
before = peak()
print(*open_image(sys.argv[1]).shape, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from Linux")
def test_a_photograph_of_108_megapixels_costs_little_memory(tmp_path):
    Image.new("L", (12_000, 9_000), 90).save(tmp_path / "a.jpg")
    command = [sys.executable, "-c", PEAK, tmp_path / "a.jpg"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *shape, megabytes = map(int, done.stdout.split())
    assert shape == [1125, 1500, 3] and megabytes < 100, done.stdout


def test_stereo_and_phone_pictures_are_their_first(tmp_path):
    """Phones write several pictures into a JPEG that is named .jpg."""
    pair = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    for name in ("a.mpo", "a.jpg"):
        pair[0].save(tmp_path / name, "MPO", save_all=True, append_images=pair[1:])
        found = open_image(tmp_path / name)
        assert found.shape == (30, 40, 3) and (found[..., 0] > 250).all(), name


TWO = np.zeros((40, 64, 3), np.uint8)
TWO[:20], TWO[20:] = (200, 30, 30), (20, 40, 210)


def test_heic_and_avif_are_read_like_others():
    """Upright, on white, in bytes; of several the first."""
    heif = pytest.importorskip("pillow_heif", reason="needs pip install 'jaxcap[heif]'")
    assert "HEIF" in read_formats()
    kinds = ["HEIF"] + ["AVIF"] * features.check("avif")
    for kind in kinds:
        for orientation, turn in ((1, 0), (3, 2), (6, 1), (8, -1)):
            picture = np.rot90(TWO, turn)
            data = saved(picture, kind, exif=turned(orientation), quality=95)
            found = decode_image(data, "a").astype(int)
            assert found.shape == TWO.shape and np.abs(found - TWO).mean() < 6, orientation
        other = data.replace(b"ftypheic", b"ftypmif1").replace(b"ftypavif", b"ftypmif1")
        np.testing.assert_array_equal(decode_image(other, "a"), found)
        clear = decode_image(saved(np.dstack([TWO, np.zeros_like(TWO[..., 0])]), kind), "a")
        assert (clear == 255).all()
        with pytest.raises((OSError, ValueError), match="^a: (broken|cannot be read as)"):
            decode_image(data[: len(data) // 2], "a")
    wide = BytesIO()
    values = (TWO.astype(np.uint16) * 257).tobytes()
    heif.from_bytes("RGB;16", (64, 40), values).save(wide, quality=95)
    assert np.abs(decode_image(wide.getvalue(), "a").astype(int) - TWO).mean() < 6


def test_heic_is_named_where_it_is_not_read(without_heif):
    for brands in (b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic"):
        data = b"\0\0\0\x18ftyp" + brands + bytes(99)
        with pytest.raises(ValueError, match=r"a: .* it is HEIC; pip install 'jaxcap\[heif\]'"):
            decode_image(data, "a")
