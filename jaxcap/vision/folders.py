"""Image files in folders: which names are images, and which file a name refers to."""

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class FoundImages:
    """Result of a search for named images.

    Attributes:
        paths: file of each name that was found.
        missing: names that were not found, in order.
        others: number of files in the folder without a name.
    """

    paths: dict[str, Path]
    missing: list[str]
    others: int


def find_images(folder: AnyPath, names: Sequence[str]) -> FoundImages:
    """Find the files of names in a folder and its subfolders, before any is opened.

    A name is a path below the folder. If there is no such file, the last part of the name is looked
    up in the folder itself. Composed and decomposed letters with marks are equal (NFC). A name that
    leads out of the folder, by `..` or as an absolute path, is missing even if that file exists. A
    link in the folder is followed, since the owner of the folder made it.

    Args:
        folder: folder to search; hidden folders in it are skipped.
        names: names of images, with `/` between folders.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "is not a folder" if folder.exists() else "no such folder"
        raise FileNotFoundError(f"{folder}: {found}, expected one with images")
    files = _list(folder)
    paths: dict[str, Path] = {}
    for name in names:
        for candidate in (name, name.rpartition("/")[2]):
            if path := files.get(_normal(candidate)):
                paths[name] = path
                break
        else:
            # Not found by the walk: linked folders, `./`, absolute paths into the folder.
            path = folder / name
            # `os.path.isfile` is False for a name that is too long; `Path.is_file` raises.
            if _is_below(path, folder) and os.path.isfile(path):
                paths[name] = path
    missing = [name for name in names if name not in paths]
    return FoundImages(paths, missing, len(set(files.values()) - set(paths.values())))


def _is_below(path: Path, folder: Path) -> bool:
    """Say whether a path is below a folder by name, without resolving links."""
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


def _list(folder: Path) -> dict[str, Path]:
    files = {}
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            files[_normal(path.relative_to(folder).as_posix())] = path
    return files


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)
