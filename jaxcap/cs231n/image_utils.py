"""Pictures by URL, to show in a notebook."""

import textwrap
import warnings

import numpy as np
from PIL import Image, ImageDraw

from jaxcap.scenes import open_picture
from jaxcap.vision.images import RGB

_SIDE = 256


def image_from_url(url: str | bytes) -> RGB:
    """Draw, open or fetch the picture of a URL.

    A scene (`scenes://...`) is drawn, a file (`file://...` or a path) is opened, and any other URL
    is fetched. A failure, such as a photo that is no longer on the web, is a warning, not an error:
    the function returns a placeholder that shows the reason.

    Args:
        url: a URL of `train_urls` or `val_urls` of the data.

    Returns:
        (H, W, 3) uint8.
    """
    url = url.decode(errors="replace") if isinstance(url, bytes) else str(url)
    found = open_picture(url, fetch=True) or "the data names no URL for this image"
    if isinstance(found, str):
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
