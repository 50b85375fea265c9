"""From image files to pixels: every format that Pillow reads becomes upright RGB bytes.

An unreadable picture raises one `ValueError` or `OSError` with its name, the cause and the remedy.
Nothing is cached, no temporary file is written, and no other program is started.

Pictures of up to twice `PIL.Image.MAX_IMAGE_PIXELS`, 179 million pixels, are read: Pillow's own
limit. A JPEG above half of that is decoded at a half, a quarter or an eighth of its size, the
smallest that leaves 1,024 pixels a side, so that it costs little memory.
"""

import struct
from contextlib import suppress
from io import BytesIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from jaxcap.files import AnyPath
from jaxcap.files.kinds import Kind
from jaxcap.files.text import one_line, read_file
from jaxcap.vision.formats import read_formats, unread_data, unread_name

# Height and width have no letters, since they differ between the pictures of a list.
RGB = UInt8[np.ndarray, "_ _ 3"]

_SIXTEEN_BITS = 65535
_LEAST_SIDE = 1024
# Others begin with few bytes of their own, or none, so that other data may be taken for them.
_TOLD_BY_BYTES = frozenset(
    {"AVIF", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PSD", "TIFF", "WEBP"}
)
_PNG = b"\x89PNG\r\n\x1a\n"
# Chunks that the pixels need: the critical ones, transparency and, for the rotation, EXIF.
_PNG_CHUNKS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf"})


def open_image(path: AnyPath) -> RGB:
    """Read an image file as upright RGB bytes.

    The rotation in EXIF is applied. Grayscale, palette and CMYK pictures are converted to RGB,
    16-bit pictures are scaled to 8 bits, and transparent pictures are composited on white. Of a
    file with several pictures, such as an animation, the first is read.

    Args:
        path: an image file of any kind that Pillow reads, except EPS, IPTC and WMF; HEIC and HEIF
            where `pillow-heif` is installed.

    Returns:
        (H, W, 3) uint8, height and width after rotation. They are smaller than the file's if it is
        a JPEG of more than `PIL.Image.MAX_IMAGE_PIXELS`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a folder, empty, not an image or of a kind that is not read, or larger
            than twice `PIL.Image.MAX_IMAGE_PIXELS` or `jaxcap.files.text.LARGEST_FILE`.
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
        ValueError: the data is empty, not an image or of a kind that is not read, or larger than
            twice `PIL.Image.MAX_IMAGE_PIXELS`.
        OSError: the data is cut short or broken.
    """
    if not data:
        raise ValueError(f"{name}: is empty, 0 bytes; copy or download it again")
    try:
        return _decode(data, name)
    except (OSError, ValueError) as error:
        # Pillow refuses a PNG whose text is long or whose colour profile is broken.
        if (lean := _without_extras(data)) is None:
            raise
        try:
            return _decode(lean, name)
        except (OSError, ValueError):
            raise error from None


def _decode(data: bytes, name: str) -> RGB:
    with _open(data, name) as image:
        try:
            return _to_rgb(_upright(image))
        # Pillow's decoders raise errors of many kinds on broken data.
        except Exception as error:
            raise _broken(data, name, error) from error


def _open(data: bytes, name: str) -> Image.Image:
    """Read the header, and refuse a picture with too many pixels before decoding any."""
    image = _identify(data, name)
    limit = Image.MAX_IMAGE_PIXELS
    pixels = image.width * image.height
    if limit is not None and pixels > limit:
        if pixels > 2 * limit:
            raise ValueError(
                f"{name}: has {image.width:,} x {image.height:,} pixels, more than the limit of "
                f"{2 * limit:,}; make it smaller"
            )
        if image.format in ("JPEG", "MPO"):
            image.draft(None, (_LEAST_SIDE, _LEAST_SIDE))
    return image


def _identify(data: bytes, name: str) -> Image.Image:
    """Open as `Image.open` does, without its warning, which a thread cannot silence for itself."""
    failure: tuple[str, Exception] | None = None
    for format in read_formats():
        factory, accepts = Image.OPEN[format]
        try:
            answer = accepts is None or accepts(data[:16])
            # The answer may be a text that says what this Pillow lacks.
            if not answer or isinstance(answer, str):
                continue
            return factory(BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            if format in _TOLD_BY_BYTES:
                failure = failure or (format, error)
        except Exception as error:
            raise _broken(data, name, error) from error
    kind = _picture_kind(data, name) if failure else unread_data(data)
    if kind:
        raise _unread(name, kind)
    if failure:
        format, error = failure
        raise ValueError(
            f"{name}: cannot be read as {format}: {one_line(error)}; copy or download it again, or "
            "save it as JPEG or PNG if another program opens it"
        )
    raise ValueError(
        f"{name}: not an image that can be read: it begins with {data[:12]!r}; "
        "use JPEG, PNG, WebP or another format that Pillow reads"
    )


def _picture_kind(data: bytes, name: str) -> Kind | None:
    """Return the kind that a picture is of though it begins as one that is read."""
    # Camera raw is often TIFF of kinds that Pillow lacks, and told by its name only.
    kind = unread_name(name) if data.startswith((b"II*\0", b"MM\0*")) else None
    found = unread_data(data)
    return found if found and found.suffixes else kind


def _unread(name: str, kind: Kind) -> ValueError:
    return ValueError(f"{name}: not an image that can be read: it is {kind.name}; {kind.remedy}")


def _broken(data: bytes, name: str, error: Exception) -> OSError | ValueError:
    if kind := _picture_kind(data, name):
        return _unread(name, kind)
    if isinstance(error, Image.DecompressionBombError):
        return ValueError(f"{name}: has too many pixels: {one_line(error)}; make it smaller")
    detail = one_line(error) or type(error).__name__
    return OSError(f"{name}: broken or cut short: {detail}; copy or download it again")


def _without_extras(data: bytes) -> bytes | None:
    """Leave out the chunks of a PNG that no pixel needs; None if it has none or is not a PNG."""
    if not data.startswith(_PNG):
        return None
    kept, start = [_PNG], len(_PNG)
    while start < len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4])
        if data[start + 4 : start + 8] in _PNG_CHUNKS:
            kept.append(data[start:end])
        start = end
    lean = b"".join(kept)
    return lean if len(lean) < len(data) else None


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    # The pixels are intact even if the EXIF data are broken.
    with suppress(Exception):
        # In place, since a copy of a large picture takes gigabytes.
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _to_rgb(image: Image.Image) -> RGB:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(_to_bytes(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(background, image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


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
