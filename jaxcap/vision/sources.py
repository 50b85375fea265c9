"""Sources of images: files, folders, patterns and URLs, expanded into one list."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from jaxcap.files import AnyPath
from jaxcap.vision.download import fetch_image, is_url
from jaxcap.vision.folders import is_image_name
from jaxcap.vision.images import RGB, open_image


class Sources(NamedTuple):
    """Images found under some names.

    Attributes:
        images: paths and URLs, each once, in the order given.
        faults: names without an image, with the reason.
    """

    images: list[str]
    faults: list[tuple[str, str]]


def find_sources(names: Sequence[AnyPath]) -> Sources:
    """Expand names of images into a list.

    Args:
        names: each is a file, with any suffix; a folder, for the images in it but not in its
            subfolders; a pattern with `*`, `?`, `[...]` or `**`, for the images that match; or a
            URL.
    """
    images: dict[str, None] = {}
    faults = []
    for given in names:
        name = os.fspath(given)
        if is_url(name) or Path(name).is_file():
            found = [name]
        elif Path(name).is_dir():
            found = sorted(str(path) for path in Path(name).iterdir() if _is_image(path))
        elif glob.has_magic(name):
            found = sorted(path for path in glob.glob(name, recursive=True) if _is_image(path))
        else:
            found = [name]
        if not found:
            faults.append((name, f"no images in {name}"))
        images.update(dict.fromkeys(found))
    return Sources(list(images), faults)


def open_source(source: AnyPath, *, allow_private: bool = False) -> RGB:
    """Open a picture from a file or the web; raise as `open_image` and `fetch_image`.

    Args:
        source: a path, a `file://` URI, or a URL on the web.
        allow_private: also fetch from addresses that are not public.

    Returns:
        (H, W, 3) uint8.
    """
    source = os.fspath(source)
    if source.startswith("file://"):
        return open_image(url2pathname(urlsplit(source).path))
    if is_url(source):
        return fetch_image(source, allow_private=allow_private)
    return open_image(source)


def _is_image(path: str | Path) -> bool:
    return is_image_name(path) and Path(path).is_file()
