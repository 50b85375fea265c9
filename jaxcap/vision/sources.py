"""Sources of images: files, folders, patterns and URLs, expanded into one list."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from jaxcap.files import AnyPath
from jaxcap.files.text import unreadable
from jaxcap.vision.download import fetch_image, is_url
from jaxcap.vision.formats import is_image_name, unread_name, unread_note
from jaxcap.vision.images import RGB, open_image


class Sources(NamedTuple):
    """Images found under some names.

    Attributes:
        images: paths and URLs, each once, in the order given.
        faults: names without an image, with the reason.
        unread: pictures in folders and patterns of kinds that are not read, each once; see
            `jaxcap.vision.formats.unread_note`.
    """

    images: list[str]
    faults: list[tuple[str, str]]
    unread: list[str]


def find_sources(names: Sequence[AnyPath]) -> Sources:
    """Expand names of images into a list.

    Args:
        names: each is a file, with any suffix; a folder, for the images in it but not in its
            subfolders; a pattern with `*`, `?`, `[...]` or `**`, for the images that match; or a
            URL.
    """
    images: dict[str, None] = {}
    faults = []
    unread: dict[str, None] = {}
    for given in names:
        name = os.fspath(given)
        # `os.path` says False of a name that is too long; `Path` raises.
        if is_url(name) or os.path.isfile(name):
            found, passed = [name], []
        elif os.path.isdir(name):
            try:
                found, passed = _pictures(str(path) for path in Path(name).iterdir())
            except OSError as error:
                faults.append((name, str(unreadable(name, error))))
                continue
        elif glob.has_magic(name):
            found, passed = _pictures(glob.glob(name, recursive=True))
        else:
            found, passed = [name], []
        if found:
            images.update(dict.fromkeys(found))
            unread.update(dict.fromkeys(passed))
        else:
            note = unread_note(passed)
            faults.append((name, f"no images in {name}" + f" but {note}" * bool(note)))
    return Sources(list(images), faults, list(unread))


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


def _pictures(paths: Iterable[str]) -> tuple[list[str], list[str]]:
    """Sort files into images and pictures of kinds that are not read."""
    files = sorted(path for path in paths if os.path.isfile(path))
    found = [path for path in files if is_image_name(path)]
    return found, [path for path in files if not is_image_name(path) and unread_name(path)]
