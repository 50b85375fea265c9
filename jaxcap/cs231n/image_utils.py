"""Pictures by URL, to show in a notebook."""

import textwrap
import warnings

import numpy as np
from PIL import Image, ImageDraw

from jaxcap.scenes import open_picture
from jaxcap.vision.download import is_url
from jaxcap.vision.images import RGB

_SIDE = 256


def image_from_url(url: str | bytes) -> RGB | None:
    """Draw, open or fetch the picture of a URL.

    A scene (`scenes://...`) is drawn, a file (`file://...` or a path) is opened, and any other URL
    is fetched. If it cannot be fetched, such as a photo that is no longer on the web, the function
    prints why and returns None, as that of the course does. Where there is nothing to fetch, since
    the data names no URL or a file is missing, it warns and returns a placeholder that shows the
    reason.

    Args:
        url: a URL of `train_urls` or `val_urls` of the data.

    Returns:
        (H, W, 3) uint8, or None.
    """
    url = url.decode(errors="replace") if isinstance(url, bytes) else str(url)
    found = open_picture(url, fetch=True) or "the data names no URL for this image"
    if isinstance(found, str):
        if is_url(url) and not url.startswith(("file:", "scenes:")):
            print("URL Error: ", found)
            return None
        warnings.warn(f"a placeholder replaces a picture: {found}", stacklevel=2)
        found = _placeholder(found)
    return np.array(found)


def _placeholder(reason: str) -> Image.Image:
    """Draw a light picture with a text in it."""
    picture = Image.new("RGB", (_SIDE, _SIDE), (238, 238, 238))
    # Pillow's font has few letters beyond ASCII.
    text = textwrap.fill(reason.encode("ascii", "replace").decode(), 38, max_lines=16)
    ImageDraw.Draw(picture).multiline_text((12, 12), text, fill=(110, 110, 110))
    return picture
