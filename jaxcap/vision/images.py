"""From image files to pixels: every format that Pillow reads becomes upright RGB bytes.

An unreadable picture raises one `ValueError` or `OSError` with its name and the remedy. Nothing is
cached, no temporary file is written, and no other program is started.
"""

from io import BytesIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from jaxcap.files import AnyPath
from jaxcap.files.text import one_line, read_file

# Height and width have no letters, since they differ between the pictures of a list.
RGB = UInt8[np.ndarray, "_ _ 3"]

# EPS starts Ghostscript, and IPTC may contain any format, including EPS. The others are stubs
# that recognise a file but cannot decode it.
REFUSED_FORMATS = frozenset({"EPS", "IPTC", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"})

_SIXTEEN_BITS = 65535


def open_image(path: AnyPath) -> RGB:
    """Read an image file as upright RGB bytes.

    The rotation in EXIF is applied. Grayscale, palette and CMYK pictures are converted to RGB,
    16-bit pictures are scaled to 8 bits, and transparent pictures are composited on white. Of an
    animated file the first frame is read.

    Args:
        path: an image file of any kind that Pillow reads, except EPS, IPTC and WMF.

    Returns:
        (H, W, 3) uint8, height and width after rotation.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a folder, empty, not an image, or larger than Pillow's limit or
            `jaxcap.files.text.LARGEST_FILE`.
        OSError: the file is cut short, broken or unreadable.
    """
    return decode_image(read_file(path, expected="an image file"), str(path))


def decode_image(data: bytes, name: str) -> RGB:
    """Decode an image held in memory, as `open_image` does.

    Args:
        data: the bytes of an image file.
        name: path or URL of the image, for messages.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: the data is empty, not an image, or larger than Pillow's limit.
        OSError: the data is cut short or broken.
    """
    if not data:
        raise ValueError(f"{name}: is empty, 0 bytes; copy or download it again")
    with _open(data, name) as image:
        try:
            return _to_rgb(_upright(image))
        # Pillow's decoders raise errors of many kinds on broken data.
        except Exception as error:
            raise OSError(_broken(name, error)) from error


def _open(data: bytes, name: str) -> Image.Image:
    """Read the header, and refuse a picture with too many pixels before decoding any."""
    Image.init()
    formats = [format for format in Image.ID if format not in REFUSED_FORMATS]
    limit = Image.MAX_IMAGE_PIXELS
    too_large = f"{name}: more pixels than the limit of {limit}; make it smaller"
    try:
        image = Image.open(BytesIO(data), formats=formats)
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{name}: not an image that can be read: it begins with {data[:12]!r}; "
            "use JPEG, PNG, WebP or another format that Pillow reads"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(too_large) from error
    except Exception as error:
        raise OSError(_broken(name, error)) from error
    if limit is not None and image.width * image.height > limit:
        raise ValueError(too_large)
    return image


def _broken(name: str, error: Exception) -> str:
    detail = one_line(error) or type(error).__name__
    return f"{name}: broken or cut short: {detail}; copy or download it again"


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    # The pixels are intact even if the EXIF data are broken.
    except Exception:
        return image


def _to_rgb(image: Image.Image) -> RGB:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(_to_bytes(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(background, image)
    return np.array(image.convert("RGB"))


def _to_bytes(values: np.ndarray) -> UInt8[np.ndarray, "H W"]:
    """Scale 16 bits to 8; stretch wider ranges from smallest to largest value."""
    values = values.astype(np.float64)
    low, high = values.min(), values.max()
    if not np.isfinite([low, high]).all():
        raise ValueError("it holds values that are NaN or infinite")
    whole = (values == np.rint(values)).all()
    if whole and low >= 0 and high <= _SIXTEEN_BITS:
        low, high = 0, _SIXTEEN_BITS
    return np.rint((values - low) * (255 / max(high - low, 1e-30))).astype(np.uint8)
