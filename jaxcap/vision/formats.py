"""Formats of pictures: those that are read, and pictures of kinds that are not."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from PIL import Image

from jaxcap.files import AnyPath
from jaxcap.files.kinds import Kind, kind_of, picture_kind

# EPS starts Ghostscript, and IPTC may contain any format, including EPS. The others are stubs
# that recognise a file but cannot decode it.
REFUSED_FORMATS = frozenset({"EPS", "IPTC", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"})


@cache
def read_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that are read; HEIF where `pillow-heif` is installed."""
    Image.init()
    try:
        import pillow_heif
    except ImportError:
        pass
    else:
        pillow_heif.register_heif_opener()
    return tuple(format for format in Image.ID if format not in REFUSED_FORMATS)


@cache
def image_suffixes() -> frozenset[str]:
    """Return the suffixes of files that `open_image` reads, in lower case, with the dot."""
    # Pillow opens MPO, the pictures of a stereo camera, as JPEG.
    formats = {*read_formats(), "MPO"}
    extensions = Image.registered_extensions()
    return frozenset(suffix for suffix, format in extensions.items() if format in formats)


def is_image_name(path: AnyPath) -> bool:
    """Say whether the name of a file is that of an image; hidden files never count."""
    path = Path(path)
    return path.suffix.lower() in image_suffixes() and not path.name.startswith(".")


def unread_name(path: AnyPath) -> Kind | None:
    """Return the kind that a suffix names, if it is of pictures not read; None if hidden."""
    kind = None if Path(path).name.startswith(".") else picture_kind(path)
    return kind if kind and _is_unread(kind) else None


def unread_data(data: bytes) -> Kind | None:
    """Return the kind of a file's bytes, if it is a known one that is not read as a picture."""
    kind = kind_of(data)
    return kind if kind and _is_unread(kind) else None


def _is_unread(kind: Kind) -> bool:
    return not kind.suffixes & image_suffixes()


def unread_note(paths: Iterable[AnyPath]) -> str:
    """Write how many pictures of which kinds are not read, with the remedy of each; "" for none."""
    found = Counter(kind for path in paths if (kind := unread_name(path)))
    return "; ".join(
        f"{count} {'file' if count == 1 else 'files'} of a kind that is not read ({kind.name}): "
        f"{kind.remedy}"
        for kind, count in found.items()
    )
