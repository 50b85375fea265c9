"""Which names of files are those of images."""

from functools import cache
from pathlib import Path

from PIL import Image

from jaxcap.files import AnyPath
from jaxcap.vision.images import REFUSED_FORMATS


@cache
def image_suffixes() -> frozenset[str]:
    """Return the suffixes of files that `open_image` reads, in lower case, with the dot."""
    Image.init()
    return frozenset(
        suffix
        for suffix, format in Image.registered_extensions().items()
        if format in Image.OPEN and format not in REFUSED_FORMATS
    )


def is_image_name(path: AnyPath) -> bool:
    """Say whether the name of a file is that of an image; hidden files never count."""
    path = Path(path)
    return path.suffix.lower() in image_suffixes() and not path.name.startswith(".")
