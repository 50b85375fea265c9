"""The picture that a data set's URL stands for, where it is at hand without a download."""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from PIL import Image

from jaxcap.scenes import picture
from jaxcap.vision.images import open_image


def open_picture(url: str) -> Image.Image | str | None:
    """The picture of a scene or of a file, upright and in RGB.

    Args:
        url: `scenes://...`, `file://...`, or the path of a file.

    Returns:
        The picture; the reason why there is none; or None for what is on the network, and for an
        empty URL.
    """
    try:
        if url.startswith("scenes://"):
            return picture(url)
        if url.startswith("file://"):
            path = Path(url2pathname(urlsplit(url).path))
        elif "://" in url or not url:
            return None
        else:
            path = Path(url)
        return Image.fromarray(open_image(path))
    except (OSError, ValueError) as error:
        return str(error)
