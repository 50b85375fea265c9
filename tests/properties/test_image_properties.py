"""Pictures of every mode, size and format become RGB; cut or changed ones do, or are one error."""

from io import BytesIO

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jaxcap.vision.images import decode_image

MODES = {
    "png": "1 L LA P RGB RGBA I;16",
    "tiff": "1 L LA P RGB RGBA CMYK YCbCr LAB I I;16 F",
    "jpeg": "L RGB CMYK YCbCr",
    "webp": "RGB RGBA L P",
    "gif": "1 L P RGB RGBA",
    "bmp": "1 L P RGB RGBA",
    "ppm": "1 L RGB I",
    "tga": "L LA P RGB RGBA",
    "jpeg2000": "L LA RGB RGBA",
}
KINDS = [(format, mode) for format, modes in MODES.items() for mode in modes.split()]
_WIDE = {"I": np.int32, "I;16": np.uint16, "F": np.float32}


def random_picture(mode, width, height, rng):
    if mode in _WIDE:
        return Image.fromarray(rng.integers(0, 2**16, (height, width)).astype(_WIDE[mode]))
    bands = len(Image.new(mode, (1, 1)).getbands())
    nbytes = height * (-(-width // 8) if mode == "1" else width * bands)
    picture = Image.frombytes(mode, (width, height), rng.bytes(nbytes))
    if mode == "P":
        picture.putpalette(rng.bytes(768))
    return picture


@st.composite
def files(draw):
    """The bytes of a picture, and its height and width when it stands upright."""
    format, mode = draw(st.sampled_from(KINDS))
    width, height = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    options, upright = {}, (height, width)
    if format in ("png", "jpeg", "webp", "tiff") and draw(st.booleans()):
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation = draw(st.integers(0, 9))
        upright = (width, height) if 5 <= orientation <= 8 else upright
    if mode in ("P", "L", "RGB") and format == "png" and draw(st.booleans()):
        options["transparency"] = (0, 0, 0) if mode == "RGB" else draw(st.integers(0, 255))
    file = BytesIO()
    random_picture(mode, width, height, rng).save(file, format, **options)
    return file.getvalue(), upright


@given(files(), st.data())
def test_a_picture_becomes_rgb_of_its_size_and_cut_or_changed_is_read_or_refused(case, data):
    raw, size = case
    image = decode_image(raw, "picture")
    assert image.shape == (*size, 3) and image.dtype == np.uint8
    read_or_refuse(raw[: data.draw(st.integers(0, len(raw)))])
    changed = bytearray(raw)
    changes = st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255))
    for at, value in data.draw(st.lists(changes, min_size=1, max_size=6)):
        changed[at] = value
    read_or_refuse(bytes(changed))
    read_or_refuse(data.draw(st.binary(max_size=200)))


def read_or_refuse(data):
    try:
        image = decode_image(data, "picture")
    except (OSError, ValueError) as error:
        message = str(error)
        assert message.startswith("picture: ") and "\n" not in message and len(message) < 1000
    else:
        assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
