"""Image files in folders: which files are images by their names, and which file a name means."""

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
    """The endings of files that `open_image` reads, in small letters, with the dot."""
    Image.init()
    return frozenset(
        suffix
        for suffix, format in Image.registered_extensions().items()
        if format in Image.OPEN and format not in REFUSED_FORMATS
    )


def is_image_name(path: AnyPath) -> bool:
    """Say whether a file is an image by its name; hidden files never are."""
    path = Path(path)
    return path.suffix.lower() in image_suffixes() and not path.name.startswith(".")


@dataclass(frozen=True)
class FoundImages:
    """Where images lie that were named.

    Attributes:
        paths: the file of each name that was found.
        missing: names that were not, in order.
        others: number of files in the folder that no name means.
    """

    paths: dict[str, Path]
    missing: list[str]
    others: int


def find_images(folder: AnyPath, names: Sequence[str]) -> FoundImages:
    """Find the files that names mean, in a folder and those below it, before any is opened.

    A name is a path below the folder; where there is no such file, its last part may be one in
    the folder itself. Both ways to spell a letter with a mark count as one. A name that leads out
    of the folder, by `..` or from the root, is missing, whatever lies there; a link in the folder
    is followed, since whoever owns the folder made it.

    Args:
        folder: where to look; hidden folders in it are passed over.
        names: of images, with `/` between folders.

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
            # What the walk leaves out: linked folders, `./`, paths from the root to below here.
            path = folder / name
            # `os.path`, for which a name that is too long is one of no file.
            if _is_below(path, folder) and os.path.isfile(path):
                paths[name] = path
    missing = [name for name in names if name not in paths]
    return FoundImages(paths, missing, len(set(files.values()) - set(paths.values())))


def _is_below(path: Path, folder: Path) -> bool:
    """By the names alone, with links as they stand."""
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
