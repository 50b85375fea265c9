"""Pictures for a notebook to show, by their URLs."""

import textwrap
import warnings

import numpy as np
from PIL import Image, ImageDraw

from jaxcap.scenes import open_picture
from jaxcap.vision.images import RGB

_SIDE = 256


def image_from_url(url: str | bytes) -> RGB:
    """Draw, open or fetch the picture behind a URL.

    A scene (`scenes://...`) is drawn, a file (`file://...` or a path) opened, and anything else
    fetched. Where that fails, for instance because a photo has gone from the web, the reason is a
    warning and stands in the picture returned instead: nothing is raised.

    Args:
        url: as in the data's `train_urls` and `val_urls`.

    Returns:
        (H, W, 3) uint8.
    """
    url = url.decode(errors="replace") if isinstance(url, bytes) else str(url)
    found = open_picture(url, fetch=True) or "the data names no URL for this image"
    if isinstance(found, str):
        warnings.warn(f"a placeholder stands in for a picture: {found}", stacklevel=2)
        found = _placeholder(found)
    return np.array(found)


def _placeholder(reason: str) -> Image.Image:
    """A light picture with a text in it."""
    picture = Image.new("RGB", (_SIDE, _SIDE), (238, 238, 238))
    # The font that comes with Pillow has few letters beyond these.
    text = textwrap.fill(reason.encode("ascii", "replace").decode(), 38, max_lines=16)
    ImageDraw.Draw(picture).multiline_text((12, 12), text, fill=(110, 110, 110))
    return picture
